"""What an operator does to identities: invite, rotate, revoke; and evidence to take away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import trio

from hive.custody.signer import HeldKey, Signer
from hive.errors import ConfigError, NotPermitted, StateError
from hive.memory.bundle import needed_records, parse_bundle_untrusted, write_bundle
from hive.memory.log import Head, Held
from hive.node import clocks
from hive.node.agents import admit_own, capabilities_of, own_agent
from hive.node.home import AGENT_PREFIX, DATAGRAM, NODE, software_key
from hive.node.identity import datagram_renewed
from hive.node.node import Node
from hive.node.views import View
from hive.transport.addresses import format_address
from hive.trust.envelope import Signed, sign_record
from hive.trust.keys import SEED_BYTES, PublicKey
from hive.trust.records import (
    AgentRecord,
    IssuerRecord,
    NodeRecord,
    SealEntry,
    chain_digest,
)
from hive.trust.revocation import make_revocation
from hive.trust.rotation import rotate_agent, rotate_node
from hive.trust.sealing import DatagramKey
from hive.wire.ids import Inception, RecordId

REASONS: Final = ("compromised", "retired", "forked")


async def invite(
    node: Node,
    kind: str,
    name: str,
    region: str,
    capabilities: Sequence[Mapping[str, Any]],
    hours: int,
) -> View:
    """An invite, kept in the ledger before it is shown."""
    if kind not in ("node", "agent"):
        raise ConfigError(f"{kind!r} cannot be invited", hint="node or agent")
    if node.address is None or node.tls_address is None:
        raise StateError("this node listens nowhere", hint="start it first: `hive up`")
    wanted = capabilities_of(capabilities)
    text, ledger = node.desk.invite(
        kind=kind,
        name=name,
        region=region or node.peer.core.own.region,
        capabilities=wanted,
        addresses=(format_address(node.tls_address),),
        hours=hours,
    )
    node.store.apply([ledger])
    return {"invite": text, "name": name, "kind": kind, "hours": hours}


async def rotate(node: Node, name: str, ssh_key: str = "") -> View:
    """Stages the next-but-one key, publishes the new generation and its seal, then promotes.

    `ssh_key` names the key after the next one where the agent's keys lie in an ssh-agent.
    """
    key_name = NODE if name == NODE else AGENT_PREFIX + name
    if key_name in node.signers.outside.names():
        return await _rotate_outside(node, name, ssh_key)
    if key_name not in node.keyring.names():
        raise StateError(f"no key {name!r} here", hint="`node`, or an agent of `hive agent list`")
    if ssh_key:
        raise ConfigError(f"the key {name!r} lies in no ssh-agent", hint="leave --ssh-key out")
    if name == NODE:
        return await _rotate_node(node)
    old = own_agent(node, name)
    _agent_signer(node, old.record)
    following = node.keyring.stage(key_name, clocks.entropy(SEED_BYTES))
    rotated = await _rotate_agent(node, name, node.keyring.next_signer(key_name), following)
    node.keyring.promote(key_name)
    node.signers.refresh()
    return rotated


async def _rotate_node(node: Node) -> View:
    issuer, held = _issuer(node)
    now_ms = clocks.read().wall_us // 1_000
    following = node.keyring.stage(NODE, clocks.entropy(SEED_BYTES)).digest
    revealed = node.keyring.next_signer(NODE)
    node.signers.refresh()
    await admit_own(node, _rotated_node(node, issuer, held, revealed, following, now_ms))
    node.keyring.promote(NODE)
    node.signers.refresh()
    record = node.peer.core.trust.signed(node.peer.core.own.record)
    if record is not None and isinstance(record.record, NodeRecord):
        node.peer.core.own.key = record.record.key
        datagram_renewed(node.keyring, record.record)
    node.present_identity()
    return {"name": NODE, "key": revealed.public.octets.hex(), "rotated_at_ms": now_ms}


async def _rotate_outside(node: Node, name: str, ssh_key: str) -> View:
    """The ssh-agent signs once by the revealed key; a new session follows."""
    outside, key_name = node.signers.outside, AGENT_PREFIX + name
    if not ssh_key:
        raise ConfigError(
            f"the keys of {name!r} lie in an ssh-agent", hint="name the one after next: --ssh-key"
        )
    following = (await trio.to_thread.run_sync(outside.find, ssh_key)).public
    if following in (outside.entry(key_name).public, outside.entry(key_name).following):
        raise ConfigError(f"{ssh_key!r} was committed to before", hint="make another key")
    rotated = await _rotate_agent(node, name, outside.next_signer(key_name), following)
    outside.promote(key_name, following)
    node.signers.refresh()
    await node.renew_what_is_due()
    return rotated


async def _rotate_agent(node: Node, name: str, revealed: Signer, following: PublicKey) -> View:
    old, now_ms = own_agent(node, name), clocks.read().wall_us // 1_000
    parent, held = _agent_signer(node, old.record)
    seal = _seal(node.store.heads_of(Inception(old.record.inception)))
    node.signers.refresh()
    make = partial(rotate_agent, parent, held, old, revealed=revealed)
    made = await trio.to_thread.run_sync(
        partial(make, next_digest=following.digest, seal=seal, now_ms=now_ms)
    )
    await admit_own(node, [made.record.to_bytes(), made.revocation.to_bytes()])
    return {"name": name, "key": revealed.public.octets.hex(), "rotated_at_ms": now_ms}


def _agent_signer(
    node: Node, agent: AgentRecord
) -> tuple[Signed[IssuerRecord] | Signed[NodeRecord], HeldKey]:
    """Who ends or rotates an agent here: the issuer, or this node where it issued that agent."""
    deputy = node.desk.deputy()
    parent = node.peer.core.trust.signed(RecordId(agent.parent_record))
    issued_by = getattr(parent.record, "inception", b"") if parent else b""
    if not node.desk.is_open and deputy and issued_by == deputy[0].record.inception:
        return deputy
    return _issuer(node)


def _issuer(node: Node) -> tuple[Signed[IssuerRecord], HeldKey]:
    found = node.desk.issuer()
    if found is None:
        raise NotPermitted(
            "this node holds no valid issuer key",
            hint="do this on the node where your organisation's issuer key lives",
        )
    return found


def _rotated_node(
    node: Node,
    issuer: Signed[IssuerRecord],
    held: HeldKey,
    revealed: HeldKey,
    following: Any,
    now_ms: int,
) -> list[bytes]:
    core = node.peer.core
    signed = core.trust.signed(core.own.record)
    assert signed is not None
    assert isinstance(signed.record, NodeRecord)
    old = Signed(signed.record, signed.body, signed.signatures, signed.id)
    upcoming = DatagramKey(software_key(node.keyring.next_signer(DATAGRAM)).seed)
    made = rotate_node(
        issuer,
        held,
        old,
        revealed=revealed,
        next_digest=following,
        datagram_key=upcoming.public,
        seal=_seal(_written_through(node, core.own.inception)),
        now_ms=now_ms,
    )
    return [made.record.to_bytes(), made.revocation.to_bytes()]


def _written_through(node: Node, writer: Inception) -> list[Head]:
    return [
        head
        for namespace in node.store.namespaces()
        for head in node.store.heads(namespace)
        if head.writer == writer
    ]


def _seal(heads: Sequence[Head]) -> list[SealEntry]:
    """What stays good: every chain as far as it is held here."""
    return [
        SealEntry(chain_digest(head.author, head.writer, head.namespace), head.sequence, head.delta)
        for head in heads
    ]


async def revoke(node: Node, name: str, reason: str) -> View:
    """Ends an agent or node of this organisation, named by name or inception."""
    if reason not in REASONS:
        raise ConfigError(f"{reason!r} is no reason", hint=f"one of {', '.join(REASONS)}")
    subject = _subject(node, name)
    signer, held = (
        _agent_signer(node, subject) if isinstance(subject, AgentRecord) else _issuer(node)
    )
    now_ms = clocks.read().wall_us // 1_000
    inception = Inception(subject.inception)
    is_agent = isinstance(subject, AgentRecord)
    heads = node.store.heads_of(inception) if is_agent else _written_through(node, inception)
    revocation = make_revocation(
        federation=node.peer.core.federation,
        org=Inception(signer.record.org),
        signer_record=signer.id,
        subject=inception,
        generation=subject.generation,
        reason=reason,
        at_ms=now_ms,
        seal=_seal(list(heads)),
    )
    signed = sign_record(revocation, held)
    await admit_own(node, [signed.to_bytes()])
    return {
        "revocation": signed.id.hex(),
        "subject": subject.inception.hex(),
        "name": subject.name,
        "generation": subject.generation,
        "sealed_chains": len(revocation.seal),
    }


def _subject(node: Node, name: str) -> AgentRecord | NodeRecord:
    """The newest generation of whoever bears a name or inception in this organisation."""
    trust, org = node.peer.core.trust, node.peer.core.own.org
    found: dict[bytes, AgentRecord | NodeRecord] = {}
    for kind in (AgentRecord, NodeRecord):
        for signed in trust.records_of(kind):
            record = signed.record
            assert isinstance(record, AgentRecord | NodeRecord)
            if record.org != org or name not in (record.name, record.inception.hex()):
                continue
            before = found.get(record.inception)
            if before is None or record.generation >= before.generation:
                found[record.inception] = record
    if len(found) != 1:
        what = "nobody" if not found else f"{len(found)} identities"
        raise StateError(
            f"{what} called {name!r} in your organisation", hint="name it by its inception in hex"
        )
    return next(iter(found.values()))


# Evidence.


def bundle(node: Node, held: Sequence[Held]) -> bytes:
    """The evidence for some deltas: every record their chains rest on, and what concerns them."""
    deltas = [each.delta for each in held]
    chains = {delta.header.chain for delta in deltas}
    forks = [proof for proof in node.peer.core.quarantine.proofs() if proof.chain in chains]
    return write_bundle(needed_records(node.peer.core.trust, deltas), deltas, forks)


def opened(untrusted: bytes) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """The records and delta envelopes of a bundle, still to be judged."""
    found = parse_bundle_untrusted(untrusted)
    return (
        tuple(signed.to_bytes() for signed in found.records),
        tuple(delta.to_bytes() for delta in found.deltas),
    )
