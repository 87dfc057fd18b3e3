"""Goal: no peer or stranger makes a node hang, grow or work without end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from node_world import HOUR_MS, Skew, federation, found, living, run, until

from hive.node import clocks
from hive.node.desk import REFUSAL_COUNT_MAX
from hive.node.driver import QUEUE_BYTES_MAX, QUEUE_COUNT_MAX
from hive.node.errands import ask_for_renewal
from hive.node.home import Home, initialise
from hive.node.identity import FreshKeys, agent_renewal, node_renewal, rebirth
from hive.node.links import FAIR_BYTES, OUTBOXES_BYTES_MAX
from hive.node.node import Node
from hive.node.paperwork import (
    REBIRTH,
    EnrolmentLetter,
    RenewalLetter,
    RenewalReply,
    renewal_subject,
)
from hive.protocol.events import Dial, Endpoint, FrameReceived, OpenStream
from hive.protocol.machine import Ticked
from hive.transport.addresses import format_address
from hive.transport.frames import FrameStream
from hive.trust.invite import (
    EnrolmentRequest,
    open_answer,
    prove_possession,
    read_invite,
    seal_request,
)
from hive.trust.keys import P256, Ed25519Key, PublicKey
from hive.trust.sealing import NONCE_BYTES
from hive.wire.codec import encode
from hive.wire.ids import Digest, Inception, PeerId, RecordId
from tests.transport.stream_nodes import Issuer, Member, book_of, served, tls

FRAME_BYTES = 4 * 1024 * 1024
STRANGER = PeerId(bytes(20))


def laptop(tmp_path: Path) -> Home:
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    return Home(tmp_path / "home")


def test_every_reader_goes_on_after_a_flood_not_only_the_last_that_waited(tmp_path: Path) -> None:
    home = laptop(tmp_path)

    async def main() -> None:
        async with living(home, is_online=False) as one, trio.open_nursery() as nursery:
            for _ in range(QUEUE_COUNT_MAX + 1_024):
                one.node.driver.post(Ticked())
            with trio.fail_after(20):
                async with trio.open_nursery() as readers:
                    for _ in range(3):
                        readers.start_soon(one.node.driver.has_room)
            nursery.cancel_scope.cancel()

    run(main)


def test_readers_wait_while_the_frames_that_wait_are_too_large_together(tmp_path: Path) -> None:
    home = laptop(tmp_path)

    async def main() -> None:
        async with living(home, is_online=False) as one:
            driver = one.node.driver
            for _ in range(QUEUE_BYTES_MAX // FRAME_BYTES + 1):
                driver.post(FrameReceived(STRANGER, bytes(FRAME_BYTES)))
            assert driver.inbox.bytes_count > QUEUE_BYTES_MAX
            with trio.fail_after(20):
                await driver.has_room()
            assert driver.inbox.bytes_count <= QUEUE_BYTES_MAX

    run(main)


def test_failed_dials_are_counted_under_one_name_whatever_peers_claim(tmp_path: Path) -> None:
    home = laptop(tmp_path)

    async def main() -> None:
        async with living(home) as one:
            links = one.node.driver.links
            assert links is not None
            for port in (1, 2, 3):
                peer = PeerId(bytes([port]) * 20)
                links.open(OpenStream(peer, Inception(bytes(32)), "127.0.0.1", port))
            await until(lambda: links.drops.total() == 3, "three failed dials")
            assert dict(links.drops) == {"dial": 3}

    run(main)


def test_outboxes_are_bounded_together_and_a_quiet_peer_still_gets_its_own(
    tmp_path: Path,
) -> None:
    realm = found(tmp_path, ("acme", "bell"))
    homes = [realm.member(org) for org in ("acme", "bell")]

    async def main() -> None:
        async with federation(*homes) as (one, other):
            links, peer = one.node.driver.links, other.node.peer.core.own.peer
            assert links is not None
            links._queued_bytes += OUTBOXES_BYTES_MAX
            links.send(peer, bytes(FAIR_BYTES // 2))
            assert not links.drops["outbox_bytes"]
            links.send(peer, bytes(FAIR_BYTES))
            assert links.drops["outbox_bytes"] == 1
            links._queued_bytes -= OUTBOXES_BYTES_MAX
            await until(lambda: not links._queued_bytes, "what was sent waits no more")

    run(main)


def test_a_name_where_an_address_belongs_is_never_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = laptop(tmp_path)
    sent: list[object] = []

    async def main() -> None:
        async with living(home) as one:
            datagrams = one.node.driver.datagrams
            assert datagrams is not None
            monkeypatch.setattr(
                datagrams._interfaces, "transmit", lambda *sending: sent.append(sending)
            )
            for host in ("slow.example", "", "127.1", "1" * 100, "\u0661.1.1.1"):
                datagrams.perform(Dial(Endpoint(host, 7)))
            assert not sent
            datagrams.perform(Dial(Endpoint("127.0.0.1", 7)))
            assert len(sent) == 1

    run(main)


def records_held(node: Node) -> int:
    return sum(1 for _ in node.store.records())


@pytest.mark.parametrize("kind", ["node", "agent", "rebirth"])
def test_an_overheard_renewal_letter_said_again_earns_nothing_new(
    tmp_path: Path, kind: str
) -> None:
    home = laptop(tmp_path)

    async def main() -> None:
        async with living(home, is_online=False) as one:
            node = one.node
            own, agent = node.peer.core.own.record, node.upkeep.agents()["me"].id
            letters = {
                "node": lambda: node_renewal(node.keyring, own),
                "agent": lambda: agent_renewal(node.keyring.signer("agent-me"), agent),
                "rebirth": lambda: rebirth(node.keyring, own, FreshKeys.draw()),
            }
            letter = letters[kind]()
            reply, record = node.desk.renew(letter)
            await node.admit(reply.records)
            assert record
            before = records_held(node)
            for _ in range(3):
                again, record = node.desk.renew(letter)
                assert again.records[-1] == reply.records[-1]
                assert again.leaf == reply.leaf
                assert not record
                await node.admit(again.records)
            assert records_held(node) == before

    run(main)


def test_a_rebirth_under_a_key_that_is_none_is_refused(tmp_path: Path) -> None:
    home = laptop(tmp_path)

    async def main() -> None:
        async with living(home, is_online=False) as one:
            keyring, own = one.node.keyring, one.node.peer.core.own.record
            no_key = PublicKey(P256, b"\x02" + b"\xff" * 32)
            zero = Digest(bytes(32))
            subject = renewal_subject(REBIRTH, own, zero, no_key, zero)
            signature = keyring.signer("node").sign("renewal", subject)
            letter = RenewalLetter(REBIRTH, own, zero, no_key, zero, signature)
            reply, record = one.node.desk.renew(letter)
            assert "sound" in reply.refusal
            assert not record

    run(main)


@pytest.mark.parametrize("junk", [(), (b"junk",)])
def test_who_answers_first_with_junk_keeps_nobody_from_the_issuer(
    tmp_path: Path, junk: tuple[bytes, ...]
) -> None:
    home = laptop(tmp_path)

    async def main() -> None:
        async with living(home) as one, living_impostor(junk) as impostor:
            assert one.node.tls_address is not None
            places = [impostor, format_address(one.node.tls_address)]
            letter = agent_renewal(
                one.node.signers.named("agent-me"), one.node.upkeep.agents()["me"].id
            )
            reply, heard = await ask_for_renewal(places, letter)
            assert reply is not None
            assert junk[-1:] != reply.records[-1:]
            assert len(heard) == 1

    run(main)


@asynccontextmanager
async def living_impostor(records: tuple[bytes, ...]) -> AsyncIterator[str]:
    """Somebody who answers every letter with this."""
    key = Ed25519Key(b"i" * 32)
    issuer = Issuer.make(key)
    server = tls(Member.make("impostor", issuer), book_of([issuer]))

    async def answer(stream: FrameStream) -> None:
        await stream.receive()
        await stream.send(RenewalReply(records, b"", "").to_body())

    async with trio.open_nursery() as nursery:
        address = await served(server, nursery, answer, ("127.0.0.1", 0))
        yield format_address(address)
        nursery.cancel_scope.cancel()


def test_strangers_letters_cost_no_write_and_leave_nothing_behind(tmp_path: Path) -> None:
    home = laptop(tmp_path)

    async def main() -> None:
        async with living(home) as one:
            desk = one.node.desk
            await one.call("invite", name="second")
            sealed = encode((bytes(32), bytes(24), b"junk"))
            for _ in range(REFUSAL_COUNT_MAX + 10):
                _, ledger, record = desk.enrol(EnrolmentLetter(sealed))
                assert ledger is None
                assert not record
                assert "unknown" in desk.refusals[-1]
            key = one.node.keyring.signer("node").public
            nobody, zero = RecordId(bytes(32)), Digest(bytes(32))
            for _ in range(REFUSAL_COUNT_MAX + 10):
                desk.renew(RenewalLetter("renew-node", nobody, zero, key, zero, bytes(64)))
            assert len(desk.refusals) == REFUSAL_COUNT_MAX

    run(main)


def test_an_overheard_enrolment_letter_said_again_earns_nothing_new(tmp_path: Path) -> None:
    home = laptop(tmp_path)

    async def main() -> None:
        async with living(home) as one:
            node = one.node
            text = (await one.call("invite", name="second"))["invite"]
            invite = read_invite(text.encode(), clocks.read().wall_us // 1_000)
            key = Ed25519Key(bytes(32))
            request = EnrolmentRequest(
                kind="node",
                name="second",
                key=key.public,
                next_key_digest=key.public.digest,
                datagram_key=bytes(32),
                region=invite.region,
                zone="z",
                cell="c",
                storage_backends=(),
                custody_class="memory",
                possession=prove_possession(invite.secret, key),
            )
            letter = EnrolmentLetter(seal_request(invite.secret, request, bytes(NONCE_BYTES)))
            reply, _, record = node.desk.enrol(letter)
            await node.admit([record])
            made = open_answer(invite.secret, reply.sealed).records[-1]
            assert made == record
            for _ in range(3):
                again, _, record = node.desk.enrol(letter)
                assert open_answer(invite.secret, again.sealed).records[-1] == made
                assert again.leaf == reply.leaf
                assert not record
            await one.call("revoke", name="second")
            refused, _, record = node.desk.enrol(letter)
            assert "revoked" in open_answer(invite.secret, refused.sealed).refusal
            assert not record

    run(main)


def test_a_stream_does_not_outlive_the_record_of_the_node_behind_it(
    tmp_path: Path, skew: Skew
) -> None:
    realm = found(tmp_path, ("acme", "bell"))
    homes = [realm.member(org) for org in ("acme", "bell")]

    async def main() -> None:
        async with federation(*homes) as (one, other):
            links, peer = one.node.driver.links, other.node.peer.core.own.peer
            assert links is not None
            stream = links._links[peer].stream
            assert stream.peer is not None
            links.close_ended(one.node.still_counts)
            skew.ms = 30 * 24 * HOUR_MS
            assert not one.node.still_counts(stream.peer)
            links.close_ended(one.node.still_counts)
            skew.ms = 0
            await until(
                lambda: links._links.get(peer) is None or links._links[peer].stream is not stream,
                "closed",
            )

    run(main)
