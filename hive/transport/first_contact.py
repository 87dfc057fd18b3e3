"""First contact: how two nodes that never spoke come to share keys.

    caller                                   callee
    HELLO conversation, padded        →      nothing kept, nothing verified
                                      ←      COOKIE over (address, conversation)
    CLAIM cookie, boot, node record   →      address proven; Greeted → chain verified above
                                      ←      WELCOME node record, sealed [conversation, challenge]
    Greeted → chain verified above
    CONFIRM sealed [challenge]        →      both sides reached

The conversation is 16 fresh random bytes of the caller and returns inside the callee's box; the
challenge is 16 of the callee's and returns inside the caller's. So each side knows that the
other holds the datagram key of the record *now*; both boots stand in both boxes, and so do the
versions: what a caller says openly is echoed inside, so nobody between can lower them. Whoever
misses the other's issuer or org asks for pages of records (WANT, PAGE) in the same conversation,
which both addresses have proven by then. Unanswered messages are repeated with back-off; every
conversation ends. Two simultaneous calls are two conversations that agree on the same keys;
the second changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from hive.errors import MalformedFrame
from hive.transport import packets
from hive.transport.addresses import Address, subnet_of
from hive.transport.buckets import BucketTable
from hive.transport.contacts import ContactTable, agree
from hive.transport.conversations import Agreement, Conversation, ConversationTable, Phase
from hive.transport.cookies import CookieJar
from hive.transport.datagram_config import DatagramConfig
from hive.transport.events import (
    ContactAdmitted,
    Drop,
    Effect,
    Greeted,
    OwnIdentity,
    PeerUnreachable,
    Transmit,
)
from hive.transport.packets import CHALLENGE_BYTES, CONVERSATION_BYTES, Ends
from hive.transport.paging import cut
from hive.trust.sealing import NONCE_BYTES
from hive.wire.clock import SECOND_US
from hive.wire.ids import PeerId
from hive.wire.randomness import Stream
from hive.wire.version import versions_untrusted

_CLAIMS_PER_COOKIE: Final = 3
"""Unanswered repetitions after which the caller asks for a new cookie."""
_COUNTER_BITS: Final = 36
"""Datagrams between two handshakes with one contact: a record's 24 h would need 795,000 a second
to use them up; 2^28 handshakes a boot remain."""


class FirstContact:
    """The rules of all conversations under way, those begun here and those begun there."""

    def __init__(
        self,
        config: DatagramConfig,
        own: OwnIdentity,
        stream: Stream,
        contacts: ContactTable,
        drops: Counter[Drop],
    ) -> None:
        self._config = config
        self._stream = stream
        self._contacts = contacts
        self._drops = drops
        self._table = ConversationTable(config)
        self._jar = CookieJar(stream, config.cookie_life_us)
        self._hellos = self._budget(config.hello_per_second, config.hello_burst)
        self._claims = self._budget(config.claim_per_second, config.claim_burst)
        self._walks = self._budget(config.cold_walk_per_second, config.cold_walk_burst)
        self._ordinal = 0
        self.deadline_us: int | None = None
        self.present(own)

    def present(self, own: OwnIdentity) -> None:
        """What this node shows of itself from now on."""
        self._own = own
        self._pages = cut((own.record, *own.chain))

    @property
    def conversation_count(self) -> int:
        """How many conversations are kept; a hello without cookie never adds one."""
        return len(self._table)

    @property
    def counter_floor(self) -> int:
        """Every contact spoken to from now on is numbered above this; grows per handshake."""
        return self._ordinal << _COUNTER_BITS

    def forget(self, peer_id: PeerId) -> None:
        """Ends conversations that would establish this peer."""
        for conversation in self._table:
            made = conversation.agreement
            if made is not None and made.admitted.peer_id == peer_id:
                self._table.remove(conversation)

    # -- calling

    def call(self, address: Address, expected: PeerId | None, now_us: int) -> list[Effect]:
        """Begins a call, unless one to this address is under way or too many are."""
        if self._table.is_calling(address):
            return []
        name = self._draw(CONVERSATION_BYTES)
        call = self._table.add_call(name, address, now_us)
        if call is None:
            self._drops[Drop.TABLE_FULL] += 1
            return [PeerUnreachable(expected, address)]
        call.expected = expected
        return self._say(call, Phase.CALLING, packets.hello(name, self._own.versions), now_us)

    def on_cookie(self, address: Address, untrusted: bytes, now_us: int) -> list[Effect]:
        """The callee's address answers: claim who we are."""
        cookie = packets.cookie_untrusted(untrusted)
        call = self._table.call(packets.conversation_untrusted(untrusted), address)
        if call is None or call.phase is not Phase.CALLING:
            return self._drop(Drop.UNEXPECTED)
        call.ends_at_us = call.began_at_us + self._config.conversation_life_us
        message = packets.claim(
            call.id, cookie, self._own.boot, self._own.record, self._own.versions
        )
        return self._say(call, Phase.CLAIMING, message, now_us)

    def on_welcome(self, address: Address, untrusted: bytes, now_us: int) -> list[Effect]:
        """The callee admitted us and presents itself."""
        record, box = packets.welcome_untrusted(untrusted)
        call = self._table.call(packets.conversation_untrusted(untrusted), address)
        if call is None or call.phase not in (Phase.CLAIMING, Phase.DONE):
            return self._drop(Drop.UNEXPECTED)
        if call.phase is Phase.DONE:
            return [Transmit(address, call.message)]
        call.box, call.boot = box, packets.NONCE.unpack(box[:NONCE_BYTES])[1]
        return self._judge(call, record, now_us)

    # -- being called

    def on_hello(self, address: Address, untrusted: bytes, now_us: int) -> list[Effect]:
        """A stranger, at an address that may be forged: a cookie, and no memory of it."""
        if len(untrusted) != packets.DATAGRAM_BYTES_MAX:
            return self._drop(Drop.SIZE)
        if not _may(self._hellos, address, now_us):
            return self._drop(Drop.SUBNET_BUDGET)
        name = packets.conversation_untrusted(untrusted)
        if self._own.versions.agreed(packets.versions_of_untrusted(untrusted)) is None:
            self._drops[Drop.VERSION] += 1
            return [Transmit(address, packets.refusal(name, self._own.versions))]
        made = self._jar.make(address, name, now_us)
        return [Transmit(address, packets.cookie(name, made))]

    def on_claim(self, address: Address, untrusted: bytes, now_us: int) -> list[Effect]:
        """The stranger receives where it sends from; from here on it may cost something."""
        versions, boot, record = packets.claim_untrusted(untrusted)
        name = packets.conversation_untrusted(untrusted)
        if not self._jar.is_own(address, name, packets.cookie_untrusted(untrusted), now_us):
            return self._drop(Drop.BAD_COOKIE)
        known = self._table.greeting(name, address)
        if known is not None:
            return [Transmit(address, known.message)] if known.phase is Phase.WELCOMING else []
        if not _may(self._claims, address, now_us):
            return self._drop(Drop.SUBNET_BUDGET)
        greeting = self._table.add_greeting(name, address, now_us)
        if greeting is None:
            return self._drop(Drop.TABLE_FULL)
        greeting.boot, greeting.versions = boot, versions
        if self._own.versions.agreed(versions) is None:
            return self._fail(greeting, Drop.VERSION)
        self._wake_at(greeting.ends_at_us)
        return self._judge(greeting, record, now_us)

    def on_versions(self, address: Address, untrusted: bytes) -> list[Effect]:
        """The callee speaks none of our versions: one of us is to be upgraded."""
        call = self._table.call(packets.conversation_untrusted(untrusted), address)
        if call is None or call.phase is not Phase.CALLING:
            return self._drop(Drop.UNEXPECTED)
        if self._own.versions.agreed(packets.versions_of_untrusted(untrusted)) is not None:
            return self._drop(Drop.UNEXPECTED)
        return self._fail(call, Drop.VERSION)

    def on_confirm(self, address: Address, untrusted: bytes) -> Agreement | None:
        """The caller proved its key; gives what was agreed."""
        body = packets.confirm_untrusted(untrusted)
        greeting = self._table.greeting(packets.conversation_untrusted(untrusted), address)
        if greeting is None or greeting.agreement is None:
            self._drops[Drop.UNEXPECTED] += 1
            return None
        made = greeting.agreement
        opened = packets.open_from(
            made.keys.inward, self._inward_ends(made), packets.KIND_CONFIRM, body
        )
        if opened is None or opened[1] != greeting.challenge + bytes((made.version,)):
            self._drops[Drop.NOT_AUTHENTIC] += 1
            return None
        self._table.remove(greeting)
        return replace(made, floor=opened[0])

    # -- verdicts

    def admit(
        self, admitted: ContactAdmitted, now_us: int
    ) -> tuple[Agreement | None, list[Effect]]:
        """The chain held: a callee welcomes; a caller opens the welcome and confirms."""
        conversation = self._table.judged(admitted.conversation)
        if conversation is None:
            return None, self._drop(Drop.UNEXPECTED)
        own = self._own
        keys = agree(own.peer_id, own.key, admitted.peer_id, admitted.datagram_public_key)
        if keys is None or self._is_older(admitted, conversation.boot):
            return None, self._fail(conversation, Drop.WRONG_BOOT if keys else Drop.REFUSED)
        self._ordinal += 1
        made = Agreement(admitted, keys, conversation.boot, self.counter_floor)
        if conversation.is_call:
            return self._confirm(conversation, made, now_us)
        version = own.versions.agreed(conversation.versions)
        assert version is not None, "a claim of other versions was refused"
        return None, self._welcome(conversation, replace(made, version=version), now_us)

    def refuse(self, name: bytes) -> list[Effect]:
        """The chain did not hold."""
        conversation = self._table.judged(name)
        if conversation is None:
            return self._drop(Drop.UNEXPECTED)
        return self._fail(conversation, Drop.REFUSED)

    def fetch(self, name: bytes, now_us: int) -> list[Effect]:
        """The chain names records unknown here: ask for all of them when the budget allows."""
        conversation = self._table.judged(name)
        if conversation is None:
            return self._drop(Drop.UNEXPECTED)
        return self._fetch(conversation, now_us)

    # -- pages

    def on_want(self, address: Address, untrusted: bytes) -> list[Effect]:
        """Serves a page of our chain inside a conversation whose address is proven."""
        number = packets.want_untrusted(untrusted)
        found = self._table.either(packets.conversation_untrusted(untrusted), address)
        if found is None or found.phase in (Phase.CALLING, Phase.DONE) or not found.pages_left:
            return self._drop(Drop.UNEXPECTED)
        if number >= len(self._pages):
            return self._drop(Drop.MALFORMED)
        found.pages_left -= 1
        page = packets.page(found.id, number, len(self._pages), self._pages[number])
        return [Transmit(address, page)]

    def on_page(self, address: Address, untrusted: bytes, now_us: int) -> list[Effect]:
        """Takes a page of the other's chain; the last one completes the greeting."""
        number, count, chunk = packets.page_untrusted(untrusted)
        found = self._table.either(packets.conversation_untrusted(untrusted), address)
        if found is None or found.fetch is None or not found.is_walk_paid:
            return self._drop(Drop.UNEXPECTED)
        try:
            records = found.fetch.take(number, count, chunk)
        except MalformedFrame:
            return self._fail(found, Drop.MALFORMED)
        if records is not None:
            self._table.end_fetch(found)
            return self._greet(found, records)
        if number + 1 != found.fetch.next_page:
            return self._drop(Drop.UNEXPECTED)
        message = packets.want(found.id, found.fetch.next_page)
        return self._say(found, Phase.FETCHING, message, now_us)

    # -- time

    def tick(self, now_us: int) -> list[Effect]:
        """Repeats what is due, ends what took too long, finds the next deadline."""
        effects: list[Effect] = []
        deadlines: list[int] = []
        for conversation in self._table:
            if now_us >= conversation.ends_at_us:
                effects += self._expire(conversation)
                continue
            if conversation.message and conversation.phase not in (Phase.JUDGED, Phase.DONE):
                if now_us >= conversation.repeat_at_us:
                    effects += self._repeat(conversation, now_us)
                deadlines.append(conversation.repeat_at_us)
            deadlines.append(conversation.ends_at_us)
        self.deadline_us = min(deadlines, default=None)
        return effects

    def _repeat(self, conversation: Conversation, now_us: int) -> list[Effect]:
        conversation.repeat_count += 1
        conversation.interval_us = min(2 * conversation.interval_us, self._config.retry_most_us)
        conversation.repeat_at_us = now_us + conversation.interval_us
        match conversation.phase:
            case Phase.FETCHING if not self._is_walk_paid(conversation, now_us):
                conversation.repeat_at_us = now_us + SECOND_US
                return []
            case Phase.CLAIMING if conversation.repeat_count > _CLAIMS_PER_COOKIE:
                conversation.phase = Phase.CALLING
                conversation.message = packets.hello(conversation.id, self._own.versions)
        return [Transmit(conversation.address, conversation.message)]

    def _expire(self, conversation: Conversation) -> list[Effect]:
        self._table.remove(conversation)
        return _unreachable(conversation)

    # -- steps

    def _judge(self, conversation: Conversation, record: bytes, now_us: int) -> list[Effect]:
        """Asks for the verdict on a record, or for the record where it did not fit."""
        if not record:
            return self._fetch(conversation, now_us)
        return self._greet(conversation, (record,))

    def _greet(self, conversation: Conversation, records: Sequence[bytes]) -> list[Effect]:
        conversation.phase, conversation.message = Phase.JUDGED, b""
        return [Greeted(conversation.id, conversation.address, tuple(records))]

    def _fetch(self, conversation: Conversation, now_us: int) -> list[Effect]:
        if not self._table.start_fetch(conversation):
            return self._fail(conversation, Drop.TABLE_FULL)
        message = packets.want(conversation.id, 0)
        effects = self._say(conversation, Phase.FETCHING, message, now_us)
        return effects if self._is_walk_paid(conversation, now_us) else []

    def _is_walk_paid(self, conversation: Conversation, now_us: int) -> bool:
        if not conversation.is_walk_paid:
            conversation.is_walk_paid = _may(self._walks, conversation.address, now_us)
        return conversation.is_walk_paid

    def _welcome(self, greeting: Conversation, made: Agreement, now_us: int) -> list[Effect]:
        greeting.challenge, greeting.agreement = self._draw(CHALLENGE_BYTES), made
        said = self._own.versions.to_bytes() + greeting.versions.to_bytes()
        payload = greeting.id + greeting.challenge + said
        box = self._seal(made, packets.KIND_WELCOME, payload)
        message = packets.welcome(greeting.id, self._own.record, box)
        return self._say(greeting, Phase.WELCOMING, message, now_us)

    def _confirm(
        self, call: Conversation, made: Agreement, now_us: int
    ) -> tuple[Agreement | None, list[Effect]]:
        ends = self._inward_ends(made)
        opened = packets.open_from(made.keys.inward, ends, packets.KIND_WELCOME, call.box)
        if opened is None or opened[1][:CONVERSATION_BYTES] != call.id:
            return None, self._fail(call, Drop.NOT_AUTHENTIC)
        challenge, theirs, echoed = _split_welcome(opened[1])
        version = self._own.versions.agreed(versions_untrusted(theirs))
        if version is None or echoed != self._own.versions.to_bytes():
            return None, self._fail(call, Drop.VERSION)  # somebody between us lowered it
        box = self._seal(made, packets.KIND_CONFIRM, challenge + bytes((version,)))
        effects = self._say(call, Phase.DONE, packets.confirm(call.id, box), now_us)
        call.ends_at_us = now_us + self._config.linger_us
        if call.expected is not None and call.expected != made.admitted.peer_id:
            effects.append(PeerUnreachable(call.expected, call.address))
        return replace(made, floor=opened[0], version=version), effects

    def _seal(self, made: Agreement, kind: int, payload: bytes) -> bytes:
        ends = Ends(self._own.peer_id, made.admitted.peer_id, self._own.boot, made.boot)
        return packets.seal_for(made.keys.outward, ends, made.counter, kind, payload)

    def _inward_ends(self, made: Agreement) -> Ends:
        return Ends(made.admitted.peer_id, self._own.peer_id, made.boot, self._own.boot)

    def _is_older(self, admitted: ContactAdmitted, boot: int) -> bool:
        """A boot below the last one is a restored copy or a replay, unless the key is new."""
        known = self._contacts.get(admitted.peer_id)
        return (
            known is not None
            and known.public_key == admitted.datagram_public_key
            and boot < known.boot
        )

    def _say(
        self, conversation: Conversation, phase: Phase, message: bytes, now_us: int
    ) -> list[Effect]:
        conversation.phase, conversation.message = phase, message
        conversation.repeat_count, conversation.interval_us = 0, self._config.retry_first_us
        conversation.repeat_at_us = now_us + conversation.interval_us
        self._wake_at(conversation.repeat_at_us)
        return [Transmit(conversation.address, message)]

    def _wake_at(self, at_us: int) -> None:
        if self.deadline_us is None or at_us < self.deadline_us:
            self.deadline_us = at_us

    def _fail(self, conversation: Conversation, reason: Drop) -> list[Effect]:
        self._table.remove(conversation)
        self._drops[reason] += 1
        return _unreachable(conversation)

    def _drop(self, reason: Drop) -> list[Effect]:
        self._drops[reason] += 1
        return []

    def _draw(self, count: int) -> bytes:
        return self._stream.bits(8 * count).to_bytes(count, "big")

    def _budget(self, per_second: int, burst: int) -> BucketTable:
        return BucketTable(
            self._draw(32),
            slot_count=self._config.bucket_slot_count,
            per_second=per_second,
            burst=burst,
        )


def _split_welcome(plain: bytes) -> tuple[bytes, bytes, bytes]:
    """Challenge, the callee's versions, and ours as it heard them."""
    versions_at = CONVERSATION_BYTES + CHALLENGE_BYTES
    echo_at = versions_at + packets.VERSIONS_BYTES
    return plain[CONVERSATION_BYTES:versions_at], plain[versions_at:echo_at], plain[echo_at:]


def _may(budget: BucketTable, address: Address, now_us: int) -> bool:
    return budget.take(budget.slot_of(subnet_of(address)), now_us)


def _unreachable(conversation: Conversation) -> list[Effect]:
    """News for whoever asked for the call; a greeting was nobody's wish here."""
    if not conversation.is_call or conversation.phase is Phase.DONE:
        return []
    return [PeerUnreachable(conversation.expected, conversation.address)]
