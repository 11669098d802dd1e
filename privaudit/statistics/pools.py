"""How far chance alone moves an audit: the target's records are a finite pool of each kind.

Where the property has nothing to do with the records, the target's pool with it and its pool
without it still differ a little, and by the same in every round of a run. In units of the scores'
deviation within a label that difference is a d' of mean 0 and variance

    tau^2 = share^2 (1 / n1 + 1 / n0) / (v_target + v_others)

with v the variance of what a client sends in one round, in units of one record's. Pools of two runs
that deal the same data set share records, so their differences are correlated (``overlap``).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import asin, inf, isinf, pi, sqrt

from scipy.special import ndtr


@dataclass(frozen=True)
class Holdings:
    """What the target of one run draws from for one property, and who is in the sum with it.

    Attributes:
        present: its records with the property, at least 1.
        absent: its records without, at least 1.
        batch: records it draws for one round.
        share: of them with the property in the rounds that have it, in (0, 1].
        others: other honest clients in the same sum; 0 where its delta is seen alone.
        other_records: harmonic mean of the numbers of records they draw from; 0 without others.
        overlap: mean over the other runs of the correlation of the difference of this run's pools
            with theirs, from the records both hold; 0 for a single run.
        groups: how many writers, authors, ... its records with and without come from; None without.
        group_weight: variance of the difference of the pools if all records of a group were equal,
            in units of one record's variance; None without groups.
        icc: share of a record's variance that its group explains, in [0, 1]; None = not measured,
            and then taken for 0.
        other_variance: variance of one of the others' records in units of one of the target's.
        label_agreement: how well the label tells the property over the whole data set (balanced
            accuracy of the best guess from it), in [0.5, 1].
    """

    present: int
    absent: int
    batch: int
    share: float = 1.0
    others: int = 0
    other_records: float = 0.0
    overlap: float = 0.0
    groups: tuple[int, int] | None = None
    group_weight: float | None = None
    icc: float | None = None
    other_variance: float = 1.0
    label_agreement: float = 0.5

    @property
    def tau(self) -> float:
        """Standard deviation of a run's d' that comes from the pools alone; infinite without noise.

        More than it is where clients add noise or clip, which this does not count.
        """
        within = self._target_round + self._others_round
        return self.share * sqrt(self._difference / within) if within > 0 else inf

    def tau_of_runs(self, rounds: int) -> float:
        """Likewise between runs with the property and runs without, scores added over ``rounds``.

        All runs deal one data set, of which the target holds the share ``overlap``, so what its
        records with and without differ by moves all runs of a kind alike. It counts against what
        differs between runs of a kind: which of the records their clients hold, and batches. At
        most that: models and adversaries differ between runs as well.
        """
        common = self.overlap * self._difference * self.share**2
        own = (1 - self.overlap) * self._difference / 2
        noise = (self._target_round + self._others_round) / rounds
        with_it = own + self._dealt(self.others)
        without = self._dealt(self.others + 1) if self.others else own
        within = (with_it + without) / 2 + noise
        return sqrt(common / within) if within > 0 else inf

    def _dealt(self, clients: int) -> float:
        """Variance of the sum of so many clients' means, dealt without replacement."""
        if not clients or not self.others:
            return 0.0
        left = max(0.0, 1 - clients * self.overlap)
        return clients * left * self.other_variance / self.other_records

    @property
    def _difference(self) -> float:
        """Variance of the difference of the two pools' means."""
        of_records = 1 / self.present + 1 / self.absent
        if self.group_weight is None or self.icc is None:
            return of_records
        return (1 - self.icc) * of_records + self.icc * self.group_weight

    @property
    def _target_round(self) -> float:
        with_property = round(self.share * self.batch)
        rest = self.batch - with_property
        parts = ((with_property, self.present), (rest, self.absent))
        there = sum((n / self.batch) ** 2 * _mean_variance(n, held) for n, held in parts if n)
        return (there + _mean_variance(self.batch, self.absent)) / 2

    @property
    def _others_round(self) -> float:
        if not self.others:
            return 0.0
        return self.others * self.other_variance * _mean_variance(self.batch, self.other_records)


def pool_variance(tau: float) -> float:
    """Variance of the AUC Phi(d / sqrt 2) where d' is normal with mean 0 and deviation ``tau``."""
    if isinf(tau):
        return 0.25
    half = tau**2 / 2
    return asin(half / (1 + half)) / (2 * pi)


def chance_auc(tau: float, quantile: float = 1.6449) -> float:
    """The AUC that one deal in twenty exceeds within a run, without any leak."""
    return 1.0 if isinf(tau) else float(ndtr(quantile * tau / sqrt(2)))


def _mean_variance(drawn: int, held: float) -> float:
    """Of the mean of ``drawn`` of ``held`` records, as batches are drawn (``draw_any``)."""
    return 1 / drawn - 1 / held if drawn <= held else 1 / drawn
