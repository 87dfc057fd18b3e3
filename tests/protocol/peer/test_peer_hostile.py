"""Whatever bytes arrive at a peer, it goes on within its bounds (P13), and runs repeat (P14)."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import of_record

from hive.errors import MalformedFrame
from hive.protocol import events as ev
from hive.protocol.budget import BudgetConfig
from hive.protocol.messages import MESSAGES, Forks, Interest, Records
from hive.protocol.peer_config import PeerConfig
from hive.trust.envelope import sign_record
from hive.trust.issuing import make_issuer
from hive.trust.records import TRUST_RECORDS, SealEntry
from hive.trust.revocation import COMPROMISED, make_revocation
from hive.wire.framing import FRAME_BYTES_MAX
from hive.wire.ids import FederationId, Inception
from hive.wire.schema import Record
from tests.protocol.peer.peer_federation import found, key
from tests.protocol.peer.peer_history import PEERS, history, observer, tell
from tests.protocol.peer.peer_world import Node, World

hostile = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@cache
def observed() -> tuple[World, Node]:
    """One peer that takes everything that the examples of a test throw at it, and shuns nobody."""
    told = history()
    patient = PeerConfig(budget=BudgetConfig(health_permille_min=1_000))
    world, node = observer(told.federation, config=patient)
    tell(world, node, told.messages)
    return world, node


@cache
def real_frames() -> tuple[bytes, ...]:
    return tuple(message.to_body() for message in history().messages)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    frame = bytearray(draw(st.sampled_from(real_frames())))
    for _ in range(draw(st.integers(1, 3))):
        frame[draw(st.integers(0, len(frame) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(frame)


def encodable(cls: type[Record]) -> st.SearchStrategy[bytes]:
    return of_record(cls).map(_body_or_nothing)


def _body_or_nothing(record: Record) -> bytes:
    try:
        return record.to_body()
    except MalformedFrame:
        return b""


frames = st.one_of(
    st.binary(max_size=300),
    mutated(),
    st.sampled_from(MESSAGES).flatmap(encodable),
    st.sampled_from(TRUST_RECORDS)
    .flatmap(encodable)
    .map(lambda b: Records((b or b"-",)).to_body()),
)


@hostile
@given(frame=frames, kind=st.integers(0, 255), is_known=st.booleans())
def test_no_frame_datagram_or_greeting_raises(frame: bytes, kind: int, is_known: bool) -> None:
    world, node = observed()
    peer = PEERS[0] if is_known else bytes(20)
    own = node.peer.core.own.peer
    for event in (
        ev.FrameReceived(peer, frame),  # type: ignore[arg-type]
        ev.DatagramOpened(peer, kind, frame),  # type: ignore[arg-type]
        ev.DatagramOpened(peer, 16 + kind % 4, frame),  # type: ignore[arg-type]
        ev.Greeted(frame[:16], ev.Endpoint("10.0.0.9", 7000), (frame, frame)),
        ev.Greeted(frame[:16], ev.Endpoint("10.0.0.9", 7000), ()),
    ):
        world._put(0, own, event)
    world.run(0.001)


def test_a_flood_of_junk_leaves_a_peer_within_its_bounds() -> None:
    world, node = observed()
    peer = node.peer
    for number in range(3_000):
        junk = hashlib.sha256(number.to_bytes(4, "big")).digest() * 8
        world._put(0, peer.core.own.peer, ev.FrameReceived(PEERS[1], junk))
        world._put(0, peer.core.own.peer, ev.DatagramOpened(PEERS[1], 16 + number % 4, junk))
    world.run(0.1)
    assert len(peer.intake.waiting) <= 4_096
    assert peer.core.budgets.account_count < 50


def test_large_revocations_that_come_before_their_issuer_do_not_burst_a_frame() -> None:
    """Orphans adopted together are passed on in messages that fit a frame each."""
    federation = found("acme", "bell", threshold=1)
    world, node = observer(found("acme", "bell", threshold=1))
    bell = federation.orgs["bell"]
    stranger = make_issuer(
        bell.record,
        [key("bell-org")],
        key=key("stranger").public,
        next_key_digest=key("stranger-next").public.digest,
        capabilities=bell.issuer.record.capabilities,
        not_before_ms=bell.issuer.record.not_before_ms,
    )
    fat = [_fat_revocation(federation, stranger, number) for number in range(12)]
    assert sum(map(len, fat)) > FRAME_BYTES_MAX // 2
    tell(world, node, [Records((envelope,)) for envelope in fat])
    assert node.peer.core.trust.revocation_index == 0
    tell(world, node, [Records((stranger.to_bytes(),))])
    assert node.peer.core.trust.revocation_index == len(fat)


def _fat_revocation(federation, signer, number: int) -> bytes:  # type: ignore[no-untyped-def]
    seal = [
        SealEntry(hashlib.sha256(f"{number}/{entry}".encode()).digest(), 1, bytes(32))
        for entry in range(4_000)
    ]
    revocation = make_revocation(
        federation=FederationId(federation.id),
        org=Inception(signer.record.org),
        signer_record=signer.id,
        subject=Inception(hashlib.sha256(bytes([number])).digest()),
        generation=0,
        reason=COMPROMISED,
        at_ms=signer.record.not_before_ms + 1,
        seal=seal,
    )
    return sign_record(revocation, key("stranger")).to_bytes()


def test_frames_of_records_and_proofs_are_charged_like_deltas() -> None:
    world, node = observer(found("acme", "bell", threshold=1))
    payload = Forks(tuple(bytes([n, n]) for n in range(16))).to_body()
    for _ in range(200):
        world._put(0, node.peer.core.own.peer, ev.FrameReceived(PEERS[0], payload))
    world.run(0.01)
    assert node.peer.core.budgets.health(PEERS[0]) < 500
    assert node.peer.core.budgets.health(PEERS[1]) == 1_000


def test_a_frame_of_interest_costs_its_sender_nothing_but_bytes() -> None:
    world, node = observer(found("acme", "bell", threshold=1))
    tell(world, node, [Interest(("acme",))])
    assert node.peer.core.budgets.health(PEERS[0]) == 1_000


# Repetition.

TRACE = """
import hashlib
from tests.protocol.peer.peer_federation import found
from tests.protocol.peer.peer_world import World

federation = found("acme", "bell", "corp")
world = World(federation)
trace = hashlib.sha256()
perform = world._perform
def traced(node, effects):
    trace.update(repr(effects).encode())
    perform(node, effects)


world._perform = traced
agents = [federation.orgs[name].agent(f"{name}-agent") for name in federation.orgs]
nodes = [
    world.add(name, f"{name}-1", agents=(agent,), is_issuer=True)
    for name, agent in zip(federation.orgs, agents)
]
world.join_all(*nodes)
world.run(8)
world.remember(nodes[0], agents[0], "one", "two")
world.partition(nodes[:1], nodes[1:])
world.run(8)
world.remember(nodes[1], agents[1], "three")
world.heal()
world.run(15)
print(trace.hexdigest())
"""


def _trace(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    root = Path(__file__).parents[3]
    ran = subprocess.run(
        [sys.executable, "-c", TRACE], cwd=root, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_one_seed_gives_one_trace_of_effects_under_two_hash_seeds() -> None:
    assert _trace("1") == _trace("4242")
