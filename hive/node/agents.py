"""The agents of a node: issued, listed, renewed. An agent's key lies in the node's keyring, or
stays in an ssh-agent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import trio

from hive.custody.outside import SSH_AGENT
from hive.errors import ConfigError, NotPermitted, StateError
from hive.node import clocks
from hive.node.home import AGENT_PREFIX, make_pair, require_names
from hive.node.identity import agent_renewal
from hive.node.node import Node
from hive.node.views import View
from hive.trust.capability import ACTIONS, FOREVER_MS, Capability
from hive.trust.envelope import Signed
from hive.trust.issuing import names_of
from hive.trust.keys import PublicKey
from hive.trust.links import issuable_of
from hive.trust.records import AgentRecord
from hive.wire.ids import Digest


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
    found = node.desk.agent_parent()
    return issuable_of(found[0].record) if found else ()


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
    node: Node,
    name: str,
    capabilities: Sequence[Mapping[str, Any]],
    hours: int,
    ssh_keys: Sequence[str] = (),
) -> View:
    """A new agent of this node: its key is made here and never leaves, or is the ssh-agent's.

    `ssh_keys` are two keys of the ssh-agent, by comment or fingerprint: the agent's, and the one
    that its first rotation will reveal.
    """
    if not 1 <= hours <= 24:
        raise ConfigError(f"{hours} hours", hint="an agent's record lives 1 to 24 hours")
    if len(ssh_keys) not in (0, 2):
        raise ConfigError(
            f"{len(ssh_keys)} ssh keys", hint="name two: the agent's key and its successor"
        )
    require_names(name)
    wanted = _wanted(node, capabilities)
    node.desk.require_agent_parent()
    if name in node.upkeep.agents():
        raise StateError(f"an agent {name!r} exists here", hint="choose another name")
    key, following = await _keys(node, AGENT_PREFIX + name, ssh_keys)
    made = node.desk.agent(
        name=name,
        key=key,
        next_key_digest=following,
        custody_class=SSH_AGENT if ssh_keys else node.keyring.custody_class,
        capabilities=wanted,
        hours=hours,
    )
    node.signers.refresh()
    await admit_own(node, [made.to_bytes()])
    if ssh_keys:
        await open_session(node, name)
    return _agent_view(name, made, is_valid=True)


async def _keys(node: Node, key_name: str, ssh_keys: Sequence[str]) -> tuple[PublicKey, Digest]:
    """The agent's key and its commitment: kept from before, made here, or the ssh-agent's."""
    if ssh_keys:
        first, second = await trio.to_thread.run_sync(
            lambda: [node.signers.outside.find(said).public for said in ssh_keys]
        )
        if first == second:
            raise ConfigError("one key cannot succeed itself", hint="make another: `ssh-keygen`")
        if key_name in node.keyring.names():
            raise StateError(f"{key_name!r} is in the keyring", hint="choose another name")
        node.signers.outside.keep(key_name, first, second)
        return first, second.digest
    if key_name not in node.keyring.names():
        make_pair(node.keyring, key_name)
    held, following = node.keyring.signer(key_name), node.keyring.next_signer(key_name)
    return held.public, following.public.digest


async def open_session(node: Node, name: str) -> View:
    """A new session of an agent, signed by its own key wherever that lies; replaces the last."""
    made = await node.sessions.open(name, own_agent(node, name))
    await admit_own(node, [made.to_bytes()])
    return {
        "name": name,
        "session": made.id.hex(),
        "key": made.record.key.octets.hex(),
        "not_after_ms": made.record.not_after_ms,
    }


async def admit_own(node: Node, envelopes: Sequence[bytes]) -> None:
    """Takes records made here; raises `StateError` where one is refused."""
    outcomes = await node.admit(envelopes)
    refused = [outcome for outcome in outcomes if outcome != "admitted"]
    if refused:
        raise StateError(f"the new record was refused: {refused[0]}", hint="see `hive doctor`")


async def renew_agent(node: Node, name: str) -> View:
    """The same key with new dates."""
    signed = own_agent(node, name)
    signer = node.signers.named(AGENT_PREFIX + name)
    letter = await trio.to_thread.run_sync(agent_renewal, signer, signed.id)
    reply, _ = node.desk.renew(letter)
    if reply.refusal:
        raise NotPermitted(reply.refusal, hint="ask on the node that holds the issuer's key")
    await admit_own(node, reply.records)
    return _agent_view(name, node.upkeep.agents()[name], is_valid=True)


def own_agent(node: Node, name: str) -> Signed[AgentRecord]:
    """An agent of this node by name; raises `StateError`."""
    signed = node.upkeep.agents().get(name)
    if signed is None:
        raise StateError(f"no agent {name!r} here", hint="see `hive agent list`")
    return signed
