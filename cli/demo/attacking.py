"""Act 4: four attacks from a peer with a true identity; the victim says what refused them.

A control delta of the same peer is admitted first, so that it is the named check which refuses
and not a broken attack. The verdicts are read from the victim's own counters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from hive.memory.delta import Delta
from hive.node import clocks
from hive.node.cards import ISSUER_KEY, make_card
from hive.node.ceremony import combine_ceremony, propose_founding, sign_ceremony
from hive.node.enrolment import join
from hive.node.founded import Founded, issuer_for, read_federation
from hive.node.member import open_founder
from hive.protocol.refusals import REASONS
from hive.wire.ids import FederationId, Inception, PeerId, RecordId

from .federation import COMMONS, ORGS, Federation, free_addresses
from .intruder import Intruder, Puppet, after, intruding, puppet, until
from .member import Member
from .stage import Stage, require

VICTIM: Final = "acme-1"
HOST: Final = "corp"
SHORT_LIFE_MS: Final = 2_500
LONG_LIFE_MS: Final = 3_600_000
VERDICT_S: Final = 8.0


@dataclass(frozen=True, slots=True)
class Attack:
    """What is tried, the refusal that must follow, and how it is made."""

    name: str
    reason: str
    story: str
    make: Callable[[], Delta]


def play(stage: Stage, federation: Federation) -> None:
    """Enrols the intruder by invite and lets it try."""
    stage.act(4, "attacking", "A hostile peer with a true identity attacks acme-1 over mutual TLS")
    home = federation.folder / "corp-rogue"
    (address,) = free_addresses(1)
    invite = federation[f"{HOST}-1"].call("invite", name="corp-rogue", region="eu-west")["invite"]
    join(home, invite, listen=address)
    try:
        trio.run(partial(_attack, stage, federation))
    except BaseExceptionGroup as group:
        raise _innermost(group) from None


def _innermost(error: BaseException) -> BaseException:
    """The one error inside groups that hold nothing else."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def _attack(stage: Stage, federation: Federation) -> None:
    victim = federation[VICTIM]
    status = victim.call("status")
    peer = PeerId(bytes.fromhex(status["node"]["peer"]))
    home, log = federation.folder / "corp-rogue", federation.folder / "corp-rogue.log"
    now_ms = clocks.read().wall_us // 1_000
    founded = read_federation(federation.file, now_ms)
    ring = open_founder(federation.founder(HOST), None)
    issuer, key = issuer_for(founded, ring, now_ms), ring.signer(ISSUER_KEY)
    async with intruding(home, peer, log) as intruder:
        stage.say(f"corp-rogue, enrolled by invite, has a stream to {VICTIM}")
        lasting = puppet(issuer, key, "rogue", COMMONS, LONG_LIFE_MS)
        brief = puppet(issuer, key, "brief", COMMONS, SHORT_LIFE_MS)
        intruder.show_records(lasting.record, brief.record)
        first = _of(intruder, brief, f"{COMMONS}/rogue", "said while the agent's record was valid")
        intruder.send(first)
        await _until_held(victim, first)
        stage.good("control: its agent's lawful delta is admitted, while the agent's record lives")
        await _until_over(brief)
        for attack in _attacks(federation, intruder, lasting, brief, first):
            await _try(stage, federation, intruder, attack)
        health = next(
            each["health_permille"]
            for each in victim.call("peers")["peers"]
            if each["name"] == "corp-rogue"
        )
    require(health < 1_000, "the attacks cost the intruder nothing")
    stage.good(f"the intruder's budget at {VICTIM} fell to {health / 10:.1f} % by its own faults")
    federation.wait_equal("the attack left the nodes different", VERDICT_S)


def _attacks(
    federation: Federation, intruder: Intruder, lasting: Puppet, brief: Puppet, first: Delta
) -> list[Attack]:
    agent = federation[VICTIM].call("agents")["agents"][0]
    impersonated = Inception(bytes.fromhex(agent["inception"]))
    leaf = RecordId(bytes.fromhex(agent["record"]))
    other = _other_federation(federation)
    return [
        Attack(
            "forged signature",
            "forged_signature",
            f"a delta in the name of acme's agent {agent['name']}, signed with another key",
            lambda: intruder.write(
                impersonated, leaf, lasting.key, "acme/plans", "acme will sell everything"
            ),
        ),
        Attack(
            "expired agent",
            "leaf_not_valid",
            "the agent of the control delta writes on, its record having ended",
            lambda: intruder.write(
                brief.inception,
                brief.record.id,
                brief.key,
                f"{COMMONS}/rogue",
                "said after the agent's record had ended",
                head=after(first),
            ),
        ),
        Attack(
            "outside its namespace",
            "not_covered",
            f"an agent with rights in {COMMONS}/ writes in acme/plans",
            lambda: _of(intruder, lasting, "acme/plans", "corp was here"),
        ),
        Attack(
            "replay under another federation",
            "wrong_federation",
            "a delta signed, with the very same keys, for another federation of the same founders",
            lambda: _of(intruder, lasting, f"{COMMONS}/rogue", "true elsewhere", other),
        ),
    ]


def _of(
    intruder: Intruder,
    author: Puppet,
    namespace: str,
    text: str,
    federation: FederationId | None = None,
) -> Delta:
    return intruder.write(
        author.inception, author.record.id, author.key, namespace, text, federation=federation
    )


def _other_federation(federation: Federation) -> FederationId:
    """The same founders found another federation with the same keys."""
    rings = [open_founder(federation.founder(org), None) for org in ORGS]
    cards = [
        make_card(ring, name=org, namespaces=(org, COMMONS))
        for org, ring in zip(ORGS, rings, strict=True)
    ]
    now_ms = clocks.read().wall_us // 1_000
    proposal = propose_founding(cards, name="elsewhere", threshold=2, now_ms=now_ms)
    file = combine_ceremony(proposal, [sign_ceremony(proposal, ring) for ring in rings], now_ms)
    founded: Founded = read_federation(file, now_ms)
    return founded.state.federation


async def _until_held(victim: Member, delta: Delta) -> None:
    async def is_held() -> bool:
        return await trio.to_thread.run_sync(victim.held, delta.id.hex()) is not None

    with trio.move_on_after(VERDICT_S):
        await until(is_held)
        return
    raise victim.failure("did not admit the control delta of the intruder")


async def _until_over(brief: Puppet) -> None:
    """Waits until the brief agent's record has ended."""
    left_ms = brief.record.record.not_after_ms - clocks.read().wall_us // 1_000
    await trio.sleep(max(0, left_ms + 50) / 1_000)


async def _try(stage: Stage, federation: Federation, intruder: Intruder, attack: Attack) -> None:
    """Sends one hand-made delta; the victim's counter for the reason must rise by one."""
    victim = federation[VICTIM]
    step = REASONS[attack.reason].step
    before, rows = _refused(victim), victim.call("status")["store"]["last_row"]
    delta = attack.make()
    intruder.send(delta)

    async def is_judged() -> bool:
        return await trio.to_thread.run_sync(_refused, victim) != before

    with trio.move_on_after(VERDICT_S):
        await until(is_judged)
    after_it = _refused(victim)
    risen = {code: count - before[code] for code, count in after_it.items() if count > before[code]}
    if risen != {attack.reason: 1}:
        raise victim.failure(f"answered {attack.name!r} with {risen or 'silence'}")
    grown = victim.call("status")["store"]["last_row"] - rows
    holders = [member.name for member in federation if member.held(delta.id.hex()) is not None]
    require(not grown and not holders, f"{attack.name}: stored by {holders or VICTIM}")
    stage.figure(f"refused: {attack.name}", f"step {step} · {attack.reason}")
    stage.good(f"{attack.name}: {attack.story}")
    stage.say(f"  refused at step {step} ({attack.reason}); nothing stored, on none of six nodes")


def _refused(victim: Member) -> dict[str, int]:
    """The victim's count of refusals by reason, those aside that are nobody's fault."""
    counts: dict[str, int] = victim.call("metrics")["refused_by_reason"]
    return {code: count for code, count in counts.items() if REASONS[code].fault.value != "nobody"}
