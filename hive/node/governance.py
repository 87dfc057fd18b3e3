"""What an operator does to identities: invite, issue, rotate, revoke; and evidence to take away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from hive.custody.signer import HeldKey
from hive.errors import ConfigError, NotPermitted, StateError
from hive.memory.bundle import needed_records, parse_bundle_untrusted, write_bundle
from hive.memory.log import Head, Held
from hive.node import clocks
from hive.node.home import AGENT_PREFIX, DATAGRAM, NODE, make_pair, software_key
from hive.node.identity import agent_renewal, datagram_renewed
from hive.node.node import Node
from hive.node.views import View
from hive.transport.addresses import format_address
from hive.trust.capability import ACTIONS, FOREVER_MS, Capability
from hive.trust.envelope import Signed, sign_record
from hive.trust.issuing import names_of
from hive.trust.keys import SEED_BYTES
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
from hive.wire.ids import Inception

REASONS: Final = ("compromised", "retired", "forked")


def capabilities_of(plain: Sequence[Mapping[str, Any]]) -> tuple[Capability, ...]:
    """Capabilities as users write them: prefix, action names, regions, assertions."""
    found = []
    for each in plain:
        _require_capability(each)
        actions = 0
        for name in each.get("actions", ()):
            if name not in ACTIONS:
                known = ", ".join(ACTIONS)
                raise ConfigError(f"unknown action {name!r}", hint=f"known actions: {known}")
            actions |= ACTIONS[name]
        if not actions:
            raise ConfigError("a capability needs an action", hint=f"of {', '.join(ACTIONS)}")
        regions, assertions = tuple(each.get("regions", ())), tuple(each.get("assertions", ()))
        found.append(Capability(each.get("prefix", ""), actions, regions, assertions, FOREVER_MS))
    return tuple(found)


def _require_capability(plain: Mapping[str, Any]) -> None:
    """Raises `ConfigError` where names or types are not those of a capability."""
    lists = ("actions", "regions", "assertions")
    for name, value in plain.items():
        is_list = isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
        if not (is_list if name in lists else name == "prefix" and isinstance(value, str)):
            raise ConfigError(
                f"{name!r} does not fit a capability",
                hint="prefix (a text), actions, regions and assertions (lists of texts)",
            )


def _wanted(node: Node, plain: Sequence[Mapping[str, Any]]) -> tuple[Capability, ...]:
    """What was asked for; nothing asked means all that the issuer may give."""
    if plain:
        return capabilities_of(plain)
    found = node.desk.issuer()
    return found[0].record.capabilities if found else ()


def _capability_views(capabilities: Sequence[Capability]) -> list[View]:
    return [
        {
            "prefix": each.prefix,
            "actions": list(names_of(each.actions)),
            "regions": list(each.regions),
            "assertions": list(each.assertions),
            "not_after_ms": each.not_after_ms,
        }
        for each in capabilities
    ]


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


def agents(node: Node) -> list[View]:
    """The agents of this node's keyring."""
    core, now = node.peer.core, clocks.read()
    listed = []
    for name, signed in node.upkeep.agents().items():
        chain = core.live_chain(signed.id, now)
        listed.append(_agent_view(name, signed, is_valid=chain is not None))
    return listed


def _agent_view(name: str, signed: Signed[AgentRecord], *, is_valid: bool) -> View:
    record = signed.record
    return {
        "name": name,
        "inception": record.inception.hex(),
        "generation": record.generation,
        "record": signed.id.hex(),
        "valid": is_valid,
        "not_after_ms": record.not_after_ms,
        "capabilities": _capability_views(record.capabilities),
    }


async def issue_agent(
    node: Node, name: str, capabilities: Sequence[Mapping[str, Any]], hours: int
) -> View:
    """A new agent of this node; its key is made here and never leaves."""
    if not 1 <= hours <= 24:
        raise ConfigError(f"{hours} hours", hint="an agent's record lives 1 to 24 hours")
    wanted = _wanted(node, capabilities)
    if not node.desk.is_open:
        raise NotPermitted(
            "this node holds no valid issuer key",
            hint="ask on the node where your organisation's issuer key lives",
        )
    key_name = AGENT_PREFIX + name
    names = node.keyring.names()
    if key_name in names and name in node.upkeep.agents():
        raise StateError(f"an agent {name!r} exists here", hint="choose another name")
    if key_name in names:
        held = node.keyring.signer(key_name)
        following = node.keyring.next_signer(key_name).public.digest
    else:
        pair = make_pair(node.keyring, key_name)
        held, following = node.keyring.signer(key_name), pair.next_key_digest
    made = node.desk.agent(
        name=name,
        key=held.public,
        next_key_digest=following,
        custody_class=node.keyring.custody_class,
        capabilities=wanted,
        hours=hours,
    )
    node.signers.refresh()
    await _admit(node, [made.to_bytes()])
    return _agent_view(name, made, is_valid=True)


async def _admit(node: Node, envelopes: Sequence[bytes]) -> None:
    outcomes = await node.admit(envelopes)
    refused = [outcome for outcome in outcomes if outcome != "admitted"]
    if refused:
        raise StateError(f"the new record was refused: {refused[0]}", hint="see `hive doctor`")


async def renew_agent(node: Node, name: str) -> View:
    """The same key with new dates."""
    signed = _own_agent(node, name)
    reply, _ = node.desk.renew(agent_renewal(node.keyring, name, signed.id))
    if reply.refusal:
        raise NotPermitted(reply.refusal, hint="ask on the node that holds the issuer's key")
    await _admit(node, reply.records)
    return _agent_view(name, node.upkeep.agents()[name], is_valid=True)


def _own_agent(node: Node, name: str) -> Signed[AgentRecord]:
    signed = node.upkeep.agents().get(name)
    if signed is None:
        raise StateError(f"no agent {name!r} here", hint="see `hive agent list`")
    return signed


async def rotate(node: Node, name: str) -> View:
    """Stages the next-but-one key, publishes the new generation and its seal, then promotes."""
    issuer, held = _issuer(node)
    now_ms = clocks.read().wall_us // 1_000
    key_name = NODE if name == NODE else AGENT_PREFIX + name
    if key_name not in node.keyring.names():
        raise StateError(f"no key {name!r} here", hint="`node`, or an agent of `hive agent list`")
    following = node.keyring.stage(key_name, clocks.entropy(SEED_BYTES)).digest
    revealed = node.keyring.next_signer(key_name)
    node.signers.refresh()
    if name == NODE:
        envelopes = _rotated_node(node, issuer, held, revealed, following, now_ms)
    else:
        old = _own_agent(node, name)
        seal = _seal(node.store.heads_of(Inception(old.record.inception)))
        made = rotate_agent(
            issuer, held, old, revealed=revealed, next_digest=following, seal=seal, now_ms=now_ms
        )
        envelopes = [made.record.to_bytes(), made.revocation.to_bytes()]
    await _admit(node, envelopes)
    node.keyring.promote(key_name)
    node.signers.refresh()
    if name == NODE:
        record = node.peer.core.trust.signed(node.peer.core.own.record)
        if record is not None and isinstance(record.record, NodeRecord):
            node.peer.core.own.key = record.record.key
            datagram_renewed(node.keyring, record.record)
        node.present_identity()
    return {"name": name, "key": revealed.public.octets.hex(), "rotated_at_ms": now_ms}


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
    issuer, held = _issuer(node)
    subject = _subject(node, name)
    now_ms = clocks.read().wall_us // 1_000
    inception = Inception(subject.inception)
    heads = (
        node.store.heads_of(inception)
        if isinstance(subject, AgentRecord)
        else _written_through(node, inception)
    )
    revocation = make_revocation(
        federation=node.peer.core.federation,
        org=Inception(issuer.record.org),
        signer_record=issuer.id,
        subject=inception,
        generation=subject.generation,
        reason=reason,
        at_ms=now_ms,
        seal=_seal(list(heads)),
    )
    signed = sign_record(revocation, held)
    await _admit(node, [signed.to_bytes()])
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
