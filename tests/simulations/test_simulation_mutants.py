"""Goal: the checks can fail. Method: mutants of the shipped peer, each caught by its promise."""

from __future__ import annotations

import pytest

from simulations.mutants import MUTANTS, Mutant, seeds_to_catch
from simulations.promises import NOT_BUILT, PROMISES

QUICK = (
    "signatures are not checked",
    "capabilities are not checked",
    "any encoding will do",
    "answers before the disk",
    "never carries out a forget",
    "chokes on garbage",
)
"""Those that one small world shows; the others take a sweep of seeds."""


@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.name in QUICK], ids=lambda m: m.name)
def test_a_mutant_is_caught_by_the_promise_it_breaks(mutant: Mutant) -> None:
    assert seeds_to_catch(mutant, range(1, 4)) is not None


def test_every_mutant_breaks_promises_that_are_built() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert set(QUICK) < {mutant.name for mutant in MUTANTS}
    for mutant in MUTANTS:
        assert set(mutant.promises) <= set(PROMISES) - set(NOT_BUILT)
