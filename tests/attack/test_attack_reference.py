"""Made-up federations differ as much as a real one may differ from them."""

from __future__ import annotations

import numpy as np
import pytest

from privaudit.attack.adversary import AuxiliaryData
from privaudit.attack.reference import (
    FEWEST_UNITS,
    Population,
    Standing,
    halves_of,
    units_held,
)
from privaudit.engine.engine import Samples
from privaudit.errors import UserError
from privaudit.randomness import Seed


def sample(units: int, per_unit: int = 1, *, grouped: bool = True) -> tuple[AuxiliaryData, float]:
    """Units of equal records, every second one with the property, and the variance of a unit."""
    rng = np.random.default_rng(units)
    value = rng.normal(size=units)
    for kind in (0, 1):  # the sample's own mean is no part of what is looked at
        value[kind::2] -= value[kind::2].mean()
    of = np.repeat(np.arange(units), per_unit)
    records = Samples.of(value[of, None].astype(np.float32), np.zeros(len(of), dtype=np.int64))
    present = ((of + 1) % 2).astype(np.int8)
    return AuxiliaryData(records, present, of if grouped else None), value.var(ddof=2)


@pytest.mark.parametrize(("units", "per_unit", "clients"), [(200, 1, 4), (60, 5, 4), (200, 1, 1)])
def test_totals_vary_as_a_real_one_does_about_what_is_known(
    units: int, per_unit: int, clients: int
) -> None:
    """C clients that hold 2 G units each, beside a mean that is known from G: C^2 / G + C / 2 G.

    From the sample as it is - C times 3 / 2 G, as it was once done - it would be half of that for
    4 clients, and one in six traces would get a wrong answer.
    """
    own, variance = sample(units, per_unit)
    values, rng = own.samples.inputs.numpy().ravel(), np.random.default_rng(0)
    totals = []
    for _ in range(1000):
        population = Population.guessed(own, rng)
        pools = [population.holding(2 * units, rng)["all"] for _ in range(clients)]
        totals.append(sum(values[pool].mean() for pool in pools))
    expected = variance * (clients**2 / units + clients / (2 * units))
    # A little more: what Student's t has more than a normal one with so few.
    assert 0.85 < np.var(totals) / expected < 1.35


def test_a_holding_is_of_whole_groups_of_both_kinds() -> None:
    own, _ = sample(20, 3)
    rng = np.random.default_rng(1)
    population = Population.guessed(own, rng)
    for units in (1, 20):
        pools = population.holding(units, rng)
        assert own.groups is not None
        counts = np.bincount(own.groups[pools["all"]])
        assert np.all(counts % 3 == 0)
        assert len(pools["all"]) >= 3 * units
        for name, value in (("present", 1), ("absent", 0)):
            assert set(own.present[pools[name]]) == {value}


def test_how_many_units_so_many_records_are() -> None:
    own, _ = sample(20, 3)
    assert [units_held(own, records) for records in (None, 60, 30, 1)] == [20, 20, 10, 1]


def test_few_groups_do_not_say_how_they_differ() -> None:
    own, _ = sample(4 * FEWEST_UNITS, 10)
    assert len(halves_of(own, 8, Seed(0))) == 2
    few, _ = sample(4 * FEWEST_UNITS - 4, 10)
    said = f"{FEWEST_UNITS - 1} groups with records with the property, {FEWEST_UNITS} are needed"
    with pytest.raises(UserError, match=said):
        halves_of(few, 8, Seed(0))
    with pytest.raises(UserError, match="one batch needs 161"):
        halves_of(own, 161, Seed(0))


def test_an_answer_needs_rank_and_size() -> None:
    """Highest of 20 is not enough where the others scatter as far; both ways, as for the mirror."""
    without, higher = (tuple(np.linspace(low, low + 6, 19).tolist()) for low in (-3, 1))
    just, far = (Standing(total, without, higher) for total in (3.1, 4.0))
    assert (just.answer, far.answer) == ("cannot say", "yes")
    assert just.p_without > far.p_without == 0.05
    assert Standing(-4.0, tuple(-s for s in higher), without).answer == "no"
    few = Standing(0.0, without, (2.9, 3.1, 4.0, 9.0))
    assert few.recognised == 2
