"""Capabilities: what may be done where, and the rule that rights only narrow (P3).

A child capability must be a subset of one parent capability, never of a union of several.
Namespaces are `segment/segment/…`; a prefix covers itself and what lies below it, so `org/eu`
does not cover `org/europe`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from hive.wire.codec import INTEGER_MAX, Array, Integer, Text
from hive.wire.schema import Part, part

NAME_BYTES_MAX: Final = 64
NAMESPACE_BYTES_MAX: Final = 255
CAPABILITY_COUNT_MAX: Final = 16
REGION_COUNT_MAX: Final = 16
ASSERTION_COUNT_MAX: Final = 16

REMEMBER, RECALL, LINK, INVALIDATE, ENTITY, SUPERSEDE, FORGET_OWN, FORGET_ANY, ISSUE_AGENT = (
    1 << position for position in range(9)
)
ACTIONS: Final[dict[str, int]] = {
    "remember": REMEMBER,
    "recall": RECALL,
    "link": LINK,
    "invalidate": INVALIDATE,
    "entity": ENTITY,
    "supersede": SUPERSEDE,
    "forget_own": FORGET_OWN,
    "forget_any": FORGET_ANY,
    "issue_agent": ISSUE_AGENT,
}
ALL_ACTIONS: Final = (1 << len(ACTIONS)) - 1
FOREVER_MS: Final = INTEGER_MAX
"""A capability without an end of its own: the lives of its chain bound it."""


def covers_namespace(prefix: str, namespace: str) -> bool:
    """Whether `namespace` is `prefix` or lies below it, segment by segment; "" covers all."""
    return not prefix or namespace == prefix or namespace.startswith(prefix + "/")


@part
@dataclass(frozen=True, slots=True)
class Capability(Part):
    """Actions allowed under a namespace prefix, from regions, with assertions, until a time.

    `regions` empty means everywhere, so only a parent that is everywhere has such a child;
    `not_after_ms` is wall milliseconds.
    """

    prefix: Annotated[str, Text(NAMESPACE_BYTES_MAX)]
    actions: Annotated[int, Integer(0, ALL_ACTIONS)]
    regions: Annotated[tuple[str, ...], Array(Text(NAME_BYTES_MAX), REGION_COUNT_MAX)]
    assertions: Annotated[tuple[str, ...], Array(Text(NAME_BYTES_MAX), ASSERTION_COUNT_MAX)]
    not_after_ms: Annotated[int, Integer()]

    def allows(self, action: int, namespace: str, region: str, wall_ms: int) -> bool:
        """Whether this one capability permits the action there, from that region, then."""
        return (
            self.actions & action == action
            and covers_namespace(self.prefix, namespace)
            and (not self.regions or region in self.regions)
            and wall_ms <= self.not_after_ms
        )

    def is_subset_of(self, parent: Capability) -> bool:
        """Whether every right given here is given by `parent` too."""
        return (
            covers_namespace(parent.prefix, self.prefix)
            and self.actions & ~parent.actions == 0
            and is_narrower_place(self.regions, parent.regions)
            and are_within(self.assertions, parent.assertions)
            and self.not_after_ms <= parent.not_after_ms
        )


def is_narrower_place(regions: Sequence[str], wider: Sequence[str]) -> bool:
    """Like `are_within`, but an empty list of regions means everywhere."""
    return not wider or (bool(regions) and are_within(regions, wider))


def are_within(names: Sequence[str], wider: Sequence[str]) -> bool:
    """Whether every name is one of the wider list; the empty list is within any."""
    return all(name in wider for name in names)


def are_narrower(children: Sequence[Capability], parents: Sequence[Capability]) -> bool:
    """Whether each child is a subset of one parent."""
    return all(any(child.is_subset_of(parent) for parent in parents) for child in children)
