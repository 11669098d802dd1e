"""Point estimates from scores and labels: AUC, operating points, advantage.

Conventions. A score above the threshold says "present". Accuracy, balanced accuracy and advantage
are taken at a threshold the attack gave *before* it saw test labels (0 for a log-likelihood ratio,
0.5 for a probability); none is tuned here. Advantage is TPR - FPR at that threshold (Yeom et al.,
"Privacy Risk in Machine Learning", CSF 2018, definition 4). TPR at a small FPR follows Carlini et
al., "Membership Inference Attacks From First Principles", S&P 2022: the best TPR among thresholds
whose FPR does not exceed the target; this, like AUC, reads the whole curve and fixes no threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from privaudit.statistics.runs import BoolArray, FloatArray, RunScores, Unit, label_unit, pool


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


@dataclass(frozen=True, eq=False)
class RocCurve:
    """The points of a ROC curve, from (0, 0) to (1, 1).

    Attributes:
        fpr: [P] false positive rates, not decreasing.
        tpr: [P] true positive rates, not decreasing.
        thresholds: [P] scores strictly above which "present" is said, decreasing; the last is -inf.
    """

    fpr: FloatArray
    tpr: FloatArray
    thresholds: FloatArray


def roc_curve(scores: FloatArray, present: BoolArray) -> RocCurve:
    """One point per distinct score (ties move together), and (0, 0).

    Raises:
        ValueError: only one label occurs.
    """
    n_present, n_absent = _counts(present)
    levels, where = np.unique(-scores, return_inverse=True)
    hits = np.bincount(where, weights=present, minlength=levels.size)
    false_alarms = np.bincount(where, weights=~present, minlength=levels.size)
    return RocCurve(
        fpr=np.concatenate([[0.0], np.cumsum(false_alarms) / n_absent]),
        tpr=np.concatenate([[0.0], np.cumsum(hits) / n_present]),
        thresholds=np.concatenate([-levels, [-np.inf]]),
    )


def tpr_at_fpr(scores: FloatArray, present: BoolArray, fpr: float) -> float | None:
    """Best true positive rate with a false positive rate of at most ``fpr``.

    Returns:
        The rate, or ``None`` ("not estimable") where the rounds without the property are too few
        to resolve ``fpr``, that is ``n_absent * fpr < 1``.

    Raises:
        ValueError: ``fpr`` outside (0, 1), or only one label occurs.
    """
    if not 0.0 < fpr < 1.0:
        raise ValueError(f"fpr must be in (0, 1), got {fpr}")
    _, n_absent = _counts(present)
    # A tolerance, because 0.1 * 10 and the like must count as 1.
    if n_absent * fpr < 1.0 - 1e-9:
        return None
    curve = roc_curve(scores, present)
    return float(curve.tpr[curve.fpr <= fpr + 1e-12].max())


def accuracy(scores: FloatArray, present: BoolArray, threshold: float) -> float:
    """Share of rounds called right when a score above ``threshold`` says "present"."""
    return float(np.mean((scores > threshold) == present))


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
    AUC if all runs are equally long, and the AUC over runs if each has one score.

    Raises:
        ValueError: see :func:`privaudit.statistics.runs.label_unit`.
    """
    if label_unit(runs) is Unit.ROUND:
        return float(np.mean([auc(run.scores, run.present) for run in runs]))
    with_property = np.array([run.n_present > 0 for run in runs])
    return float(pairwise_auc(runs)[np.ix_(with_property, ~with_property)].mean())


def pooled_auc(runs: Sequence[RunScores]) -> float:
    """AUC over all rounds of all runs: the adversary who uses one threshold for all of them.

    Lower than the mean of the AUCs within runs where the level of scores differs between runs.
    """
    pooled = pool(runs)
    return auc(pooled.scores, pooled.present)


def pairwise_auc(runs: Sequence[RunScores]) -> FloatArray:
    """[R, R] probabilities that a round of run i scores higher than one of run j; ties are half."""
    table = np.full((len(runs), len(runs)), 0.5)
    ordered = [np.sort(run.scores) for run in runs]
    for i, above in enumerate(ordered):
        for j in range(i):
            below = ordered[j]
            wins = np.searchsorted(below, above, "left") + np.searchsorted(below, above, "right")
            table[i, j] = wins.sum() / (2 * above.size * below.size)
            table[j, i] = 1.0 - table[i, j]
    return table


def _counts(present: BoolArray) -> tuple[int, int]:
    n_present = int(np.count_nonzero(present))
    n_absent = int(present.size) - n_present
    if not n_present or not n_absent:
        raise ValueError(f"both labels must occur, got {n_present} present and {n_absent} absent")
    return n_present, n_absent
