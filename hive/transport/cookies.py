"""Stateless cookies: proof that whoever sent an address also receives there.

cookie = slot ‖ HMAC(secret of the slot, slot ‖ conversation ‖ address). A time slot lasts
`life_us`; its secret is drawn when it begins, and only this slot's and the last one's are known,
so a cookie is good for one to two lives and nothing is kept per stranger.
"""

from __future__ import annotations

from typing import Final

from hive.transport.addresses import Address, address_bytes
from hive.trust.sealing import AUTHENTICATOR_BYTES, authenticate, is_authentic
from hive.wire.randomness import Stream

_SLOT_BYTES: Final = 8
COOKIE_BYTES: Final = _SLOT_BYTES + AUTHENTICATOR_BYTES


class CookieJar:
    """Makes and checks cookies; holds two secrets and nothing else."""

    __slots__ = ("_current", "_last", "_life_us", "_slot", "_stream")

    def __init__(self, stream: Stream, life_us: int) -> None:
        self._stream = stream
        self._life_us = life_us
        self._slot = -1
        self._current = self._draw()
        self._last = self._draw()

    def make(self, address: Address, conversation: bytes, now_us: int) -> bytes:
        """The cookie for whoever calls from this address in this conversation."""
        self._turn(now_us)
        slot = self._slot.to_bytes(_SLOT_BYTES, "big")
        return slot + authenticate(self._current, slot + conversation + address_bytes(address))

    def is_own(
        self, address: Address, conversation: bytes, untrusted_cookie: bytes, now_us: int
    ) -> bool:
        """Whether this jar made the cookie for them in this slot or the last."""
        self._turn(now_us)
        slot, authenticator = untrusted_cookie[:_SLOT_BYTES], untrusted_cookie[_SLOT_BYTES:]
        age = self._slot - int.from_bytes(slot, "big")
        if age not in (0, 1):
            return False
        secret = self._last if age else self._current
        return is_authentic(secret, slot + conversation + address_bytes(address), authenticator)

    def _turn(self, now_us: int) -> None:
        slot = max(0, now_us) // self._life_us
        if slot <= self._slot:
            return
        self._last = self._current if slot == self._slot + 1 else self._draw()
        self._current = self._draw()
        self._slot = slot

    def _draw(self) -> bytes:
        return self._stream.bits(256).to_bytes(32, "big")
