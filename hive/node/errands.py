"""Paperwork said to a node of the organisation by who has no leaf to show.

A joiner has none yet, a node whose record ended has none any more, and a copied store must not
show the original's. So these letters go over an anonymous stream, and nothing is believed of
whoever answers: an enrolment is sealed by the invite's secret, a renewal brings records that
must verify up to our own root.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio

from hive.errors import HiveError, MalformedFrame, TransportError
from hive.node.paperwork import RenewalLetter, RenewalReply
from hive.transport.addresses import parse_address
from hive.transport.contexts import TlsContexts
from hive.transport.stream_config import StreamConfig
from hive.transport.streams import TlsStreams
from hive.trust.envelope import parse_untrusted
from hive.trust.records import AgentRecord, NodeRecord

DEADLINE_S: Final = 20


class _NobodyKnown:
    """The book of an errand: it knows no node and no issuer."""

    def node(self, inception: object, record_id: object) -> None:
        """Nobody."""
        return

    def issuer_anchors(self) -> tuple[bytes, ...]:
        """None."""
        return ()


async def exchange(address: str, payload: bytes, deadline_s: float = DEADLINE_S) -> bytes:
    """Says one frame to whoever is there and gives the untrusted answer."""
    streams = TlsStreams(StreamConfig(), TlsContexts(None, ()), _NobodyKnown())
    try:
        with trio.fail_after(deadline_s):
            stream = await streams.dial_unsafe_for_enrolment(parse_address(address))
            try:
                await stream.send(payload)
                untrusted = await stream.receive()
            finally:
                with trio.CancelScope(shield=True):
                    await stream.abort()
    except trio.TooSlowError:
        raise TransportError(f"{address}: no answer in time") from None
    except HiveError as error:
        raise TransportError(f"{address}: {error}") from None
    if not untrusted:
        raise TransportError(f"{address}: closed without an answer")
    return untrusted


async def ask_for_renewal(
    addresses: Sequence[str], letter: RenewalLetter, deadline_s: float = DEADLINE_S
) -> tuple[RenewalReply | None, list[str]]:
    """The first reply that grants something, and what was heard before it.

    What is no record of the letter's key grants nothing, so whoever answers first with other
    things keeps nobody from the issuer.
    """
    heard: list[str] = []
    for address in addresses:
        try:
            untrusted = await exchange(address, letter.to_body(), deadline_s)
            reply = RenewalReply.from_body_untrusted(untrusted)
        except (TransportError, MalformedFrame) as error:
            heard.append(str(error))
            continue
        if _grants(reply, letter):
            return reply, heard
        heard.append(f"{address}: {reply.refusal or 'no record of the key'}")
    return None, heard


def _grants(reply: RenewalReply, letter: RenewalLetter) -> bool:
    """Whether the reply ends in another record of the key that the letter names."""
    if reply.refusal or not reply.records:
        return False
    try:
        signed = parse_untrusted(reply.records[-1])
    except MalformedFrame:
        return False
    record = signed.record
    is_of_key = isinstance(record, NodeRecord | AgentRecord) and record.key == letter.key
    return is_of_key and signed.id != letter.record_id
