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

from hive.custody.file import MARK, FileKeyring
from hive.custody.keyfile import read_private, write_private
from hive.custody.passphrase import Passphrase
from hive.errors import MalformedFrame, NotPermitted, StateError, TransportError
from hive.node import clocks
from hive.node.config import NodeConfig
from hive.node.errands import exchange
from hive.node.home import (
    DATAGRAM,
    NODE,
    Home,
    Made,
    datagram_key,
    make_datagram_key,
    make_folder,
    make_pair,
    settle,
)
from hive.node.paperwork import EnrolmentLetter, EnrolmentReply
from hive.transport.addresses import parse_address
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
from hive.wire.ids import DIGEST_BYTES, FederationId, digest

LETTER_FILE: Final = "join.letter"
"""What was said with an invite, kept until it was answered."""


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
    home = Home(path)
    keyring = _keyring(home, passphrase)
    request = _node_request(invite, keyring, name, zone, cell)
    records, federation, leaf = trio.run(enrol, path / LETTER_FILE, invite, request)
    settings = NodeConfig(
        name=request.name,
        federation=federation.hex(),
        listen=host,
        advertise=advertise,
        udp_port=port,
        tls_port=port,
        bootstrap=invite.addresses,
    )
    write_private(home.leaf, leaf)
    settle(home, settings, records)
    (path / LETTER_FILE).unlink()
    return Made(
        path=path,
        federation=settings.federation,
        name=request.name,
        org=invite.org,
        agent="",
        namespaces=(),
        custody_class=keyring.custody_class,
    )


async def enrol(
    letter: Path, invite: Invite, request: EnrolmentRequest
) -> tuple[tuple[bytes, ...], FederationId, bytes]:
    """Uses the invite: the verified records down to the new one, the federation, the TLS leaf.

    What was said is kept in the file `letter` until the caller removes it.
    """
    reply = await _say(invite, _letter(letter, invite, request))
    records, federation = _verified(invite, _opened(invite, reply))
    return records, federation, reply.leaf


def _keyring(home: Home, passphrase: Passphrase | None) -> FileKeyring:
    """A new folder's keyring, or that of a try which was never answered."""
    is_begun = not home.exists and (home.keys / MARK).exists()
    return home.open_keyring(passphrase) if is_begun else make_folder(home.path, passphrase)


def _letter(path: Path, invite: Invite, request: EnrolmentRequest) -> bytes:
    """The sealed request; the very same again where this invite was tried before.

    An answer may have been lost on its way: another letter would be a second use.
    """
    mark = digest("hive/join", invite.secret)
    kept = read_private(path) if path.exists() else b""
    if kept[:DIGEST_BYTES] == mark:
        return kept[DIGEST_BYTES:]
    sealed = seal_request(invite.secret, request, clocks.entropy(NONCE_BYTES))
    write_private(path, mark + sealed)
    return sealed


def _node_request(
    invite: Invite, keyring: FileKeyring, name: str, zone: str, cell: str
) -> EnrolmentRequest:
    if NODE not in keyring.names():
        make_pair(keyring, NODE)
    if DATAGRAM not in keyring.names():
        make_datagram_key(keyring)
    held = keyring.signer(NODE)
    return EnrolmentRequest(
        kind="node",
        name=name or invite.name,
        key=held.public,
        next_key_digest=keyring.next_signer(NODE).public.digest,
        datagram_key=datagram_key(keyring.signer(DATAGRAM)).public,
        region=invite.region,
        zone=zone,
        cell=cell,
        storage_backends=("lmdb",),
        custody_class=keyring.custody_class,
        possession=prove_possession(invite.secret, held.key),
    )


async def _say(invite: Invite, sealed: bytes) -> EnrolmentReply:
    """Says the letter to the first address that answers."""
    failures = []
    for address in invite.addresses:
        try:
            untrusted = await exchange(address, EnrolmentLetter(sealed).to_body())
            return EnrolmentReply.from_body_untrusted(untrusted)
        except (TransportError, MalformedFrame) as error:
            failures.append(str(error))
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
