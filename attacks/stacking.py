"""Members, their cross-fitted scores and their combination, all on the adversary's stand-ins."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import eigh, solve
from scipy.optimize import brentq, minimize
from scipy.special import expit, ndtr

RIDGES = (0.01, 0.1, 1.0, 10.0)
"""Strengths of the ridge, relative to the mean eigenvalue of the kernel."""

PRIOR_WEIGHT, PRIOR_PRECISION = 0.3, 20.0
"""The weights of the members are pulled to this value, as hard as this many stand-ins would; that
of a signed member to zero, where stand-ins can say what it is worth."""

STAND_INS = 10.0
"""So many count for each time that what a client draws for a round fits into the adversary's
records: more of them, of the same records, do not say more about anybody else's."""

TRANSFER = 0.6
"""How far the separation of what was seen may be from that of stand-ins, in deviations."""

LEAST_WEIGHT = 0.02
"""No member is left out: where the adversary's records are a handful of writers', the held-out
scores of all members can be reversed by chance, and zero weights would tell no round from another.
"""


Fit = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""``fit(train, test)``: learn from these rows, score those."""


@dataclass(frozen=True)
class MemberScores:
    """One member: cross-fitted scores [n] of the stand-ins, and scores [T] of what was seen.

    ``signed``: it reads the direction of a sum, which the others' records may turn round: where
    parameters are trained, the mean deltas of all clients add up to about nothing, so that what
    one's own records have too much of, the others' have too little of.

    ``blind``: its weight, as a multiple of another's, where no stand-in can say what it is worth.
    """

    held_out: np.ndarray
    observed: np.ndarray
    signed: bool = False
    blind: float = 1.0


@dataclass(frozen=True)
class HeldOut:
    """Cross-fitted scores [n] of stand-ins, and the scale they were on before."""

    scores: np.ndarray
    centre: float
    scale: float

    def with_observed(
        self, seen: np.ndarray, *, signed: bool = False, blind: float = 1.0
    ) -> MemberScores:
        """The member that gives what was seen the scores [T], put on the same scale."""
        return MemberScores(self.scores, (seen - self.centre) / self.scale, signed, blind)


def cross_fitted(fit: Fit, halves: np.ndarray) -> HeldOut:
    """Learn on either half of the stand-ins and score the other.

    The scores of each model are put on one scale. To a model that learned from *their* records,
    stand-ins of the adversary's own records look unlike anybody else's, in the more extreme a way
    the more bystanders are in the sum; so what was seen is put on the scale of stand-ins that were
    not learned from, too.

    Args:
        fit: learns from the rows ``train``, scores the rows ``test``.
        halves: [n] 0 or 1.
    """
    scores, centres, scales = np.zeros(len(halves)), [], []
    for half in np.unique(halves):
        train, test = np.flatnonzero(halves != half), np.flatnonzero(halves == half)
        found = fit(train, test)
        centres.append(float(found.mean()))
        scales.append(float(found.std()) + 1e-12)
        scores[test] = (found - centres[-1]) / scales[-1]
    return HeldOut(scores, float(np.mean(centres)), float(np.mean(scales)))


def best_of(
    tried: Sequence[HeldOut], present: np.ndarray, halves: np.ndarray
) -> tuple[int, HeldOut]:
    """Which does best on both halves, of equals the last; and held-out scores as it would have.

    Those of a half are by what does best on the *other*: the best of a dozen by its own scores
    looks good by chance where nothing is to be had, and would outweigh members that have something.
    Two halves are not strangers, as what scores the one has learned from the other: where records
    are few, they rise and fall together.

    Args:
        tried: scores of the same stand-ins.
        present: [n] bool.
        halves: [n] 0 or 1.
    """
    scores = np.stack([one.scores for one in tried])
    areas = np.stack([separations(one, present, halves) for one in scores], axis=1)
    held_out = np.zeros(len(halves))
    for half, other in zip(np.unique(halves), areas[::-1], strict=True):
        held_out[halves == half] = scores[_last_best(other), halves == half]
    best = _last_best(areas.mean(0))
    return best, replace(tried[best], scores=held_out)


def _last_best(areas: np.ndarray) -> int:
    return len(areas) - 1 - int(np.argmax(areas[::-1]))


def cross_fitted_ridge(
    kernel: np.ndarray, present: np.ndarray, halves: np.ndarray
) -> tuple[float, HeldOut]:
    """Ridge regression of the label in the dual: the strength that does best, and held-out scores.

    Args:
        kernel: [n, n] inner products of the stand-ins.
        present: [n] bool.
        halves: [n] 0 or 1.
    """
    solved: dict[int, np.ndarray] = {}

    def fit(strength: int) -> Fit:
        def one(train: np.ndarray, test: np.ndarray) -> np.ndarray:
            key = int(train[0])
            if key not in solved:
                solved[key] = _ridges(
                    kernel[np.ix_(train, train)], kernel[np.ix_(test, train)], present[train]
                )
            return solved[key][strength]

        return one

    fits = [cross_fitted(fit(number), halves) for number in range(len(RIDGES))]
    best, found = best_of(fits, present, halves)
    return RIDGES[best], found


def ridge(
    kernel: np.ndarray, cross: np.ndarray, present: np.ndarray, strength: float
) -> np.ndarray:
    """[T] predictions of a ridge regression on all stand-ins.

    Args:
        kernel: [n, n] inner products of the stand-ins.
        cross: [T, n] inner products of what was seen with the stand-ins.
        present: [n] bool.
        strength: of the ridge, relative to the mean eigenvalue of the kernel.
    """
    centred, shifted, labels = _centred(kernel, cross, present)
    scale = np.trace(centred) / len(centred) + 1e-30
    weights = solve(centred + strength * scale * np.eye(len(centred)), labels, assume_a="pos")
    found: np.ndarray = shifted @ weights
    return found


def separations(scores: np.ndarray, present: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """[2] area under the ROC curve of each half."""
    from scipy.stats import rankdata  # slow: not where options are checked

    areas = []
    for half in np.unique(halves):
        ranks, labels = rankdata(scores[halves == half]), present[halves == half]
        ones, zeros = labels.sum(), (~labels).sum()
        areas.append((ranks[labels].sum() - ones * (ones + 1) / 2) / (ones * zeros))
    return np.array(areas)


def combine(
    members: Sequence[MemberScores],
    present: np.ndarray,
    *,
    comparable: bool = False,
    tested: bool = True,
    draws: float = math.inf,
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
        tested: whether what scored the held-out stand-ins had not learned from their records. If it
            had, they say nothing, and weights are fixed (``blind`` of the members).
        draws: how often what a client draws for a round fits into the adversary's records. Many
            stand-ins of few records are nearly the same one again and again: of each draw
            :data:`STAND_INS` count.
    """
    held_out = np.stack([m.held_out for m in members], axis=1)
    observed = np.stack([m.observed for m in members], axis=1)
    if tested:
        prior = np.array([0.0 if m.signed else PRIOR_WEIGHT for m in members])
        count = min(1.0, STAND_INS * draws / len(present))
        weights, intercept = positive_logistic(held_out, present, prior, PRIOR_PRECISION / count)
    else:
        blind = np.array([m.blind for m in members])
        weights, intercept = PRIOR_WEIGHT * blind / blind.mean(), 0.0
    if comparable:
        return observed @ (weights * (PRIOR_WEIGHT * len(members) / weights.sum()))
    # Rounds that are unlike all stand-ins to one member do not outweigh all others.
    observed = observed / np.maximum(1.0, observed.std(0) / (held_out.std(0) + 1e-12))
    apart = held_out[present].mean(0) - held_out[~present].mean(0)
    # What turns one signed member round turns them all: they are checked against the others only.
    signed = np.array([member.signed for member in members])
    others = observed @ np.where(signed, 0.0, weights)
    for number in np.flatnonzero(signed):
        weights[number] *= agreement(observed[:, number], others, float(apart[number]))
    odds: np.ndarray = observed @ weights + intercept
    return odds


def agreement(scores: np.ndarray, odds: np.ndarray, apart: float) -> float:
    """In [0, 1]: how far to believe a member that may be turned round; 1 where nothing is known.

    What the others say of the rounds stands for the truth: the slope of the scores on their
    probabilities is the separation by the truth, with an error that is the larger the less the
    others know. Together with the separation of the stand-ins, which is taken to be off by
    :data:`TRANSFER` and as much as it is large, that gives the probability that it is positive.

    Args:
        scores: [T] of the member.
        odds: [T] log odds by the others, but for a constant.
        apart: how far apart the means of the held-out scores are.
    """
    spread = float(scores.std())
    believed = expit(with_share(odds, 0.5))
    believed -= believed.mean()
    known = float(believed @ believed)
    if spread == 0.0 or known < 1e-9:
        return 1.0
    slope = float(believed @ scores) / spread / known
    before = 1 / (abs(apart) + TRANSFER) ** 2
    likely = (apart * before + slope * known) / np.sqrt(before + known)
    return float(min(1.0, 2 * ndtr(likely)))


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
    train: np.ndarray, present: np.ndarray, prior: np.ndarray | float, precision: float
) -> tuple[np.ndarray, float]:
    """[M] weights of at least :data:`LEAST_WEIGHT` and the intercept of a logistic regression.

    Args:
        train: [n, M].
        present: [n] bool.
        prior: the value that weights are pulled to, or [M] one for each.
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
    start = np.append(np.broadcast_to(np.maximum(prior, LEAST_WEIGHT), count), 0.0)
    bounds: list[tuple[float | None, None]] = [(LEAST_WEIGHT, None)] * count + [(None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return found[:-1], float(found[-1])


def _ridges(kernel: np.ndarray, cross: np.ndarray, present: np.ndarray) -> np.ndarray:
    """[S, m] predictions for each of :data:`RIDGES`, centred on the training rows."""
    centred, shifted, labels = _centred(kernel, cross, present)
    values, vectors = eigh(centred, driver="evd")
    values = np.maximum(values, 0.0)
    projected = vectors.T @ labels
    scale = values.mean() + 1e-30
    across = shifted @ vectors
    return np.stack([across @ (projected / (values + s * scale)) for s in RIDGES])


def _centred(
    kernel: np.ndarray, cross: np.ndarray, present: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inner products [n, n], [m, n] of rows less the mean of the n, and labels [n] likewise."""
    mean = kernel.mean(0)
    centred = kernel - mean - mean[:, None] + mean.mean()
    shifted = cross - cross.mean(1, keepdims=True) - mean + mean.mean()
    labels = np.where(present, 1.0, -1.0)
    return centred, shifted, labels - labels.mean()
