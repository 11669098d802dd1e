"""Point estimates from scores and labels: AUC, operating points, advantage.

Conventions. A score above the threshold says "present". Accuracy, precision, balanced accuracy and
advantage are taken at a threshold the attack gave *before* it saw test labels (0 for a log-
likelihood ratio, 0.5 for a probability); none is tuned here. Advantage is TPR - FPR at that
threshold (Yeom et al., "Privacy Risk in Machine Learning", CSF 2018, definition 4). TPR at a small
FPR (Carlini et al., "Membership Inference Attacks From First Principles", S&P 2022) reads the whole
curve and fixes no threshold. It is taken where the *expected* FPR is the target: a threshold at the
k-th highest of n absent scores has an expected FPR of k / (n + 1), so that a blind guess gets the
target and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from privaudit.statistics.between import paired_auc, pairwise_auc
from privaudit.statistics.runs import (
    BoolArray,
    FloatArray,
    RunScores,
    Unit,
    label_unit,
    pairs_of,
)


def auc(scores: FloatArray, present: BoolArray) -> float:
    """Probability that a round with the property scores higher than one without; ties count half.

    Args:
        scores: [T] finite reals.
        present: [T] booleans, both values occurring.

    Raises:
        ValueError: only one label occurs.
    """
    n_present, n_absent = _counts(present)
    rank_sum = float(rankdata(scores)[present].sum())
    return (rank_sum - n_present * (n_present + 1) / 2) / (n_present * n_absent)


def run_auc(run: RunScores) -> float:
    """AUC within a run: the mean over its targets, where they rotate."""
    return float(np.mean([auc(part.scores, part.present) for part in run.parts()]))


LEAST_FALSE_ALARMS, ROUGH_FALSE_ALARMS = 1, 10
"""Expected false alarms, fpr (n + 1): below the first a TPR is not estimable, below the second it
is rough."""


@dataclass(frozen=True, eq=False)
class RocCurve:
    """The points of a ROC curve, from (0, 0) to (1, 1); straight between them.

    Attributes:
        fpr: [n + 2] expected false positive rates k / (n + 1) of the thresholds at the k-th highest
            of the n absent scores.
        tpr: [n + 2] shares of the present scores above them, not decreasing.
    """

    fpr: FloatArray
    tpr: FloatArray


def roc_curve(scores: FloatArray, present: BoolArray) -> RocCurve:
    """One point per absent score, (0, 0) and (1, 1).

    Equal scores stand for every order of them: of p present and a absent ones p j / (a + 1) present
    lie above the j-th absent on average. So scores that are all equal give the diagonal.

    Raises:
        ValueError: only one label occurs.
    """
    n_present, n_absent = _counts(present)
    levels, where = np.unique(-scores, return_inverse=True)
    hits = np.bincount(where, weights=present, minlength=levels.size)
    alarms = np.bincount(where, weights=~present, minlength=levels.size).astype(np.int64)
    level_of = np.repeat(np.arange(levels.size), alarms)  # [n] of the absent scores, highest first
    place = np.arange(n_absent) - (np.cumsum(alarms) - alarms)[level_of] + 1  # j: within the level
    above = (np.cumsum(hits) - hits)[level_of] + hits[level_of] * place / (alarms[level_of] + 1)
    return RocCurve(
        fpr=np.arange(n_absent + 2) / (n_absent + 1),
        tpr=np.concatenate([[0.0], above / n_present, [1.0]]),
    )


def tpr_at_fpr(scores: FloatArray, present: BoolArray, fpr: float) -> float | None:
    """True positive rate where the expected false positive rate is ``fpr``.

    Returns:
        The rate, or ``None`` ("not estimable") where the rounds without the property are too few
        to resolve ``fpr``, that is ``fpr (n_absent + 1) < 1``.

    Raises:
        ValueError: ``fpr`` outside (0, 1), or only one label occurs.
    """
    if not 0.0 < fpr < 1.0:
        raise ValueError(f"fpr must be in (0, 1), got {fpr}")
    if not resolves(_counts(present)[1], fpr):
        return None
    curve = roc_curve(scores, present)
    return float(np.interp(fpr, curve.fpr, curve.tpr))


def resolves(n_absent: int, fpr: float, false_alarms: float = LEAST_FALSE_ALARMS) -> bool:
    """Whether so many scores without the property give that many expected false alarms."""
    return fpr * (n_absent + 1) >= false_alarms - 1e-9  # 0.1 * 10 and the like must count as 1


def accuracy(scores: FloatArray, present: BoolArray, threshold: float) -> float:
    """Share of rounds called right when a score above ``threshold`` says "present"."""
    return float(np.mean((scores > threshold) == present))


def precision(scores: FloatArray, present: BoolArray, threshold: float) -> float | None:
    """Share of rounds with the property among those called "present"; None where none is."""
    called = present[scores > threshold]
    return float(called.mean()) if called.size else None


def rates(scores: FloatArray, present: BoolArray, threshold: float) -> tuple[float, float]:
    """True and false positive rate at ``threshold``.

    Raises:
        ValueError: only one label occurs.
    """
    _counts(present)
    says_present = scores > threshold
    return float(says_present[present].mean()), float(says_present[~present].mean())


def balanced_accuracy(scores: FloatArray, present: BoolArray, threshold: float) -> float:
    """Mean of true positive and true negative rate at ``threshold``; 0.5 is chance."""
    tpr, fpr = rates(scores, present, threshold)
    return (tpr + 1.0 - fpr) / 2


def advantage(scores: FloatArray, present: BoolArray, threshold: float) -> float:
    """TPR - FPR at the attack's own ``threshold``, in [-1, 1]; 0 is chance."""
    tpr, fpr = rates(scores, present, threshold)
    return tpr - fpr


def mean_auc(runs: Sequence[RunScores]) -> float:
    """The estimand of a cell: how well the attack tells present from absent, runs weighing equal.

    Labels on rounds: the mean over runs of the AUC within the run. Labels on runs: the mean over
    pairs (run with, run without the property) of the AUC between their rounds, which is the pooled
    AUC if all runs are equally long, and the AUC over runs if each has one score. Two states of one
    federation are not compared with each other (:mod:`privaudit.statistics.between`).

    Raises:
        ValueError: see :func:`privaudit.statistics.runs.label_unit`.
    """
    if label_unit(runs) is Unit.ROUND:
        return float(np.mean([run_auc(run) for run in runs]))
    pairs = pairs_of(runs)
    if pairs is not None:
        return paired_auc(runs, pairs).value
    with_property = np.array([run.n_present > 0 for run in runs])
    return float(pairwise_auc(runs)[np.ix_(with_property, ~with_property)].mean())


def _counts(present: BoolArray) -> tuple[int, int]:
    n_present = int(np.count_nonzero(present))
    n_absent = int(present.size) - n_present
    if not n_present or not n_absent:
        raise ValueError(f"both labels must occur, got {n_present} present and {n_absent} absent")
    return n_present, n_absent
