"""What users of the world's nodes do, as data: planned before the first event."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, Final

from hive.errors import ConfigError
from hive.memory.authoring import Draft
from hive.memory.bodies import ForgetBody, MemoryBody
from hive.memory.delta import Kind
from hive.protocol.commands import AdmitRecords, Author, Authored, Recall
from hive.wire.ids import Inception
from hive.wire.randomness import Stream

from .federation import COMMONS
from .nodes import Node
from .world import World

SALT_BYTES: Final = 32
WORDS: Final = ("aurora", "basalt", "cedar", "delta", "ember", "fjord", "glacier", "harbour")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed(ABC):
    """A user of one node does something; nothing happens where the node is down."""

    at_us: int
    node: int

    @abstractmethod
    def do(self, world: World, node: Node) -> None:
        """Does it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remember(Deed):
    """The node's agent remembers texts, in its organisation's namespace or the commons."""

    number: int
    count: int = 1
    is_common: bool = True

    def do(self, world: World, node: Node) -> None:
        texts = [
            f"{WORDS[(self.number + n) % len(WORDS)]} note {self.number}.{n}"
            for n in range(self.count)
        ]
        drafts = tuple(
            Draft(Kind.MEMORY, MemoryBody(_salt(text), text, "test", (), 0, 0)) for text in texts
        )
        world.ask(node, Author(_agent(node), _namespace(node, self.is_common), drafts))


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetOwn(Deed):
    """The node's agent forgets one of the memories it was told are written."""

    number: int
    is_common: bool = True

    def do(self, world: World, node: Node) -> None:
        namespace = _namespace(node, self.is_common)
        held = [
            delta.id
            for answer in node.answers.values()
            if isinstance(answer, Authored)
            for delta in answer.deltas
            if delta.header.kind == Kind.MEMORY and delta.header.namespace == namespace
        ]
        if held:
            target = held[self.number % len(held)]
            body = ForgetBody(_salt(f"forget {self.number}"), (target,), "test")
            draft = Draft(Kind.FORGET, body)
            world.ask(node, Author(_agent(node), namespace, (draft,)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallText(Deed):
    """The node's agent recalls."""

    number: int

    def do(self, world: World, node: Node) -> None:
        text = WORDS[self.number % len(WORDS)]
        world.ask(node, Recall(_agent(node), text, "", 10))


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke(Deed):
    """The issuer of the node's organisation ends the agent of node `of`."""

    of: int

    def do(self, world: World, node: Node) -> None:
        agent = world.nodes[self.of].identity.agents[0]
        org = world.federation.orgs[node.identity.org]
        world.ask(node, AdmitRecords((org.revocation(agent, self.at_us),)))
        world.note("agent revoked")


def _agent(node: Node) -> Inception:
    return Inception(node.identity.agents[0].record.inception)


def _namespace(node: Node, is_common: bool) -> str:
    return f"{COMMONS if is_common else node.identity.org}/notes"


def _salt(text: str) -> bytes:
    return text.encode().ljust(SALT_BYTES, b"-")[:SALT_BYTES]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserConfig:
    """How much users do: counts over the whole run, spread evenly over its time."""

    write_count: int = 20
    """Commands to remember; each of up to `batch_count_max` texts."""
    batch_count_max: int = 4
    """Texts in one command, at most."""
    forget_count: int = 3
    recall_count: int = 3
    """Commands to forget one of the agent's own memories, and to recall."""
    revoke_count: int = 0
    """Agents that their issuer revokes."""

    def __post_init__(self) -> None:
        counts = (self.write_count, self.forget_count, self.recall_count, self.revoke_count)
        if min(*counts, self.batch_count_max - 1) < 0:
            raise ConfigError("users do nothing less than never")


def draw_deeds(
    seed: bytes, config: UserConfig, orgs: tuple[str, ...], node_count: int, span: tuple[int, int]
) -> tuple[Deed, ...]:
    """What users do in a seed, by time."""
    stream = Stream(seed, "users")
    first_us, last_us = span

    def when() -> int:
        return first_us + stream.below(last_us - first_us)

    deeds: list[Deed] = [
        Remember(
            at_us=when(),
            node=stream.below(node_count),
            number=number,
            count=1 + stream.below(config.batch_count_max),
            is_common=stream.below(2) == 0,
        )
        for number in range(config.write_count)
    ]
    for number in range(config.forget_count):
        is_common = stream.below(2) == 0
        node = stream.below(node_count)
        deeds.append(ForgetOwn(at_us=when(), node=node, number=number, is_common=is_common))
    for number in range(config.recall_count):
        deeds.append(RecallText(at_us=when(), node=stream.below(node_count), number=number))
    for of in stream.sample(range(node_count), config.revoke_count):
        deeds.append(Revoke(at_us=when(), node=of % len(orgs), of=of))
    return tuple(sorted(deeds, key=lambda deed: (deed.at_us, deed.node, repr(deed))))


_BY_NAME: Final = {cls.__name__: cls for cls in (Remember, ForgetOwn, RecallText, Revoke)}


def plain(deed: Deed) -> dict[str, Any]:
    """The deed for JSON."""
    return {
        "kind": type(deed).__name__,
        **{each.name: getattr(deed, each.name) for each in fields(deed)},
    }


def parse(data: dict[str, Any]) -> Deed:
    """A deed from JSON. ConfigError: none of ours."""
    cls = _BY_NAME.get(str(data.get("kind")))
    if cls is None:
        raise ConfigError(f"no deed is called {data.get('kind')}")
    try:
        deed: Deed = cls(**{name: value for name, value in data.items() if name != "kind"})
    except TypeError as error:
        raise ConfigError(f"a deed does not fit: {error}") from None
    return deed
