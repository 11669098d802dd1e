from __future__ import annotations

import numpy as np
import pytest

from privaudit.statistics.runs import RunScores, Unit, label_unit, pool, whole_run


def run(scores: list[float], present: list[int]) -> RunScores:
    return RunScores(np.array(scores), np.array(present, dtype=bool))


@pytest.mark.parametrize(
    ("scores", "present", "message"),
    [
        ([1.0, np.nan, 2.0], [True, False, True], "1 of 3 that are not, first at round 1: nan"),
        ([np.inf, 0.0], [True, False], "finite"),
        ([1.0], [True, False], r"shapes \(1,\) and \(2,\)"),
        ([], [], "not empty"),
        ([1.0, 2.0], [1, 0], "boolean, got int64"),
    ],
)
def test_refuses_scores_that_are_none(scores, present, message):
    with pytest.raises(ValueError, match=message):
        RunScores(np.array(scores), np.array(present))


def test_counts_rounds():
    r = run([1, 2, 3], [1, 0, 0])
    assert (r.n_rounds, r.n_present, r.n_absent) == (3, 1, 2)


def test_labels_belong_to_rounds_or_to_runs():
    assert label_unit([run([1, 2], [1, 0])] * 2) is Unit.ROUND
    assert label_unit([run([1, 2], [1, 1]), run([1], [0])]) is Unit.RUN


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([], "got 0"),
        ([run([1, 2], [1, 1])], "present in 1 of 1 runs"),
        ([run([1, 2], [0, 0])] * 3, "present in 0 of 3 runs"),
        ([run([1, 2], [1, 0]), run([1, 2], [1, 1])], r"runs \[1\] of 2"),
    ],
)
def test_refuses_runs_without_anything_to_compare(runs, message):
    with pytest.raises(ValueError, match=message):
        label_unit(runs)


def test_whole_run_sums_the_evidence():
    summed = whole_run([run([1, 2, 4], [1, 1, 1]), run([-1, 0.5], [0, 0])])
    assert [r.scores.tolist() for r in summed] == [[7.0], [-0.5]]
    assert [r.present.tolist() for r in summed] == [[True], [False]]


def test_whole_run_needs_one_label_per_run():
    with pytest.raises(ValueError, match="share one label"):
        whole_run([run([1, 2], [1, 0])])


def test_pool_keeps_every_round():
    pooled = pool([run([1, 2], [1, 0]), run([3], [1])])
    assert pooled.scores.tolist() == [1, 2, 3]
    assert pooled.present.tolist() == [True, False, True]
