"""A copied or restored store gets a node identity of its own before it authors.

The original may have signed what the copy does not hold, or goes on signing; under the same
identity they would fork each other's logs. So a copy asks the issuer of its organisation for a
new node record under fresh keys that no other copy of the keyring can know. Until it is granted
the copy reads, writes nothing and stays off the network. What a crash leaves half done is a
record under lost keys, which nobody uses; the copy asks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import trio

from hive.custody.file import FileKeyring
from hive.custody.keyfile import write_private
from hive.errors import HiveError
from hive.node.desk import Desk
from hive.node.errands import ask_for_renewal
from hive.node.home import Home
from hive.node.identity import FreshKeys, rebirth, settled_here
from hive.node.logs import Log
from hive.node.paperwork import RenewalLetter, RenewalReply
from hive.protocol.peer import Peer
from hive.store.lmdb_store import LmdbStore
from hive.trust.envelope import parse_untrusted

RETRY_S: Final = 5
DEADLINE_S: Final = 5


class Copy(Protocol):
    """What of a node matters here."""

    home: Home
    keyring: FileKeyring
    store: LmdbStore
    peer: Peer
    desk: Desk
    log: Log
    stop: trio.Event
    is_reborn: bool

    def kin_addresses(self) -> list[str]:
        """Where nodes of this organisation answer streams."""

    async def admit(self, envelopes: Sequence[bytes]) -> tuple[str, ...]:
        """Takes records through the peer's door."""


async def be_reborn(node: Copy, *, is_online: bool) -> bool:
    """Asks for the new identity and takes it up; the node must be opened anew then."""
    fresh = FreshKeys.draw()
    letter = rebirth(node.keyring, node.peer.core.own.record, fresh)
    reply = await _granted(node, letter, is_online=is_online)
    if reply is None or not reply.records:
        return False
    await node.admit(reply.records)
    made = parse_untrusted(reply.records[-1])
    if getattr(made.record, "key", None) != fresh.node.public:
        node.log.write("warning", "rebirth_refused", reason="the answer is for another key")
        return False
    if node.peer.core.trust.signed(made.id) is None:
        node.log.write("warning", "rebirth_refused", reason="the new record does not verify")
        return False
    fresh.replace_those_of(node.keyring)
    if reply.leaf:
        write_private(node.home.leaf, reply.leaf)
    node.store.apply(list(settled_here(node.home)))
    node.log.write("warning", "new_identity", reason="the store is a copy or was restored")
    return True


async def _granted(node: Copy, letter: RenewalLetter, *, is_online: bool) -> RenewalReply | None:
    """What the own desk or one of the organisation's nodes says; None where nobody grants."""
    heard = ["this process does not go online; run `hive up`"]
    if node.desk.is_open:
        reply, _ = node.desk.renew(letter)
        if not reply.refusal:
            return reply
        heard = [reply.refusal]
    elif is_online:
        granted, heard = await ask_for_renewal(node.kin_addresses(), letter, DEADLINE_S)
        if granted is not None:
            return granted
    node.log.write("warning", "rebirth_unanswered", reason=heard)
    return None


async def await_rebirth(node: Copy) -> None:
    """Asks again and again; when it is granted the node stops, to be opened anew."""
    while True:
        await trio.sleep(RETRY_S)
        try:
            node.is_reborn = await be_reborn(node, is_online=True)
        except HiveError as error:
            node.log.write("error", "rebirth_failed", reason=str(error), hint=error.hint)
        if node.is_reborn:
            node.stop.set()
            return
