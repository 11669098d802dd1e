from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from privaudit.statistics.permutation import permutation_p_value
from privaudit.statistics.power import detectable_auc, smallest_detectable_auc
from privaudit.statistics.runs import RunScores


def share_found(rng, n_present, n_absent, auc, n, *, between=0.0):
    """How often the permutation test finds a leak of this AUC in one run per list entry."""
    found = 0
    for _ in range(n):
        runs = []
        for present, absent in zip(n_present, n_absent, strict=True):
            label = np.arange(present + absent) < present
            d = np.sqrt(2 + between**2) * ndtri(auc) + between * rng.standard_normal()
            runs.append(RunScores(rng.standard_normal(label.size) + d * label, label))
        found += permutation_p_value(runs, rng, n_permutations=199) <= 0.05
    return found / n


@pytest.mark.parametrize(
    ("n_present", "n_absent", "between"),
    [([20] * 3, [20] * 3, 0.0), ([10] * 2, [50] * 2, 0.0), ([40] * 8, [40] * 8, 0.5)],
)
def test_the_stated_auc_is_found_four_times_in_five(n_present, n_absent, between):
    rng, n = np.random.default_rng(0), 400
    auc = smallest_detectable_auc(n_present, n_absent, between_spread=between)
    share = share_found(rng, n_present, n_absent, auc, n, between=between)
    # Three standard errors, and 4 points for a normal approximation and 199 permutations.
    assert share == pytest.approx(0.8, abs=3 * np.sqrt(0.8 * 0.2 / n) + 0.04)
    assert share_found(rng, n_present, n_absent, (0.5 + auc) / 2, 200, between=between) < 0.6


def test_more_runs_more_rounds_and_less_power_see_smaller_leaks():
    base = smallest_detectable_auc([30] * 3, [30] * 3)
    assert smallest_detectable_auc([30] * 6, [30] * 6) < base
    assert smallest_detectable_auc([60] * 3, [60] * 3) < base
    assert smallest_detectable_auc([30] * 3, [30] * 3, power=0.5) < base
    assert smallest_detectable_auc([30] * 3, [30] * 3, significance=0.01) > base
    assert smallest_detectable_auc([30] * 3, [30] * 3, between_spread=0.5) > base


def test_many_rounds_give_the_textbook_formula():
    found = smallest_detectable_auc([5000], [5000])
    error = np.sqrt(10_001 / (12 * 5000**2))
    assert found - 0.5 == pytest.approx((ndtri(0.95) + ndtri(0.8)) * error, rel=0.01)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 3), (1, 18)])
def test_too_few_rounds_cannot_see_even_a_perfect_attack(n, m):
    # 1 / C(n + m, n) is the smallest p-value there is.
    assert smallest_detectable_auc([n], [m]) is None


def test_runs_with_one_label_count_as_one_observation():
    runs = [RunScores(np.arange(50.0), np.full(50, i % 2 == 0)) for i in range(12)]
    assert detectable_auc(runs) == smallest_detectable_auc([6], [6])
    both = [RunScores(np.arange(50.0), np.arange(50) % 5 == 0)] * 2
    assert detectable_auc(both, power=0.9) == smallest_detectable_auc([10] * 2, [40] * 2, power=0.9)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([], []), {}, "rounds of both kinds"),
        (([3, 4], [3]), {}, "rounds of both kinds"),
        (([3], [0]), {}, "rounds of both kinds"),
        (([30], [30]), {"significance": 0.5}, "significance must be in"),
        (([30], [30]), {"power": 0.05}, "power must be in"),
        (([30], [30]), {"between_spread": -1.0}, "between_spread"),
    ],
)
def test_refuses_numbers_out_of_range(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        smallest_detectable_auc(*arguments, **options)
