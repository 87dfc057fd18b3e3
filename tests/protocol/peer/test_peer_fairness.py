"""Own writes and what peers send do not wait for each other."""

from __future__ import annotations

from hive.protocol import events as ev
from hive.protocol.commands import Authored
from hive.protocol.machine import Verify
from tests.protocol.peer.peer_federation import found, key
from tests.protocol.peer.peer_world import Node, World


class SlowVerifier(World):
    """The workers of one node are busy with the signatures of one agent."""

    slow: Node | None = None
    of_agent = b""
    withheld: list[Verify] = []  # noqa: RUF012 (set by each test)

    def _perform_one(self, node: Node, effect: ev.Effect) -> None:
        is_slow = node is self.slow and isinstance(effect, Verify)
        if is_slow and any(check.public_key == self.of_agent for check in effect.checks):
            self.withheld.append(effect)
        else:
            super()._perform_one(node, effect)


def test_an_own_write_does_not_wait_for_signatures_that_peers_brought() -> None:
    federation = found("acme", "bell")
    here, there = federation.orgs["acme"].agent("ada"), federation.orgs["bell"].agent("ben")
    world = SlowVerifier(federation)
    one = world.add("acme", "one", agents=(here, there), is_issuer=True)
    other = world.add("bell", "other", agents=(there, here), is_issuer=True)
    world.join_all(one, other)
    world.run(20)
    world.slow, world.of_agent, world.withheld = one, key("ben").public.octets, []
    world.remember(other, there, "from another organisation")
    world.run(1)
    assert world.withheld, "the delta of the other waits for its signature"
    asked = world.remember(one, here, "our own")
    world.run(1)
    assert isinstance(one.answers[asked], Authored)
    assert world.withheld
