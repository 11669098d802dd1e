from __future__ import annotations

import numpy as np
import pytest
from calibration import (
    brier_score,
    calibration_error,
    calibration_p_value,
    reliability_table,
)
from scipy.special import expit, logit


def simulated(rng, n=300, overconfidence=1.0):
    truth = rng.random(n)
    return expit(overconfidence * logit(truth)), rng.random(n) < truth


def test_brier_score_by_hand():
    said = np.array([0.5, 1.0, 0.0, 0.2])
    assert brier_score(said, np.array([True, True, True, False])) == pytest.approx(1.29 / 4)


def test_bins_hold_every_round_once_and_say_what_was_seen():
    said = np.array([0.0, 0.05, 0.1, 0.95, 1.0])
    table = reliability_table(said, np.array([False, True, True, True, True]))
    assert [(b.low, b.high, b.n) for b in table] == [(0.0, 0.1, 2), (0.1, 0.2, 1), (0.9, 1.0, 2)]
    assert [b.said for b in table] == pytest.approx([0.025, 0.1, 0.975])
    assert [b.seen for b in table] == [0.5, 1.0, 1.0]
    assert all(b.seen_low < b.seen <= b.seen_high for b in table)


def test_calibration_error_is_the_weighted_gap_of_the_bins():
    said, present = simulated(np.random.default_rng(0))
    table = reliability_table(said, present, n_bins=7)
    naive = sum(b.n * abs(b.said - b.seen) for b in table) / said.size
    assert calibration_error(said, present, n_bins=7) == pytest.approx(naive)


def test_right_probabilities_are_rarely_called_wrong_and_overconfident_ones_are():
    rng, n = np.random.default_rng(1), 300

    def flagged(**world):
        p = [calibration_p_value(*simulated(rng, **world), rng, n_draws=199) for _ in range(n)]
        return np.mean(np.array(p) <= 0.05)

    error = np.sqrt(0.05 * 0.95 / n)
    assert 0.05 - 3 * error <= flagged() <= 0.05 + 3 * error
    assert flagged(overconfidence=2.5) > 0.9


@pytest.mark.parametrize(
    ("said", "present", "message"),
    [
        ([0.5, 1.2], [True, False], r"\[0, 1\], got 1.2"),
        ([0.5, np.nan], [True, False], r"\[0, 1\], got nan"),
        ([0.5], [True, False], "equally long"),
        ([], [], "not empty"),
    ],
)
def test_refuses_what_is_no_probability(said, present, message):
    with pytest.raises(ValueError, match=message):
        brier_score(np.array(said), np.array(present, dtype=bool))


def test_refuses_no_bins_and_no_draws():
    said, present = np.array([0.5, 0.5]), np.array([True, False])
    with pytest.raises(ValueError, match="n_bins must be at least 1, got 0"):
        calibration_error(said, present, n_bins=0)
    with pytest.raises(ValueError, match="n_draws must be at least 1, got 0"):
        calibration_p_value(said, present, np.random.default_rng(0), n_draws=0)
