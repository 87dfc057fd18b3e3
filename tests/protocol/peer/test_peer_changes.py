"""What a store says to have changed: reconciliation reads again no more than that."""

from __future__ import annotations

from hive.memory.log import head_after
from hive.protocol.machine import Token
from hive.protocol.ports import Forget, PutForget, Truncate
from hive.wire.ids import DeltaId, Digest, Inception
from tests.protocol.peer.peer_federation import found
from tests.protocol.peer.peer_world import World


def test_a_forget_changes_its_targets_bucket_and_a_cut_its_namespace() -> None:
    federation = found("acme")
    world = World(federation)
    agent = federation.orgs["acme"].agent("acme-agent")
    node = world.add("acme", "acme-1", agents=(agent,), is_issuer=True)
    world.join_all(node)
    world.run(20)
    for namespace in ("commons/notes", "commons/plans"):
        world.remember(node, agent, "kept", namespace=namespace)
        world.run(1)
    (head,) = node.store.heads("commons/notes")
    held = node.store.delta(head.delta)
    assert held is not None
    header = held.delta.header
    stores, token = node.peer.stores, Token(1 << 40)
    author = Inception(header.author)
    forget = Forget(held.delta.id, DeltaId(b"f" * 32), author, True, "commons/notes")
    unknown = Forget(DeltaId(b"u" * 32), DeltaId(b"f" * 32), author, True, "commons/notes")
    stores.store(token, (PutForget(forget), PutForget(unknown)))
    assert stores.settled(token) == [(token, (("commons/notes", header.stamp),))]
    stores.store(token, (Truncate(head_after(held.delta).chain, 0),))
    assert stores.settled(token) == [(token, (("commons/notes", None),))]
    stores.store(token, (Truncate(Digest(b"?" * 32), 0),))
    everywhere = tuple((name, None) for name in node.store.namespaces())
    assert stores.settled(token) == [(token, everywhere)]
