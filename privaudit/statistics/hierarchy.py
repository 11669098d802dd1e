"""The model behind every interval: runs differ, and a run's rate is known only from its rounds.

A rate r_i in (0, 1) of run i (an AUC, an accuracy, a true positive rate) is the normal distribution
function of a location z_i, and locations vary between runs: z_i ~ N(mu, sigma^2). What is reported
is the mean rate of a run, E[r] = Phi(mu / sqrt(1 + sigma^2)). The rounds of a run tell its rate as
well as ``n_i`` coin flips would (a likelihood of binomial form whose variance is that of the
estimate). sigma is unknown and two or three runs say little about it, so it is integrated out
under a half-t prior with 4 degrees of freedom; the mean rate has the prior Beta(1/2, 1/2).

Variance that is known, as that from finite pools of records is, is added to sigma^2: each run's
``own``, and what all runs have in ``common`` and no number of them averages away.

This is the advice for meta-analysis of few studies, where a t interval over 2 or 3 of them is too
wide to be of use and a normal or bootstrap interval far too narrow (Roever et al., "On weakly
informative prior distributions for the heterogeneity parameter in Bayesian random-effects
meta-analysis", Research Synthesis Methods 12 (2021); Gelman, "Prior distributions for variance
parameters in hierarchical models", Bayesian Analysis 1 (2006)). What counts here is how often the
limits cover, whatever their derivation; ``benchmarks/statistics_coverage.py`` measures it: at
nominal 95 %, 95 to 100 % where runs do not differ, 92 to 97 % where d' varies between runs with
a standard deviation of 0.5. No interval over few runs can know of a rare kind of run it has not
seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import fft
from scipy.special import log_ndtr, logsumexp, ndtr, ndtri
from scipy.stats import t as student_t

from privaudit.statistics.runs import FloatArray

N_LOCATIONS = 512
PRIOR_DF = 4.0
MAX_LOCATION = 6.0


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the rounds of each run say about the run's rate.

    Attributes:
        rates: [R] estimated rates in [0, 1].
        sizes: [R] positive effective numbers of coin flips.
        spread_scale: scale of the prior of sigma, 0 for "runs do not differ".
        own: known standard deviation of a run's location, beside sigma.
        common: that of a shift of all locations alike.
    """

    rates: FloatArray
    sizes: FloatArray
    spread_scale: float
    own: float = 0.0
    common: float = 0.0

    def __post_init__(self) -> None:
        if np.any(self.sizes <= 0) or np.any((self.rates < 0) | (self.rates > 1)):
            raise ValueError(
                f"rates must be in [0, 1] and sizes positive, got {self.rates} and {self.sizes}"
            )

    @cached_property
    def spreads(self) -> FloatArray:
        """[S] the values of sigma the integral runs over, from 0."""
        if self.spread_scale == 0:
            return np.zeros(1)
        return np.concatenate([[0.0], self.spread_scale * np.geomspace(0.06, 6.0, 31)])

    @cached_property
    def log_spread_weights(self) -> FloatArray:
        """[S] log of the prior mass at each value of sigma (trapezoid rule on a half-t density)."""
        if self.spread_scale == 0:
            return np.zeros(1)
        density = student_t.logpdf(self.spreads / self.spread_scale, PRIOR_DF)
        return np.asarray(density + np.log(np.gradient(self.spreads)))

    @cached_property
    def locations(self) -> FloatArray:
        """[L] an even grid wide enough for every run and for the mean of the runs."""
        shrunk = (self.rates * self.sizes + 0.5) / (self.sizes + 1)
        z = ndtri(shrunk)
        # Standard error of each location: that of the rate over the normal density there.
        error = np.sqrt(shrunk * (1 - shrunk) / self.sizes) * np.sqrt(2 * np.pi) * np.exp(z**2 / 2)
        n_runs = z.size
        spread = np.sqrt((z.var() * n_runs / max(n_runs - 1, 1) + np.mean(error**2)) / n_runs)
        reach = 8 * float(np.hypot(self.own / np.sqrt(n_runs), self.common))
        # Few runs leave room for a large sigma, and with it for a mean far from what was seen.
        reach += 12 * spread + (4 / n_runs if self.spread_scale else 0)
        low = min(z.mean() - reach, (z - 8 * error).min())
        high = max(z.mean() + reach, (z + 8 * error).max())
        return np.linspace(max(low, -MAX_LOCATION), min(high, MAX_LOCATION), N_LOCATIONS)

    @cached_property
    def log_likelihood(self) -> FloatArray:
        """[S, L] log likelihood of (sigma, mu), each run's own location integrated out."""
        z = self.locations[None]
        hits, misses = self.sizes * self.rates, self.sizes * (1 - self.rates)
        per_run = hits[:, None] * log_ndtr(z) + misses[:, None] * log_ndtr(-z)
        peak = per_run.max(axis=1, keepdims=True)
        step = z[0, 1] - z[0, 0]
        smooth = _blur(np.exp(per_run - peak), np.hypot(self.spreads, self.own) / step)
        together = np.asarray((np.log(smooth) + peak).sum(axis=1))
        if not self.common:
            return together
        peak = together.max(axis=1, keepdims=True)
        smooth = _blur(np.exp(together - peak), np.array([self.common]) / step)[0]
        return np.asarray(np.log(smooth) + peak)

    @cached_property
    def scales(self) -> FloatArray:
        """[S] what a location mu is divided by, to have the mean rate Phi(mu / scale)."""
        return np.asarray(np.sqrt(self.scales_apart**2 + self.own**2 + self.common**2))

    @cached_property
    def scales_apart(self) -> FloatArray:
        """[S] the same for the mean rate if ``own`` and ``common`` shifts were none."""
        return np.asarray(np.sqrt(1 + self.spreads**2))


def mean_rate_limits(
    evidence: Evidence, level: float, *, apart: bool = False
) -> tuple[float, float]:
    """Equal-tailed limits of the mean rate E[r] at the given level.

    Args:
        evidence: of the runs of one cell.
        level: in (0, 1).
        apart: of the rate apart from known shifts, which is further from 0.5: a shift that is
            either way at random draws a mean of rates towards it.

    Raises:
        ValueError: ``level`` outside (0, 1).
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be in (0, 1), got {level}")
    scales = (evidence.scales_apart if apart else evidence.scales)[:, None]
    score = evidence.locations[None] / scales
    # Beta(1/2, 1/2) on the mean rate Phi(score), written as a density of the score.
    log_prior = -(score**2) / 2 - 0.5 * (log_ndtr(score) + log_ndtr(-score))
    log_prior -= np.log(scales)
    log_mass = evidence.log_likelihood + log_prior + evidence.log_spread_weights[:, None]
    mass = np.exp(log_mass - logsumexp(log_mass)).ravel()
    order = np.argsort(score, axis=None)
    cumulative = np.cumsum(mass[order]) - mass[order] / 2
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = ndtr(np.interp(tails, cumulative, score.ravel()[order]))
    return float(low), float(high)


def mean_rate_log_likelihood(evidence: Evidence, scores: FloatArray) -> FloatArray:
    """[N] log likelihood of the mean rate being Phi(score), sigma integrated out.

    Args:
        evidence: of the runs of one cell.
        scores: [N] normal quantiles of the mean rate.
    """
    rows = [
        np.interp(scores * scale, evidence.locations, row)
        for scale, row in zip(evidence.scales, evidence.log_likelihood, strict=True)
    ]
    weights = evidence.log_spread_weights - logsumexp(evidence.log_spread_weights)
    return np.asarray(logsumexp(np.stack(rows) + weights[:, None], axis=0))


def _blur(likelihoods: FloatArray, widths: FloatArray) -> FloatArray:
    """[S, R, L]: rows of ``likelihoods`` [R, L] convolved with normal kernels of these widths.

    Widths are in grid steps. Beyond the grid a row goes on at its end value: the likelihood of a
    run with AUC 1 stays at its plateau. The product in Fourier space is exact for narrow kernels.
    """
    length = likelihoods.shape[1]
    padded = np.pad(likelihoods, ((0, 0), (length, length)), mode="edge")
    frequency = 2 * np.pi * fft.rfftfreq(padded.shape[1])
    gain = np.exp(-((widths[:, None] * frequency) ** 2) / 2)
    blurred = fft.irfft(fft.rfft(padded)[None] * gain[:, None], n=padded.shape[1])
    # Rounding leaves values around -1e-17 where the exact one is almost nothing.
    return np.maximum(blurred[..., length : 2 * length], 1e-18)
