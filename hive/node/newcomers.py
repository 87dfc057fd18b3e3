"""An agent that joins a node which cannot issue: with an invite from one that can.

The key is made here and stays here; the inviting node learns only its public half.
"""

from __future__ import annotations

import dataclasses

from hive.custody.signer import HeldKey
from hive.errors import StateError
from hive.node import clocks, config
from hive.node.enrolment import enrol
from hive.node.home import AGENT_PREFIX, make_pair, require_names
from hive.node.node import Node
from hive.trust.envelope import parse_untrusted
from hive.trust.invite import EnrolmentRequest, Invite, prove_possession, read_invite
from hive.trust.records import AgentRecord
from hive.wire.ids import DIGEST_BYTES


async def join_agent(node: Node, invite_text: str) -> AgentRecord:
    """Enrols an agent of this node; it becomes the home's own where there is none yet."""
    invite = read_invite(invite_text.encode(), clocks.read().wall_us // 1_000)
    _require_fitting(node, invite)
    request = _request(node, invite)
    letter = node.home.path / f"{AGENT_PREFIX}{invite.name}.letter"
    records, _, _ = await enrol(letter, invite, request)
    node.signers.refresh()
    trust = node.peer.core.trust
    fresh = [each for each in records if trust.signed(parse_untrusted(each).id) is None]
    refused = [outcome for outcome in await node.admit(fresh) if outcome != "admitted"]
    if refused:
        raise StateError(f"the new record was refused: {refused[0]}", hint="see `hive doctor`")
    letter.unlink()
    _make_default(node, invite)
    made = parse_untrusted(records[-1]).record
    assert isinstance(made, AgentRecord)
    return made


def _require_fitting(node: Node, invite: Invite) -> None:
    if invite.kind != "agent":
        raise StateError("this invite is for a node", hint="use `hive join` in another home")
    if invite.federation != node.peer.core.federation:
        raise StateError(
            "this invite is for another federation", hint="use a node of that federation"
        )
    require_names(invite.name)
    if invite.name in node.upkeep.agents():
        raise StateError(f"an agent {invite.name!r} exists here", hint="see `hive agent list`")


def _request(node: Node, invite: Invite) -> EnrolmentRequest:
    name = AGENT_PREFIX + invite.name
    if name not in node.keyring.names():
        make_pair(node.keyring, name)
    held: HeldKey = node.keyring.signer(name)
    return EnrolmentRequest(
        kind="agent",
        name=invite.name,
        key=held.public,
        next_key_digest=node.keyring.next_signer(name).public.digest,
        datagram_key=bytes(DIGEST_BYTES),
        region="",
        zone="",
        cell="",
        storage_backends=(),
        custody_class=node.keyring.custody_class,
        possession=prove_possession(invite.secret, held.key),
    )


def _make_default(node: Node, invite: Invite) -> None:
    """The first agent of a home is the one that commands mean when they name none."""
    settings = node.settings
    if settings.agent:
        return
    prefix = invite.capabilities[0].prefix if invite.capabilities else ""
    node.settings = dataclasses.replace(
        settings, agent=invite.name, namespace=settings.namespace or prefix
    )
    kept = config.load(node.home.config_file, environment={})
    config.write(
        node.home.config_file,
        dataclasses.replace(kept, agent=invite.name, namespace=kept.namespace or prefix),
    )
