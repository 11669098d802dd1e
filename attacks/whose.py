"""Which clients hold a property, by sums of cohorts and a list of who was in them."""

from __future__ import annotations

import numpy as np

from privaudit.attack.whose import WhoseAttack

LIKELY = np.logspace(-3, 2, 21)
"""Variances of what clients add, in variances of what a delta's batch adds, that are tried."""


class Contrast(WhoseAttack):
    """For each client by itself: by how much sums are larger where it took part more often.

    The slope of a regression on that client's column of the list alone, as if the others were
    noise.
    """

    name = "whose-contrast"
    source = "own: regression of the reading of each sum on one client's column of the list"

    def weigh(self, sums: np.ndarray, took_part: np.ndarray, deltas: np.ndarray) -> np.ndarray:
        """[N] slopes; 0 for a client that took part as often in every block."""
        weight = 1 / np.maximum(deltas, 1)
        moved = (weight[:, None] * took_part**2).sum(0)
        there = moved > 1e-9 * max(float(moved.max()), 1e-300)
        slopes = (weight * sums) @ took_part / np.where(there, moved, 1.0)
        return np.where(there, slopes, 0.0)


class LeastSquares(WhoseAttack):
    """All clients at once: who adds how much, so that the sums come out?

    R. Kerkouche, G. Acs and M. Fritz, WPES 2023: ridge regression of what is read off the sums on
    the list. They bound what a client can add by what a holder adds; that is known by shadows, and
    with a few records of one's own not well enough to bound anything. So nothing is bounded here,
    and how strong the ridge is says the likelihood of the sums themselves.
    """

    name = "whose-least-squares"
    source = "R. Kerkouche et al., PROLIN, WPES 2023; unbounded, ridge by marginal likelihood"

    def weigh(self, sums: np.ndarray, took_part: np.ndarray, deltas: np.ndarray) -> np.ndarray:
        """[N] what each client adds, most likely."""
        scale = 1 / np.sqrt(np.maximum(deltas, 1))
        rows, wanted = took_part * scale[:, None], sums * scale
        left, sizes, right = np.linalg.svd(rows, full_matrices=False)
        along = left.T @ wanted
        rest = max(float(wanted @ wanted - along @ along), 0.0)
        found = []
        for ratio in LIKELY:
            spread = 1 + ratio * sizes**2
            squares = float((along**2 / spread).sum()) + rest
            fit = -np.log(spread).sum() / 2 - len(wanted) / 2 * np.log(max(squares, 1e-300))
            found.append((fit, ratio))
        best = max(found)[1]
        return np.asarray(right.T @ (best * sizes / (1 + best * sizes**2) * along))
