"""What the statistics work on: the scores of federated runs, and what carries the label in them.

The unit of replication is the federated run. Either every run holds rounds with and without the
property (the label belongs to the *round*), or the property is present in a run or absent from it
(the label belongs to the *run*, and runs without it are the controls).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


class Unit(Enum):
    """What carries the label "property present"."""

    ROUND = "round"
    RUN = "run"


@dataclass(frozen=True, eq=False)
class RunScores:
    """The scores of one attack in one federated run, beside the truth.

    Attributes:
        scores: [T] finite reals, one per round; higher = property more likely present.
        present: [T] booleans, whether the property was present in the round.
        pair: the federation that this run is one state of, where each is audited with the property
            throughout and without it; None = a federation of its own.
        targets: [T] whose records a round is about, where targets rotate; None = one target. An
            AUC is then the mean over targets of that among the rounds of each (:meth:`parts`).
        possible: [S, T] booleans, what ``present`` could have been, each as likely; None = the same
            labels in any order.

    Raises:
        ValueError: not one-dimensional, empty, of unequal length, not boolean, or not finite.
    """

    scores: FloatArray
    present: BoolArray
    pair: int | None = None
    targets: NDArray[np.intp] | None = None
    possible: BoolArray | None = None

    def parts(self) -> list[RunScores]:
        """The rounds of each target, as runs; the run itself where it has one target."""
        if self.targets is None:
            return [self]
        return [
            RunScores(self.scores[own], self.present[own])
            for own in (self.targets == target for target in np.unique(self.targets))
        ]

    def __post_init__(self) -> None:
        scores = np.asarray(self.scores, dtype=np.float64)
        present = np.asarray(self.present)
        if scores.ndim != 1 or scores.shape != present.shape or scores.size == 0:
            raise ValueError(
                "scores and present must be one-dimensional, equally long and not empty, "
                f"got shapes {scores.shape} and {present.shape}"
            )
        if present.dtype != np.bool_:
            raise ValueError(f"present must be boolean, got {present.dtype}")
        bad = ~np.isfinite(scores)
        if bad.any():
            raise ValueError(
                f"scores must be finite, got {int(bad.sum())} of {scores.size} that are not, "
                f"first at round {int(bad.argmax())}: {scores[bad][0]}"
            )
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "present", present)

    @property
    def n_rounds(self) -> int:
        """Number of rounds."""
        return int(self.scores.size)

    @property
    def n_present(self) -> int:
        """Number of rounds with the property."""
        return int(self.present.sum())

    @property
    def n_absent(self) -> int:
        """Number of rounds without the property."""
        return self.n_rounds - self.n_present


def label_unit(runs: Sequence[RunScores]) -> Unit:
    """What carries the label in these runs.

    Raises:
        ValueError: no runs; no run with, or none without the property (no controls); or runs of
            both kinds, some with both labels and some with only one.
    """
    if not runs:
        raise ValueError("at least one run is needed, got 0")
    constant = [i for i, run in enumerate(runs) if run.n_present in (0, run.n_rounds)]
    if not constant:
        return Unit.ROUND
    if len(constant) < len(runs):
        raise ValueError(
            f"runs {constant} of {len(runs)} hold one label only, the others both: an AUC within "
            "the run does not exist for them"
        )
    n_present = sum(run.n_present > 0 for run in runs)
    if n_present in (0, len(runs)):
        raise ValueError(
            f"the property is present in {n_present} of {len(runs)} runs: there is nothing to "
            "compare with"
        )
    return Unit.RUN


def whole_run(runs: Sequence[RunScores]) -> list[RunScores]:
    """Evidence summed over rounds: one score and one label per run (labels belong to runs).

    For log-likelihood ratios of independent rounds the sum is the ratio of the whole run.

    Raises:
        ValueError: the label of a run is not the same in all its rounds, or :func:`label_unit`.
    """
    if label_unit(runs) is not Unit.RUN:
        raise ValueError("evidence adds up over a run only if its rounds share one label")
    return [
        replace(run, scores=run.scores.sum(keepdims=True), present=run.present[:1]) for run in runs
    ]


def complete_pairs(runs: Sequence[RunScores]) -> list[RunScores]:
    """The runs whose other state is among them, too; none of a single pair, which has no AUC."""
    states: dict[int | None, set[bool]] = {}
    for run in runs:
        states.setdefault(run.pair, set()).update(run.present.tolist())
    whole = [run for run in runs if run.pair is None or len(states[run.pair]) == 2]
    return whole if len(whole) != 2 or whole[0].pair is None else []


def pairs_of(runs: Sequence[RunScores]) -> NDArray[np.intp] | None:
    """[R, 2] places of the state with the property and of the one without it of each federation.

    None where runs are federations of their own.

    Raises:
        ValueError: a federation is not there once in each state, or fewer than two are.
    """
    if any(run.pair is None for run in runs):
        return None
    places: dict[int, dict[bool, int]] = {}
    for place, run in enumerate(runs):
        assert run.pair is not None
        places.setdefault(run.pair, {})[bool(run.present[0])] = place
    if len(places) < 2 or len(runs) != 2 * len(places) or any(len(p) < 2 for p in places.values()):
        raise ValueError(
            f"at least two federations in both states are needed, got {len(runs)} runs of "
            f"{len(places)}"
        )
    return np.array([(at[True], at[False]) for at in places.values()])


def pool(runs: Sequence[RunScores]) -> RunScores:
    """All rounds of all runs as if they came from one: only for scores comparable across runs."""
    return RunScores(
        np.concatenate([run.scores for run in runs]), np.concatenate([run.present for run in runs])
    )
