"""d', and two laws of how it fades as honest clients join.

d' is the distance of two unit normals that would give the same AUC, AUC = Phi(d' / sqrt(2)).
``POWER_LAW`` is d'(n) = d'(n0) (n / n0)^b in the number n of honest clients, whose exponent b is
the question. ``MOMENT_LAW`` is what a detector learned from finitely many simulated aggregates does
to one shifted delta among n independent ones: d_n = d_1 / sqrt(n) if it were known perfectly, and
d' = d_n^2 / sqrt(d_n^2 + 4 p / n_train) as learned. Its exponent runs from -1/2 to -1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from scipy.special import ndtr, ndtri

from privaudit.statistics.runs import FloatArray

SQRT2 = sqrt(2.0)


def d_prime(auc: float) -> float:
    """The d' of an AUC in [0, 1]; infinite at 0 and 1.

    Raises:
        ValueError: ``auc`` outside [0, 1].
    """
    if not 0.0 <= auc <= 1.0:
        raise ValueError(f"auc must be in [0, 1], got {auc}")
    return float(SQRT2 * ndtri(auc))


def auc_of_d_prime(d: float) -> float:
    """The AUC of two unit normals ``d`` apart."""
    return float(ndtr(d / SQRT2))


@dataclass(frozen=True)
class Family:
    """A family of curves with two parameters.

    Attributes:
        name: for tables.
        parameters: names of the two parameters.
        bounds: the ranges searched.
        logarithmic: whether the parameters are positive, and searched over their logarithms.
        d_prime: (first, second, n) -> d' at n, where n is relative to the centre of the measured
            numbers if ``centred``.
        centred: see ``d_prime``.
    """

    name: str
    parameters: tuple[str, str]
    bounds: tuple[tuple[float, float], tuple[float, float]]
    logarithmic: bool
    centred: bool
    d_prime: Callable[[FloatArray, FloatArray, float], FloatArray]

    @property
    def lowest(self) -> float:
        """The lower limit of a parameter on which the data set none."""
        return 0.0 if self.logarithmic else -inf


def _moment_d_prime(d1: FloatArray, p_over_n: FloatArray, honest: float) -> FloatArray:
    squared = d1**2 / honest
    # At d1 = 0 the law is 0 in the limit; the tiny number only avoids 0 / 0.
    return np.asarray(squared / np.sqrt(squared + 4 * p_over_n + 1e-300))


def _power_d_prime(d0: FloatArray, exponent: FloatArray, relative: float) -> FloatArray:
    return np.asarray(d0 * relative**exponent)


POWER_LAW = Family(
    name="power law",
    parameters=("d_prime_at_centre", "exponent"),
    bounds=((-2.0, 8.0), (-4.0, 1.0)),
    logarithmic=False,
    centred=True,
    d_prime=_power_d_prime,
)
MOMENT_LAW = Family(
    name="moment law",
    parameters=("d1", "p_over_n"),
    bounds=((0.01, 100.0), (1e-4, 1e4)),
    logarithmic=True,
    centred=False,
    d_prime=_moment_d_prime,
)
