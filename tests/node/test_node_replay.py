"""Replay of every recorded datagram after a restart changes nothing, on real nodes."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from node_world import Living, found, living, run, settled, until

from hive.node import clocks
from hive.protocol.reconciliation.digests import replica_digest
from hive.transport.addresses import Address
from hive.transport.events import Arrived, Transmit

Recorded = list[tuple[Address, Address, bytes]]
"""Source, destination and bytes of what was sent."""


def record(each: Living, tape: Recorded) -> None:
    """Writes down every datagram that the node sends from now on."""
    datagrams, source = each.node.driver.datagrams, each.node.address
    assert datagrams is not None
    assert source is not None
    transmit = datagrams._interfaces.transmit

    def recorded(address: Address, datagram: bytes) -> None:
        tape.append((source, address, datagram))
        transmit(address, datagram)

    datagrams._interfaces.transmit = recorded  # type: ignore[method-assign]


def state(each: Living) -> tuple[object, ...]:
    """What replay could change: replica, records, members, contacts, forks, faults."""
    peer = each.node.peer
    store = each.node.store
    datagrams = each.node.driver.datagrams
    assert datagrams is not None
    return (
        replica_digest(store, store.namespaces()),
        store.last_row(),
        peer.core.trust.version,
        sorted(
            (m.peer, m.standing, m.incarnation)
            for who, _ in peer.introductions.known.items()
            if (m := peer.hierarchy.member(who)) is not None
        ),
        sorted(who for who, _ in peer.introductions.known.items()),
        sorted(datagrams.machine._contacts.peers()),
        peer.core.quarantine.version,
        sorted(peer.core.connected),
        peer.core.budgets.account_count,
    )


async def _replay(tmp_path: Path) -> None:
    realm = found(tmp_path, ("acme", "bell", "corp"))
    homes = [realm.member(org) for org in ("acme", "bell", "corp")]
    tape: Recorded = []
    async with AsyncExitStack() as stack:
        nodes = []
        for home in homes:
            nodes.append(await stack.enter_async_context(living(home)))
            record(nodes[-1], tape)
        await settled(nodes)
        for number, each in enumerate(nodes):
            made = await each.call("remember", text=f"otter {number}", namespace="commons/notes")
            await until(
                lambda made=made: all(one.holds(made["id"]) for one in nodes), "it is everywhere"
            )
        target = nodes[0].node.address
    kinds = {datagram[0] for _, address, datagram in tape if address == target}
    assert 8 in kinds  # sealed ones
    assert kinds & {3, 4}  # and one side of each first contact, whoever called
    async with living(homes[0]) as again:
        datagrams = again.node.driver.datagrams
        assert datagrams is not None
        before = state(again)
        boots = again.node.peer.core.own.boot
        for source, address, datagram in tape:
            if address != target:
                continue
            effects = datagrams.machine.handle(Arrived(source, datagram), clocks.read())
            assert all(isinstance(effect, Transmit) for effect in effects)
            assert sum(len(e.datagram) for e in effects) <= 3 * len(datagram)
        assert state(again) == before
        assert boots > 1


def test_replay_of_every_recorded_datagram_after_a_restart_changes_nothing(
    tmp_path: Path,
) -> None:
    run(_replay, tmp_path)
