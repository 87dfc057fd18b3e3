"""First contacts under way: what is kept of each, in bounded tables, and when each is due."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from hive.transport.addresses import Address
from hive.transport.contacts import KeyPair
from hive.transport.datagram_config import PAGE_COUNT_MAX, DatagramConfig
from hive.transport.events import ContactAdmitted
from hive.transport.paging import Fetch
from hive.wire.ids import PeerId
from hive.wire.version import OWN, Versions


class Phase(Enum):
    """Where a conversation stands."""

    CALLING = auto()
    CLAIMING = auto()
    FETCHING = auto()
    JUDGED = auto()
    WELCOMING = auto()
    DONE = auto()


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a completed conversation established; `floor` is their newest fresh counter."""

    admitted: ContactAdmitted
    keys: KeyPair
    boot: int
    counter: int
    floor: int = 0
    version: int = OWN.newest


@dataclass(slots=True)
class Conversation:
    """One first contact; `message` is repeated until something answers it.

    `boot` and `versions` are the other side's; `box` the sealed part of the welcome we got,
    `challenge` the one in the welcome we gave; `is_walk_paid` says that the subnet's budget
    paid for the fetch.
    """

    id: bytes
    address: Address
    phase: Phase
    is_call: bool
    began_at_us: int
    interval_us: int
    ends_at_us: int
    repeat_at_us: int = 0
    repeat_count: int = 0
    message: bytes = b""
    expected: PeerId | None = None
    boot: int = 0
    versions: Versions = OWN
    box: bytes = b""
    challenge: bytes = b""
    agreement: Agreement | None = None
    fetch: Fetch | None = None
    is_walk_paid: bool = False
    was_fetched: bool = False
    pages_left: int = 2 * PAGE_COUNT_MAX


class ConversationTable:
    """Calls (begun here) and greetings (begun there), each with its own bound."""

    __slots__ = ("_calls", "_config", "_fetch_count", "_greetings")

    def __init__(self, config: DatagramConfig) -> None:
        self._config = config
        self._calls: dict[bytes, Conversation] = {}
        self._greetings: dict[bytes, Conversation] = {}
        self._fetch_count = 0

    def __len__(self) -> int:
        return len(self._calls) + len(self._greetings)

    def __iter__(self) -> Iterator[Conversation]:
        return iter((*self._calls.values(), *self._greetings.values()))

    def add_call(self, name: bytes, address: Address, now_us: int) -> Conversation | None:
        """Begins a call; None where too many are under way."""
        if len(self._calls) >= self._config.call_count_max:
            return None
        life_us = self._config.silence_us
        call = self._new(name, address, Phase.CALLING, now_us, life_us)
        self._calls[name] = call
        return call

    def add_greeting(self, name: bytes, address: Address, now_us: int) -> Conversation | None:
        """Begins a greeting; None where too many are under way."""
        if len(self._greetings) >= self._config.greeting_count_max:
            return None
        life_us = self._config.conversation_life_us
        greeting = self._new(name, address, Phase.JUDGED, now_us, life_us)
        self._greetings[name] = greeting
        return greeting

    def _new(
        self, name: bytes, address: Address, phase: Phase, now_us: int, life_us: int
    ) -> Conversation:
        interval_us = self._config.retry_first_us
        is_call = phase is Phase.CALLING
        return Conversation(name, address, phase, is_call, now_us, interval_us, now_us + life_us)

    def is_calling(self, address: Address) -> bool:
        """Whether a call to the address is under way."""
        return any(
            call.address == address and call.phase is not Phase.DONE
            for call in self._calls.values()
        )

    def call(self, name: bytes, address: Address) -> Conversation | None:
        """The call of this name to this address."""
        found = self._calls.get(name)
        return found if found is not None and found.address == address else None

    def greeting(self, name: bytes, address: Address) -> Conversation | None:
        """The greeting of this name from this address."""
        found = self._greetings.get(name)
        return found if found is not None and found.address == address else None

    def either(self, name: bytes, address: Address) -> Conversation | None:
        """The conversation of this name with this address."""
        return self.call(name, address) or self.greeting(name, address)

    def judged(self, name: bytes) -> Conversation | None:
        """The conversation that awaits a verdict."""
        found = self._calls.get(name) or self._greetings.get(name)
        return found if found is not None and found.phase is Phase.JUDGED else None

    def start_fetch(self, conversation: Conversation) -> bool:
        """Makes room for the other's records; False where too many are being fetched."""
        if conversation.was_fetched or self._fetch_count >= self._config.fetch_count_max:
            return False
        self._fetch_count += 1
        conversation.was_fetched = True
        conversation.fetch = Fetch(self._config.records_bytes_max, self._config.record_count_max)
        return True

    def end_fetch(self, conversation: Conversation) -> None:
        """Frees what was fetched."""
        if conversation.fetch is not None:
            conversation.fetch = None
            self._fetch_count -= 1

    def remove(self, conversation: Conversation) -> None:
        """Forgets a conversation."""
        self.end_fetch(conversation)
        table = self._calls if conversation.is_call else self._greetings
        table.pop(conversation.id, None)
