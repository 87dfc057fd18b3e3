"""The layout of datagrams: what lies where, and nothing about when.

    type  body                                                          of bytes
    HELLO    conversation 16, versions 2, zeros to the full size        1,200
    COOKIE   conversation 16, cookie 24                                 41
    CLAIM    conversation 16, cookie 24, versions 2, boot 8, record     ≤ 1,200
    WELCOME  conversation 16, length 2, node record, nonce 24, box      ≤ 1,200
    CONFIRM  conversation 16, nonce 24, box                             139
    WANT     conversation 16, page 1                                    18
    PAGE     conversation 16, page 1, page count 1, chunk               ≤ 1,200
    SEALED   nonce 24, box                                              106..1,200
    RESET    nonce 24 of a sealed datagram that nobody here can open    25
    VERSIONS conversation 16, versions 2: we do not speak the hello's   19

nonce = first 8 bytes of the sender's id ‖ sender's boot ‖ counter; a sealed plaintext begins
[sender 20, receiver 20, sender boot 8, receiver boot echoed 8, counter 8, kind 1]. All of it has
fixed places, so every byte string has at most one reading and no parser can fail half-way;
records inside are opaque here and are decoded by `hive.trust.envelope`.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from hive.errors import MalformedFrame
from hive.transport.cookies import COOKIE_BYTES
from hive.trust.sealing import BOX_OVERHEAD_BYTES, NONCE_BYTES, open_box, seal
from hive.wire.ids import PeerId
from hive.wire.version import OWN, Versions, versions_untrusted

DATAGRAM_BYTES_MAX: Final = 1_200
HELLO, COOKIE, CLAIM, WELCOME, CONFIRM, WANT, PAGE, SEALED, RESET, VERSIONS = range(1, 11)

KIND_PATH_CHALLENGE: Final = 1
KIND_PATH_RESPONSE: Final = 2
KIND_WELCOME: Final = 3
KIND_CONFIRM: Final = 4
KIND_APPLICATION_FIRST: Final = 16
"""Kinds below are transport's own; messages of the machines above use 16..255."""

CONVERSATION_BYTES: Final = 16
CHALLENGE_BYTES: Final = 16
TAG_BYTES: Final = 8
COUNTER_MAX: Final = 2**64 - 1

HEADER: Final = Struct(">20s20sQQQB")
ENDS: Final = Struct(">20s20sQQ")
NUMBER: Final = Struct(">QB")
NONCE: Final = Struct(">8sQQ")
_TYPE: Final = tuple(bytes((number,)) for number in range(11))
_BODY_AT: Final = 1 + CONVERSATION_BYTES
VERSIONS_BYTES: Final = 2
_CLAIM_BOOT_AT: Final = _BODY_AT + COOKIE_BYTES + VERSIONS_BYTES
_CLAIM_RECORD_AT: Final = _CLAIM_BOOT_AT + 8
_WELCOME_RECORD_AT: Final = _BODY_AT + 2
WELCOME_PLAIN_BYTES: Final = CONVERSATION_BYTES + CHALLENGE_BYTES + 2 * VERSIONS_BYTES
"""Conversation, challenge, the callee's versions, and the caller's as the callee heard them."""
CONFIRM_PLAIN_BYTES: Final = CHALLENGE_BYTES + 1
"""Challenge, and the version agreed on."""
_WELCOME_SEALED_BYTES: Final = NONCE_BYTES + HEADER.size + WELCOME_PLAIN_BYTES + BOX_OVERHEAD_BYTES
CONFIRM_BYTES: Final = (
    _BODY_AT + NONCE_BYTES + HEADER.size + CONFIRM_PLAIN_BYTES + BOX_OVERHEAD_BYTES
)
SEALED_BYTES_MIN: Final = 1 + NONCE_BYTES + HEADER.size + BOX_OVERHEAD_BYTES

PAYLOAD_BYTES_MAX: Final = DATAGRAM_BYTES_MAX - SEALED_BYTES_MIN
"""Most bytes a message of the machines above may have: 1,094."""
RECORD_INLINE_BYTES_MAX: Final = DATAGRAM_BYTES_MAX - _WELCOME_RECORD_AT - _WELCOME_SEALED_BYTES
"""A longer node record travels in pages."""
CHUNK_BYTES_MAX: Final = DATAGRAM_BYTES_MAX - _BODY_AT - 2


@dataclass(frozen=True, slots=True)
class Ends:
    """The four names every sealed plaintext begins with, as its sender sees them."""

    sender: PeerId
    receiver: PeerId
    sender_boot: int
    receiver_boot: int

    def to_bytes(self) -> bytes:
        """The first 56 bytes of every plaintext between them."""
        return ENDS.pack(self.sender, self.receiver, self.sender_boot, self.receiver_boot)


def seal_for(key: bytes, ends: Ends, counter: int, kind: int, payload: bytes) -> bytes:
    """nonce ‖ box."""
    nonce = NONCE.pack(ends.sender[:TAG_BYTES], ends.sender_boot, counter)
    header = HEADER.pack(
        ends.sender, ends.receiver, ends.sender_boot, ends.receiver_boot, counter, kind
    )
    return nonce + seal(key, nonce, header + payload)


def open_from(key: bytes, ends: Ends, kind: int, untrusted: bytes) -> tuple[int, bytes] | None:
    """Counter and payload of a `seal_for` with these very ends and kind, else None."""
    nonce = untrusted[:NONCE_BYTES]
    plaintext = open_box(key, nonce, untrusted[NONCE_BYTES:])
    if plaintext is None or len(plaintext) < HEADER.size:
        return None
    sender, receiver, sender_boot, receiver_boot, counter, found = HEADER.unpack_from(plaintext)
    if nonce != NONCE.pack(sender[:TAG_BYTES], sender_boot, counter) or found != kind:
        return None
    if Ends(sender, receiver, sender_boot, receiver_boot) != ends:
        return None
    return counter, plaintext[HEADER.size :]


def hello(conversation: bytes, versions: Versions = OWN) -> bytes:
    """Padded to the full size: the answer to a spoofed address is smaller than the question.

    Its layout stays the same in every version, as does that of the refusal.
    """
    said = _TYPE[HELLO] + conversation + versions.to_bytes()
    return said.ljust(DATAGRAM_BYTES_MAX, b"\0")


def refusal(conversation: bytes, versions: Versions) -> bytes:
    """The answer to a hello whose versions do not meet ours."""
    return _TYPE[VERSIONS] + conversation + versions.to_bytes()


def cookie(conversation: bytes, made: bytes) -> bytes:
    """The answer to a hello."""
    return _TYPE[COOKIE] + conversation + made


def claim(
    conversation: bytes, made: bytes, boot: int, record: bytes, versions: Versions = OWN
) -> bytes:
    """The hello with cookie and node record; a record too long to fit is left out and paged."""
    carried = record if len(record) <= RECORD_INLINE_BYTES_MAX else b""
    said = versions.to_bytes() + boot.to_bytes(8, "big")
    return _TYPE[CLAIM] + conversation + made + said + carried


def welcome(conversation: bytes, record: bytes, sealed: bytes) -> bytes:
    """The answer to a claim that was admitted."""
    carried = record if len(record) <= RECORD_INLINE_BYTES_MAX else b""
    return _TYPE[WELCOME] + conversation + len(carried).to_bytes(2, "big") + carried + sealed


def confirm(conversation: bytes, sealed: bytes) -> bytes:
    """The answer to a welcome that was admitted."""
    return _TYPE[CONFIRM] + conversation + sealed


def want(conversation: bytes, page: int) -> bytes:
    """Asks the other side of a conversation for one page of its records."""
    return _TYPE[WANT] + conversation + bytes((page,))


def page(conversation: bytes, number: int, count: int, chunk: bytes) -> bytes:
    """One page of records."""
    return _TYPE[PAGE] + conversation + bytes((number, count)) + chunk


def sealed(nonce_and_box: bytes) -> bytes:
    """A sealed datagram between contacts."""
    return _TYPE[SEALED] + nonce_and_box


def reset(nonce: bytes) -> bytes:
    """Tells the sender of a sealed datagram that nobody here can open it."""
    return _TYPE[RESET] + nonce


def conversation_untrusted(datagram: bytes) -> bytes:
    """The conversation of a first-contact datagram; raises `MalformedFrame` when it is short."""
    if len(datagram) < _BODY_AT:
        raise MalformedFrame("a first-contact datagram is too short")
    return datagram[1:_BODY_AT]


def cookie_untrusted(datagram: bytes) -> bytes:
    """The cookie of a COOKIE or CLAIM; raises `MalformedFrame`."""
    if len(datagram) < _BODY_AT + COOKIE_BYTES:
        raise MalformedFrame("a cookie is too short")
    return datagram[_BODY_AT : _BODY_AT + COOKIE_BYTES]


def versions_of_untrusted(datagram: bytes) -> Versions:
    """What a HELLO or VERSIONS says is spoken there; raises `MalformedFrame`."""
    if len(datagram) < _BODY_AT + VERSIONS_BYTES:
        raise MalformedFrame("no versions are said")
    return versions_untrusted(datagram[_BODY_AT : _BODY_AT + VERSIONS_BYTES])


def claim_untrusted(datagram: bytes) -> tuple[Versions, int, bytes]:
    """Versions, boot and node record of a CLAIM; raises `MalformedFrame`."""
    if len(datagram) < _CLAIM_RECORD_AT:
        raise MalformedFrame("a claim is too short")
    versions = versions_untrusted(datagram[_CLAIM_BOOT_AT - VERSIONS_BYTES : _CLAIM_BOOT_AT])
    boot = int.from_bytes(datagram[_CLAIM_BOOT_AT:_CLAIM_RECORD_AT], "big")
    return versions, boot, datagram[_CLAIM_RECORD_AT:]


def welcome_untrusted(datagram: bytes) -> tuple[bytes, bytes]:
    """Node record and sealed part of a WELCOME; raises `MalformedFrame`."""
    length = int.from_bytes(datagram[_BODY_AT:_WELCOME_RECORD_AT], "big")
    if len(datagram) != _WELCOME_RECORD_AT + length + _WELCOME_SEALED_BYTES:
        raise MalformedFrame("a welcome has a wrong length")
    end = _WELCOME_RECORD_AT + length
    return datagram[_WELCOME_RECORD_AT:end], datagram[end:]


def page_untrusted(datagram: bytes) -> tuple[int, int, bytes]:
    """Number, count and chunk of a PAGE; raises `MalformedFrame`."""
    if len(datagram) < _BODY_AT + 2:
        raise MalformedFrame("a page is too short")
    number, count = datagram[_BODY_AT], datagram[_BODY_AT + 1]
    if number >= count:
        raise MalformedFrame("a page lies behind the last one")
    return number, count, datagram[_BODY_AT + 2 :]


def want_untrusted(datagram: bytes) -> int:
    """The page that a WANT asks for; raises `MalformedFrame`."""
    if len(datagram) != _BODY_AT + 1:
        raise MalformedFrame("a want has a wrong length")
    return datagram[_BODY_AT]


def confirm_untrusted(datagram: bytes) -> bytes:
    """Nonce and box of a CONFIRM; raises `MalformedFrame`."""
    if len(datagram) != CONFIRM_BYTES:
        raise MalformedFrame("a confirm has a wrong length")
    return datagram[_BODY_AT:]
