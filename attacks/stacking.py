"""Members, their cross-fitted scores and their combination, all on the adversary's stand-ins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import brentq, minimize
from scipy.special import expit
from scipy.stats import rankdata

RIDGES = (0.01, 0.1, 1.0, 10.0)
"""Strengths of the ridge, relative to the mean eigenvalue of the kernel."""

PRIOR_WEIGHT, PRIOR_PRECISION = 0.3, 50.0
"""The weights of the members are pulled to this value, as hard as this many stand-ins would."""

LEAST_WEIGHT = 0.02
"""No member is left out: where the adversary's records are a handful of writers', the held-out
scores of all members can be reversed by chance, and zero weights would tell no round from another.
"""


Fit = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""``fit(train, test)``: learn from these rows, score those rows and what was seen."""


@dataclass(frozen=True)
class MemberScores:
    """One member: cross-fitted scores [n] of the stand-ins, and scores [T] of what was seen."""

    held_out: np.ndarray
    observed: np.ndarray


def cross_fitted(fit: Fit, present: np.ndarray, halves: np.ndarray) -> MemberScores:
    """Learn on either half of the stand-ins, score the other half and what was seen.

    What was seen is scored by both, and the scores of a model are put on the scale of its scores of
    the stand-ins it did not learn from: to a model that learned from *their* records, stand-ins of
    the adversary's own records look unlike anybody else's, in the more extreme a way the more
    bystanders are in the sum.

    Args:
        fit: learns from the rows ``train``, scores the rows ``test`` and what was seen.
        present: [n] bool.
        halves: [n] 0 or 1.
    """
    held_out, observed = np.zeros(len(present)), []
    for half in np.unique(halves):
        train, test = np.flatnonzero(halves != half), np.flatnonzero(halves == half)
        scores, seen = fit(train, test)
        centre, scale = scores.mean(), scores.std() + 1e-12
        held_out[test] = (scores - centre) / scale
        observed.append((seen - centre) / scale)
    return MemberScores(held_out, np.mean(observed, axis=0))


def kernel_ridge(
    kernel: np.ndarray, cross: np.ndarray, present: np.ndarray, halves: np.ndarray
) -> MemberScores:
    """Ridge regression of the label in the dual; held-out scores choose its strength.

    Args:
        kernel: [n, n] inner products of the stand-ins.
        cross: [T, n] inner products of what was seen with the stand-ins.
        present: [n] bool.
        halves: [n] 0 or 1.
    """
    both = np.concatenate([kernel, cross])
    seen = np.arange(len(kernel), len(both))
    solved: dict[int, np.ndarray] = {}

    def fit(strength: int) -> Fit:
        def one(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            key = int(train[0])
            if key not in solved:
                rows = np.concatenate([test, seen])
                solved[key] = _ridge(
                    kernel[np.ix_(train, train)], both[np.ix_(rows, train)], present[train]
                )
            scores = solved[key][strength]
            return scores[: len(test)], scores[len(test) :]

        return one

    fits = [cross_fitted(fit(number), present, halves) for number in range(len(RIDGES))]
    quality = [separation(member.held_out, present, halves) for member in fits]
    return fits[len(RIDGES) - 1 - int(np.argmax(quality[::-1]))]  # of equals, the strongest


def separation(scores: np.ndarray, present: np.ndarray, halves: np.ndarray) -> float:
    """Mean over the halves of the area under the ROC curve."""
    areas = []
    for half in np.unique(halves):
        ranks, labels = rankdata(scores[halves == half]), present[halves == half]
        ones, zeros = labels.sum(), (~labels).sum()
        areas.append((ranks[labels].sum() - ones * (ones + 1) / 2) / (ones * zeros))
    return float(np.mean(areas))


def combine(
    members: list[MemberScores], present: np.ndarray, *, comparable: bool = False
) -> np.ndarray:
    """[T] log odds: logistic regression on the held-out scores, each member with a positive weight.

    Stacking after D. H. Wolpert, Stacked Generalization, Neural Networks 5 (1992), with the
    non-negative weights of L. Breiman, Stacked Regressions, Machine Learning 24 (1996).

    Args:
        members: what is combined.
        present: [n] bool, the truth about the stand-ins.
        comparable: for sums over a run that are set beside those of other runs. The records of
            other clients are not the adversary's, which shifts all scores of a run alike, by many
            times the spread of one round where bystanders are many. Times weights that chance makes
            larger in one run than in another, the shift would order the runs; so the weights keep
            their proportions, and their sum is the same in every run. Not log odds any more, but
            a score on the scale of the prior weights.
    """
    held_out = np.stack([m.held_out for m in members], axis=1)
    weights, intercept = positive_logistic(held_out, present, PRIOR_WEIGHT, PRIOR_PRECISION)
    if comparable:
        weights, intercept = weights * (PRIOR_WEIGHT * len(members) / weights.sum()), 0.0
    odds: np.ndarray = np.stack([m.observed for m in members], axis=1) @ weights + intercept
    return odds


def with_share(odds: np.ndarray, share: float) -> np.ndarray:
    """[T] log odds, shifted so that the probabilities add up to ``share`` of the rounds.

    Stand-ins of few own records differ from everybody's in ways that shift all odds alike. Knowing
    how many rounds hold the property undoes that (compare M. Saerens, P. Latinne and
    C. Decaestecker, Adjusting the Outputs of a Classifier to New a Priori Probabilities, Neural
    Computation 14, 2002).
    """
    reach = float(np.abs(odds).max()) + 40.0
    shift = brentq(lambda b: float(expit(odds + b).mean()) - share, -reach, reach)
    shifted: np.ndarray = odds + shift
    return shifted


def positive_logistic(
    train: np.ndarray, present: np.ndarray, prior: float, precision: float
) -> tuple[np.ndarray, float]:
    """[M] weights of at least :data:`LEAST_WEIGHT` and the intercept of a logistic regression.

    Args:
        train: [n, M].
        present: [n] bool.
        prior: the value that weights are pulled to.
        precision: as hard as so many examples would.
    """
    sign = np.where(present, 1.0, -1.0)

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (train @ theta[:-1] + theta[-1])
        slope = -sign * expit(-margin)
        pull = theta[:-1] - prior
        gradient = np.append(train.T @ slope + precision * pull, slope.sum())
        return float(np.logaddexp(0, -margin).sum() + precision / 2 * pull @ pull), gradient

    count = train.shape[1]
    start = np.append(np.full(count, prior), 0.0)
    bounds: list[tuple[float | None, None]] = [(LEAST_WEIGHT, None)] * count + [(None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return found[:-1], float(found[-1])


def _ridge(kernel: np.ndarray, cross: np.ndarray, present: np.ndarray) -> np.ndarray:
    """[S, m] predictions for each of :data:`RIDGES`, centred on the training rows."""
    mean = kernel.mean(0)
    centred = kernel - mean - mean[:, None] + mean.mean()
    shifted = cross - cross.mean(1, keepdims=True) - mean + mean.mean()
    labels = np.where(present, 1.0, -1.0)
    values, vectors = eigh(centred, driver="evd")
    values = np.maximum(values, 0.0)
    projected = vectors.T @ (labels - labels.mean())
    scale = values.mean() + 1e-30
    across = shifted @ vectors
    return np.stack([across @ (projected / (values + s * scale)) for s in RIDGES])
