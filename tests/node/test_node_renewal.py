"""Goal: a node outlives its issuer's first record. Method: the days of a member, by a set clock."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from node_world import (
    HOUR_MS,
    Living,
    Realm,
    Skew,
    federation,
    found,
    living,
    run,
    seconds,
    settled,
    until,
)

from hive.custody.file import FileKeyring
from hive.custody.passphrase import from_unlock_file
from hive.node import clocks
from hive.node import node as node_module
from hive.node.founded import founded_of
from hive.node.renewal import renewed_issuer
from hive.trust.envelope import parse_untrusted
from hive.trust.records import IssuerRecord
from hive.wire.ids import FederationId, RecordId

DAY_MS = 24 * HOUR_MS
LATE_S = 20
"""How long the leaves still last by the real clock."""


async def endings(node: Living) -> list[str]:
    findings = (await node.call("doctor"))["findings"]
    return [each["code"] for each in findings if each["code"].endswith("_ending")]


async def renew(node: Living, realm: Realm) -> None:
    known = await node.call("org_records")
    envelopes = [base64.b64decode(record) for record in known["records"]]
    now_ms = clocks.read().wall_us // 1_000
    founded = founded_of(FederationId(bytes.fromhex(known["federation"])), envelopes, now_ms)
    unlocked = from_unlock_file(realm.founder("acme"))
    assert unlocked is not None
    keyring = FileKeyring(realm.founder("acme"), unlocked, clocks.entropy)
    issuer = renewed_issuer(founded, keyring, now_ms)
    made = base64.b64encode(issuer.to_bytes()).decode()
    answer = await node.call("admit_records", records=[made])
    assert answer == {"outcomes": ["admitted"], "new": 1}


def test_doctor_warns_and_a_renewed_issuer_revives_its_node_at_once(
    tmp_path: Path, skew: Skew
) -> None:
    realm = found(tmp_path, ("acme",))
    home = realm.member("acme")

    async def warned() -> None:
        async with living(home, is_online=False) as node:
            assert await endings(node) == ["issuer_ending"]

    async def renewed() -> None:
        async with living(home, is_online=False) as node:
            assert not node.node.desk.is_open
            await renew(node, realm)
            assert await endings(node) == []
            assert (await node.call("status"))["node"]["issues"]

    async def written() -> None:
        async with living(home, is_online=False) as node:
            assert (await node.call("remember", text="on", namespace="acme"))["sequence"] == 1

    skew.ms = 23 * DAY_MS
    run(warned)
    skew.ms = 31 * DAY_MS
    run(renewed)
    run(written)


def test_records_under_an_issuer_that_ends_sooner_are_renewed_with_it(
    tmp_path: Path, skew: Skew
) -> None:
    realm = found(tmp_path, ("acme",))
    home = realm.member("acme")

    async def last_hour() -> None:
        async with living(home, is_online=False) as node:
            trust, own = node.node.peer.core.trust, node.node.peer.core.own
            before = trust.chain_of(own.record)
            await renew(node, realm)
            after = trust.chain_of(own.record)
            assert before is not None
            assert after is not None
            assert after.not_after_ms > before.not_after_ms

    skew.ms = 30 * DAY_MS - HOUR_MS
    run(last_hour)


def test_an_org_and_a_root_that_end_are_named(tmp_path: Path, skew: Skew) -> None:
    realm = found(tmp_path, ("acme",))
    home = realm.member("acme")

    async def late() -> None:
        async with living(home, is_online=False) as node:
            assert await endings(node) == ["root_ending", "org_ending", "issuer_ending"]

    skew.ms = 301 * DAY_MS
    run(late)


def newest_issuer(node: Living, of: Living) -> RecordId:
    """The newest record of the issuer above `of`, as `node` knows it."""
    chain = of.node.peer.core.trust.chain_of(of.node.peer.core.own.record)
    assert chain is not None
    found = [
        (signed.record.not_before_ms, signed.id)
        for signed in node.node.peer.core.trust.records_of(IssuerRecord)
        if isinstance(signed.record, IssuerRecord) and signed.record.inception == chain.issuer
    ]
    return max(found)[1]


def test_a_renewed_issuer_reaches_the_other_organisations_by_gossip_and_is_kept(
    tmp_path: Path, skew: Skew
) -> None:
    realm = found(tmp_path, ("acme", "bell"))
    homes = [realm.member(org) for org in ("acme", "bell")]

    async def main() -> None:
        async with federation(*homes) as (acme, bell):
            before = newest_issuer(acme, of=acme)
            await renew(acme, realm)
            after = newest_issuer(acme, of=acme)
            assert after != before
            await until(lambda: newest_issuer(bell, of=acme) == after, "bell hears of it")
            kept = bell.node.store.records
            await until(lambda: _has(list(kept()), after), "bell keeps it")
            say = {"text": "under the renewed issuer", "namespace": "commons/notes"}
            told = await acme.call("remember", **say)
            await until(lambda: bell.holds(told["id"]), "bell takes what rests on it")

    run(main)


def _has(envelopes: list[bytes], record: RecordId) -> bool:
    return any(parse_untrusted(envelope).id == record for envelope in envelopes)


def test_streams_of_ended_records_close_and_reopen_under_the_renewed_ones_without_loss(
    tmp_path: Path, skew: Skew, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock begins a day ago, and the nodes renew as they open: TLS, which has the real one,
    sees the leaves end soon after.
    """
    monkeypatch.setattr(node_module, "CHECK_INTERVAL_S", 0.5)
    skew.ms = -2 * DAY_MS
    realm = found(tmp_path, ("acme", "bell"))
    homes = [realm.member(org) for org in ("acme", "bell")]
    skew.ms = LATE_S * 1_000 - DAY_MS
    ends_at = seconds() + LATE_S

    async def main() -> None:
        async with federation(*homes) as nodes:
            ids = [await said(each, "before") for each in nodes]
            await until(lambda: all(n.holds(i) for n in nodes for i in ids), "all hold both")
            records = [each.node.peer.core.own.record for each in nodes]
            streams = [_streams(each) for each in nodes]
            await until(lambda: seconds() > ends_at + 5, "the leaves end by the real clock too")
            assert [_streams(each) for each in nodes] == streams
            skew.ms = 0
            for number, each in enumerate(nodes):
                own = each.node.peer.core.own
                await until(lambda own=own, n=number: own.record != records[n], "it is renewed")
            await until(
                lambda: all(_streams(n) and not set(_streams(n)) & set(records) for n in nodes),
                "the streams are those of the renewed records",
            )
            await settled(nodes)
            ids += [await said(each, "after") for each in nodes]
            await until(lambda: all(n.holds(i) for n in nodes for i in ids), "nothing is lost")

    run(main)


async def said(node: Living, text: str) -> str:
    return str((await node.call("remember", text=text, namespace="commons/notes"))["id"])


def _streams(node: Living) -> list[RecordId]:
    """The node records under which the open streams were made."""
    links = node.node.driver.links
    assert links is not None
    return [peer.node_record_id for peer in links.ends()]
