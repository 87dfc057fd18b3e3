"""Joining a federation with nothing but an invite.

The joiner makes its keys, dials any of the invite's addresses and says one letter sealed by the
invite's secret. The answer is believed only if it opens with that secret, its root is the one
the invite names, and every record in it verifies. The same letter may be said again after a
broken line: it is the same request, not a second use.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import trio

from hive.custody.file import FileKeyring
from hive.custody.passphrase import Passphrase
from hive.errors import HiveError, NotPermitted, StateError, TransportError
from hive.node import clocks
from hive.node.config import NodeConfig
from hive.node.home import (
    NODE,
    Home,
    Made,
    make_datagram_key,
    make_folder,
    make_pair,
    settle,
)
from hive.node.paperwork import EnrolmentLetter, EnrolmentReply
from hive.transport.addresses import parse_address
from hive.transport.contexts import TlsContexts
from hive.transport.stream_config import StreamConfig
from hive.transport.streams import TlsStreams
from hive.trust.envelope import parse_untrusted
from hive.trust.invite import (
    EnrolmentAnswer,
    EnrolmentRequest,
    Invite,
    open_answer,
    prove_possession,
    read_invite,
    seal_request,
)
from hive.trust.records import AgentRecord, NodeRecord
from hive.trust.sealing import NONCE_BYTES
from hive.trust.state import TrustConfig, TrustState
from hive.trust.verdicts import Admitted
from hive.wire.ids import FederationId

BYTES_MAX: Final = 64 * 1024
DEADLINE_S: Final = 20


class _NobodyKnown:
    """The book of a joiner: it knows no node and no issuer yet."""

    def node(self, inception: object, record_id: object) -> None:
        """Nobody."""
        return

    def issuer_anchors(self) -> tuple[bytes, ...]:
        """None."""
        return ()


def join(
    path: Path,
    invite_text: str,
    *,
    name: str = "",
    zone: str = "zone-1",
    cell: str = "cell-1",
    listen: str = "127.0.0.1:0",
    advertise: str = "",
    passphrase: Passphrase | None = None,
) -> Made:
    """Makes a home, enrols its node through the invite, and keeps what came back."""
    invite = read_invite(invite_text.encode(), clocks.read().wall_us // 1_000)
    if invite.kind != "node":
        raise StateError("this invite is for an agent", hint="use `hive agent join` on a node")
    host, port = parse_address(listen)
    keyring = make_folder(path, passphrase)
    request = _node_request(invite, keyring, name, zone, cell)
    sealed = seal_request(invite.secret, request, clocks.entropy(NONCE_BYTES))
    reply = trio.run(_say, invite, sealed)
    answer = _opened(invite, reply)
    records, federation = _verified(invite, answer)
    home = Home(path)
    settings = NodeConfig(
        name=request.name,
        federation=federation.hex(),
        listen=host,
        advertise=advertise,
        udp_port=port,
        tls_port=port,
        bootstrap=invite.addresses,
    )
    settle(home, settings, records)
    home.leaf.write_bytes(reply.leaf)
    return Made(
        path=path,
        federation=settings.federation,
        name=request.name,
        org=invite.org,
        agent="",
        namespaces=(),
        custody_class=keyring.custody_class,
    )


def _node_request(
    invite: Invite, keyring: FileKeyring, name: str, zone: str, cell: str
) -> EnrolmentRequest:
    pair = make_pair(keyring, NODE)
    return EnrolmentRequest(
        kind="node",
        name=name or invite.name,
        key=pair.key.public,
        next_key_digest=pair.next_key_digest,
        datagram_key=make_datagram_key(keyring),
        region=invite.region,
        zone=zone,
        cell=cell,
        storage_backends=("lmdb",),
        custody_class=keyring.custody_class,
        possession=prove_possession(invite.secret, pair.key),
    )


async def _say(invite: Invite, sealed: bytes) -> EnrolmentReply:
    """Says the letter to the first address that answers."""
    streams = TlsStreams(StreamConfig(), TlsContexts(None, ()), _NobodyKnown())
    failures = []
    for address in invite.addresses:
        try:
            with trio.fail_after(DEADLINE_S):
                stream = await streams.dial_unsafe_for_enrolment(parse_address(address))
                await stream.send(EnrolmentLetter(sealed).to_body())
                untrusted = await stream.receive()
                await stream.abort()
            if untrusted:
                return EnrolmentReply.from_body_untrusted(untrusted)
            failures.append(f"{address}: closed without an answer")
        except (HiveError, trio.TooSlowError) as error:
            failures.append(f"{address}: {error or 'no answer in time'}")
    raise TransportError(
        f"no address of the invite answered ({'; '.join(failures)})",
        hint="is the inviting node up (`hive up`), and reachable from here?",
    )


def _opened(invite: Invite, reply: EnrolmentReply) -> EnrolmentAnswer:
    if not reply.sealed:
        raise NotPermitted(
            "the inviting node refused: the invite is unknown there, spent or expired",
            hint="ask for a new invite; each serves once, within its hours",
        )
    answer = open_answer(invite.secret, reply.sealed)
    if answer.refusal:
        raise NotPermitted(f"the inviting node refused: {answer.refusal}", hint="ask its operator")
    return answer


def _verified(invite: Invite, answer: EnrolmentAnswer) -> tuple[tuple[bytes, ...], FederationId]:
    """Admits every record, in order, under the federation and root that the invite names."""
    federation = FederationId(invite.federation)
    trust = TrustState(federation, TrustConfig())
    now_ms = clocks.read().wall_us // 1_000
    for envelope in answer.records:
        verdict = trust.admit(envelope, now_ms)
        if not isinstance(verdict, Admitted):
            raise NotPermitted(f"the answer does not verify: {verdict}", hint="trust no such node")
    root = trust.root
    if root is None or trust.signed(root.id) is None or root.id != invite.root:
        raise NotPermitted("the answer's root is not the invite's", hint="trust no such node")
    last = parse_untrusted(answer.records[-1]).record
    if not isinstance(last, NodeRecord | AgentRecord):
        raise NotPermitted("the answer holds no record for us", hint="ask for a new invite")
    return answer.records, federation
