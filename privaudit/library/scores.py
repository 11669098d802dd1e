"""Scores judged without a run: somebody has an attack of their own and wants its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from privaudit.errors import UserError
from privaudit.evaluation.metrics import METRICS, Measure, measure_all
from privaudit.randomness import Seed
from privaudit.statistics.intervals import Interval
from privaudit.statistics.permutation import permutation_p_value
from privaudit.statistics.runs import FloatArray, RunScores

MOST_PERMUTATIONS, FEWEST_PERMUTATIONS, PERMUTED_SCORES = 9_999, 199, 200_000_000


@dataclass(frozen=True)
class Evaluation:
    """What scores say: metrics with 95 % intervals, and a test against chance.

    Attributes:
        metrics: name -> interval, None = not estimable, with this few scores.
        p_value: permutation test of "the AUC is above 0.5", one-sided.
        n_in: scores that should be high.
        n_out: scores that should be low.
        n_runs: independent runs they come from.
        threshold: above it a score says "in".
        hints: what may not be as the caller meant it, in sentences.
    """

    metrics: dict[str, Interval | None]
    p_value: float
    n_in: int
    n_out: int
    n_runs: int
    threshold: float
    hints: tuple[str, ...] = ()

    @property
    def auc(self) -> Interval:
        """The AUC with its interval."""
        interval = self.metrics["auc"]
        assert interval is not None, "an AUC exists wherever both kinds of scores do"
        return interval

    def to_frame(self) -> pd.DataFrame:
        """One row per metric: value, low, high, chance (NaN where there is none), method."""
        rows = []
        for name, metric in METRICS.items():
            interval = self.metrics[name]
            rows.append(
                {
                    "metric": _title(metric),
                    "value": interval.value if interval else np.nan,
                    "low": interval.low if interval else np.nan,
                    "high": interval.high if interval else np.nan,
                    "chance": np.nan if metric.chance is None else metric.chance,
                    "method": interval.method if interval else "not estimable: too few scores",
                }
            )
        return pd.DataFrame(rows).set_index("metric")

    def __repr__(self) -> str:
        rows = [f"{_title(m):<22} {_text(self.metrics[name])}" for name, m in METRICS.items()]
        return "\n".join([self._heading(), *rows, *(f"- {hint}" for hint in self.hints)])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{_title(metric)}</th><td>{_text(self.metrics[name])}</td></tr>"
            for name, metric in METRICS.items()
        )
        hints = "".join(f"<p>{hint}</p>" for hint in self.hints)
        return f"<table><caption>{self._heading()}</caption>{rows}</table>{hints}"

    def _heading(self) -> str:
        runs = f" from {self.n_runs} runs" if self.n_runs > 1 else ""
        return (
            f"{self.n_in} scores in, {self.n_out} out{runs}; permutation p = {self.p_value:.2g}; "
            f"95 % intervals, {self.auc.method}"
        )


def evaluate(
    in_scores: ArrayLike | Sequence[ArrayLike],
    out_scores: ArrayLike | Sequence[ArrayLike],
    *,
    threshold: float = 0.0,
    seed: int = 0,
) -> Evaluation:
    """Judge the scores of any attack: how well do they tell "in" from "out"?

    Args:
        in_scores: [n] scores of what has the property (or is a member); higher = more likely in.
            For several independent runs a list with one such array per run. Arrays, lists, series
            and tensors of real numbers.
        out_scores: [m] scores of what has not; as many arrays as ``in_scores``.
        threshold: the attack's own; a score above it says "in". Counts for accuracy,
            precision and advantage.
        seed: of the permutations, where there are too many to try them all.

    Raises:
        UserError: (a ValueError) no scores, not numbers, not finite, not one-dimensional,
            unequal numbers of runs, or runs of a single score in and out each.
    """
    if not np.isfinite(threshold):
        raise UserError(f"must be a finite number, got {threshold}", where="threshold")
    inside, outside = _by_run(in_scores, "in_scores"), _by_run(out_scores, "out_scores")
    if len(inside) != len(outside):
        raise UserError(
            f"in_scores come from {len(inside)} runs, out_scores from {len(outside)}",
            remedy="give one array of each per run",
        )
    if len(inside) > 1 and all(len(part) == 1 for part in (*inside, *outside)):
        raise UserError(
            f"are {len(inside)} runs of one score each, in and out",
            where="in_scores and out_scores",
            remedy="give the scores of one run as a flat array, e.g. [0.9, 0.5]",
        )
    runs = [
        RunScores(np.concatenate([a, b]), np.arange(len(a) + len(b)) < len(a))
        for a, b in zip(inside, outside, strict=True)
    ]
    return Evaluation(
        metrics=measure_all(runs, threshold=threshold),
        p_value=_p_value(runs, seed),
        n_in=sum(run.n_present for run in runs),
        n_out=sum(run.n_absent for run in runs),
        n_runs=len(runs),
        threshold=threshold,
        hints=_hints(np.concatenate([run.scores for run in runs]), threshold),
    )


def _hints(scores: FloatArray, threshold: float) -> tuple[str, ...]:
    """What metrics at a threshold may suffer from: a threshold that does not go with the scores."""
    as_labels = bool(np.isin(scores, (0, 1)).all())
    if threshold == 0 and scores.min() >= 0 and scores.max() <= 1 and not as_labels:
        return (
            "All scores lie in [0, 1] and the threshold is 0: are they probabilities? Then say "
            "threshold=0.5; accuracy, precision and advantage count scores above the threshold.",
        )
    says_in = scores > threshold
    if says_in.all() or not says_in.any():
        side = "above" if says_in.all() else "at or below"
        return (
            f"Every score lies {side} the threshold {threshold:g}: accuracy, precision and "
            "advantage say nothing; give the attack's own with threshold=.",
        )
    return ()


def _by_run(scores: Any, where: str) -> list[FloatArray]:
    """One [n] array per run; a flat array is one run."""
    several = isinstance(scores, list | tuple) and any(np.ndim(_plain(part)) for part in scores)
    return [_checked(part, where) for part in (scores if several else [scores])]


def _plain(scores: Any) -> Any:
    """What numpy reads right: of tensors the values, of missing entries NaN."""
    if isinstance(scores, list | tuple):
        return [part if isinstance(part, int | float) else _plain(part) for part in scores]
    if isinstance(scores, np.ma.MaskedArray) and scores.dtype.kind in "biuf":
        return np.ma.filled(scores.astype(np.float64), np.nan)
    if isinstance(scores, pd.Series | pd.api.extensions.ExtensionArray) and (
        pd.api.types.is_numeric_dtype(scores.dtype)
    ):
        return scores.to_numpy(dtype=np.float64, na_value=np.nan)
    if isinstance(scores, torch.Tensor):
        # numpy knows neither bfloat16 nor other devices nor what a gradient is.
        values = scores.detach().to("cpu").resolve_conj().resolve_neg()
        return values.double().numpy() if values.is_floating_point() else values.numpy()
    return scores


def _checked(scores: Any, where: str) -> FloatArray:
    try:
        found = np.asarray(_plain(scores))
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"not an array of numbers: {reason}", where=where) from error
    if found.dtype.kind not in "biuf":
        raise UserError(f"must be numbers, got {found.dtype}", where=where)
    if found.ndim != 1 or not found.size:
        raise UserError(
            f"must be one-dimensional and not empty, got shape {list(found.shape)}",
            where=where,
            remedy="for several runs give a list with one array per run",
        )
    bad = ~np.isfinite(found)
    if bad.any():
        raise UserError(
            f"{int(bad.sum())} of {found.size} are not finite (first at {int(bad.argmax())})",
            where=where,
        )
    return found.astype(np.float64)


def _p_value(runs: list[RunScores], seed: int) -> float:
    """With fewer permutations where there are millions of scores; valid for any number of them."""
    affordable = PERMUTED_SCORES // sum(run.n_rounds for run in runs)
    return permutation_p_value(
        runs,
        Seed(seed).generator("permutation"),
        n_permutations=min(MOST_PERMUTATIONS, max(FEWEST_PERMUTATIONS, affordable)),
    )


def _title(metric: Measure) -> str:
    return f"{metric.title} ({metric.formula})" if metric.formula else metric.title


def _text(interval: Interval | None) -> str:
    if interval is None:
        return "not estimable"
    rough = " (rough)" if interval.rough else ""
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]{rough}"
