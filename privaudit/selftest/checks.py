"""From audits to verdicts: what must hold, within which tolerance. Pure functions.

Every tolerance is three standard errors of what a machinery without fault would show, so a check
of a right machinery fails by chance about once in 700 seeds (the exact binomial tail of a small
share is somewhat larger: once in 300). The default seed is known to pass, and with one seed every
number is the same each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

from scipy.special import ndtr

from privaudit.selftest import printed
from privaudit.selftest.audits import Audited
from privaudit.statistics.intervals import Interval, auc_interval
from privaudit.statistics.laws import auc_of_d_prime, d_prime
from privaudit.statistics.roc import mean_auc
from privaudit.statistics.runs import RunScores
from privaudit.statistics.variance import delong_difference_variance

ERRORS = 3.0
"""Standard errors a measured number may be off."""
WIDE = float(2 * ndtr(ERRORS) - 1)
"""Level of an interval that reaches as far: 99.7 %."""
COVERAGE = 0.95


@dataclass(frozen=True)
class Check:
    """One line of the self-test.

    Attributes:
        name: what is checked.
        expected: in words and numbers.
        measured: likewise.
        n: audits or runs behind it, with the word.
        tolerance: how far measured may be from expected, in words and numbers.
        holds: the verdict.
    """

    name: str
    expected: str
    measured: str
    n: str
    tolerance: str
    holds: bool

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def share_error(share: float, n: int) -> float:
    """Standard error of a share over n independent audits."""
    return sqrt(share * (1 - share) / n)


def at_most(name: str, hits: Sequence[bool], share: float) -> Check:
    """No more hits than ``share``, but for three standard errors of the binomial."""
    return _share(name, hits, share, share + ERRORS * share_error(share, len(hits)), above=True)


def at_least(name: str, hits: Sequence[bool], share: float) -> Check:
    """No fewer hits than ``share``, but for three standard errors of the binomial."""
    return _share(name, hits, share, share - ERRORS * share_error(share, len(hits)), above=False)


def _share(name: str, hits: Sequence[bool], share: float, limit: float, *, above: bool) -> Check:
    measured = sum(hits) / len(hits)
    return Check(
        name=name,
        expected=f"{'at most' if above else 'at least'} {share:.0%}",
        measured=f"{measured:.1%}",
        n=f"{len(hits)} audits",
        tolerance=f"{'up to' if above else 'down to'} {limit:.1%}",
        holds=measured <= limit if above else measured >= limit,
    )


def is_auc(name: str, runs: Sequence[RunScores], truth: float) -> Check:
    """The interval over all runs, as wide as three standard errors, holds the true AUC."""
    found = auc_interval(runs, level=WIDE)
    return _auc(name, found, f"{truth:.3f} (exact)", found.low <= truth <= found.high)


def is_found(name: str, runs: Sequence[RunScores], best: float) -> Check:
    """An attack that had to learn is above chance, and not above the best test there is."""
    found = auc_interval(runs, level=WIDE)
    return _auc(name, found, f"0.5 to {best:.3f} (best)", 0.5 < found.low <= best)


def is_near(name: str, runs: Sequence[RunScores], best: Sequence[RunScores], share: float) -> Check:
    """An attack that had to learn has this share of the d' that the best test has on these runs."""
    found, most = mean_auc(runs), mean_auc(best)
    needed = float(auc_of_d_prime(share * d_prime(most)))
    variances = [
        delong_difference_variance(one.scores, other.scores, one.present)
        for one, other in zip(runs, best, strict=True)
    ]
    low = needed - ERRORS * sqrt(sum(variances)) / len(runs)
    return Check(
        name=name,
        expected=f"{needed:.3f} or more: {share:.0%} of the d' of {most:.3f} (best)",
        measured=f"{found:.3f}",
        n=f"{len(runs)} runs",
        tolerance=f"down to {low:.3f}",
        holds=found >= low,
    )


def _auc(name: str, found: Interval, expected: str, holds: bool) -> Check:
    return Check(
        name=name,
        expected=expected,
        measured=f"{found.value:.3f}",
        n=f"{found.n_runs} runs",
        tolerance=f"{WIDE:.1%} interval {found.low:.3f} to {found.high:.3f}",
        holds=holds,
    )


def starred(audits: Sequence[Audited], attack: str) -> list[bool]:
    """Which audits print a star: the attack is told from chance."""
    return [printed.starred(audited.report, attack) for audited in audits]


def covered(audits: Sequence[Audited], attack: str, truth: float) -> list[bool]:
    """Whose printed 95 % interval holds the true AUC, both to two decimals."""
    limits = [printed.interval(audited.report, attack)[1:] for audited in audits]
    return [low <= round(truth, 2) <= high for low, high in limits]


def leak_said(audits: Sequence[Audited]) -> list[bool]:
    """Which verdicts say "leak"."""
    return [printed.verdict(audited.report) == "leak" for audited in audits]


def all_say(name: str, expected: str, said: Sequence[object], holds: Sequence[bool]) -> Check:
    """Every audit prints what it must; ``said`` is what each does."""
    wrong = [str(what) for what, right in zip(said, holds, strict=True) if not right]
    return Check(
        name=name,
        expected=expected,
        measured=f"{len(wrong)} print something else, e.g. {wrong[0]}" if wrong else "all do",
        n=f"{len(said)} audits",
        tolerance="none",
        holds=not wrong,
    )


def all_runs(audits: Sequence[Audited], attack: str) -> list[RunScores]:
    """The federation runs of all audits."""
    return [run for audited in audits for run in audited.runs[attack]]


def failure(name: str, audits: Sequence[Audited]) -> Check | None:
    """The verdict on audits that did not finish; None where all did."""
    reasons = [audited.failure for audited in audits if audited.failure]
    if not reasons:
        return None
    return Check(
        name=name,
        expected="every audit finishes",
        measured=f"{len(reasons)} failed; the first: {reasons[0]}",
        n=f"{len(audits)} audits",
        tolerance="none",
        holds=False,
    )
