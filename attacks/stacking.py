"""Members, their cross-fitted scores and their combination, all on the adversary's stand-ins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import rankdata

RIDGES = (0.01, 0.1, 1.0, 10.0)
"""Strengths of the ridge, relative to the mean eigenvalue of the kernel."""

PRIOR_WEIGHT, PRIOR_PRECISION = 0.05, 4.0
"""The weights of the members are pulled to this value, as hard as this many stand-ins would."""


@dataclass(frozen=True)
class MemberScores:
    """One member: cross-fitted scores [n] of the stand-ins, and scores [T] of what was seen."""

    held_out: np.ndarray
    observed: np.ndarray


def kernel_ridge(
    train: np.ndarray, observed: np.ndarray, present: np.ndarray, halves: np.ndarray
) -> MemberScores:
    """Ridge regression of the label in the dual; the two halves choose its strength.

    Args:
        train: [n, n] inner products of the stand-ins.
        observed: [T, n] inner products of what was seen with the stand-ins.
        present: [n] bool.
        halves: [n] 0 or 1.
    """
    held_out = np.zeros((len(RIDGES), len(train)))
    for half in np.unique(halves):
        fit, test = np.flatnonzero(halves != half), np.flatnonzero(halves == half)
        block = _ridge(train[np.ix_(fit, fit)], train[np.ix_(test, fit)], present[fit], RIDGES)
        held_out[:, test] = block
    quality = [separation(scores, present, halves) for scores in held_out]
    best = len(RIDGES) - 1 - int(np.argmax(quality[::-1]))  # of equals, the strongest ridge
    return MemberScores(
        held_out[best], _ridge(train, observed, present, RIDGES[best : best + 1])[0]
    )


def separation(scores: np.ndarray, present: np.ndarray, halves: np.ndarray) -> float:
    """Mean over the halves of the area under the ROC curve."""
    areas = []
    for half in np.unique(halves):
        ranks, labels = rankdata(scores[halves == half]), present[halves == half]
        ones, zeros = labels.sum(), (~labels).sum()
        areas.append((ranks[labels].sum() - ones * (ones + 1) / 2) / (ones * zeros))
    return float(np.mean(areas))


def combine(members: list[MemberScores], present: np.ndarray) -> np.ndarray:
    """[T] log odds: logistic regression on the held-out scores, no member with a negative weight.

    Stacking after D. H. Wolpert, Stacked Generalization, Neural Networks 5 (1992), with the
    non-negative weights of L. Breiman, Stacked Regressions, Machine Learning 24 (1996). As every
    score it learns from is of records the member never saw, the odds are calibrated, too.
    """
    held_out = np.stack([m.held_out for m in members], axis=1)
    centre, scale = held_out.mean(0), held_out.std(0) + 1e-12
    train = (held_out - centre) / scale
    seen = (np.stack([m.observed for m in members], axis=1) - centre) / scale
    weights, intercept = _logistic(train, present)
    odds: np.ndarray = seen @ weights + intercept
    return odds


def _logistic(train: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, float]:
    sign = np.where(present, 1.0, -1.0)

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (train @ theta[:-1] + theta[-1])
        slope = -sign * expit(-margin)
        pull = theta[:-1] - PRIOR_WEIGHT
        gradient = np.append(train.T @ slope + PRIOR_PRECISION * pull, slope.sum())
        return float(np.logaddexp(0, -margin).sum() + PRIOR_PRECISION / 2 * pull @ pull), gradient

    count = train.shape[1]
    start = np.append(np.full(count, PRIOR_WEIGHT), 0.0)
    bounds = [(0.0, None)] * count + [(None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return found[:-1], float(found[-1])


def _ridge(
    kernel: np.ndarray, cross: np.ndarray, present: np.ndarray, strengths: tuple[float, ...]
) -> np.ndarray:
    """[S, m] predictions for each strength, kernel and labels centred on the training rows."""
    mean = kernel.mean(0)
    centred = kernel - mean - mean[:, None] + mean.mean()
    shifted = cross - cross.mean(1, keepdims=True) - mean + mean.mean()
    labels = np.where(present, 1.0, -1.0)
    values, vectors = eigh(centred)
    values = np.maximum(values, 0.0)
    projected = vectors.T @ (labels - labels.mean())
    scale = values.mean() + 1e-30
    across = shifted @ vectors
    return np.stack([across @ (projected / (values + s * scale)) for s in strengths])
