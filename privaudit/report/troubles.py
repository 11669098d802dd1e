"""What keeps a run from saying anything about a leak, however high its AUC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any

from privaudit.evaluation.cells import TableCell

EXPLODED = 20.0
"""A cross-entropy that no model has which still trains: a blind guess among 1,000,000 has 13.8."""

IS_THE_LABEL = 0.95
"""Balanced accuracy from which on a property is taken to be the label under another name."""


def troubles(
    name: str, cells: Sequence[TableCell], training: Sequence[dict[str, Any]]
) -> list[str]:
    """For one property, in words; empty where nothing is in the way."""
    return [*_diverged(training), *of_the_property(name, cells), *_silence(cells)]


def _diverged(training: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A training whose loss exploded, or whose last round left no number at all."""
    last: dict[int, dict[str, Any]] = {}
    for row in training:
        if row["round"] >= last.get(row["run"], row)["round"]:
            last[row["run"]] = row
    gone = {run for run, row in last.items() if not _alive(row)}
    gone |= {row["run"] for row in training if "not finite" in row.get("rejected", {}).values()}
    if gone:
        row = last[min(gone)]
        loss = row.get("test_loss")
        text = "is not finite" if loss is None else f"is {loss:.3g}"
        yield (
            f"the training diverged in {len(gone)} of {len(last)} runs (in run {min(gone)} the "
            f"test loss at its end {text}, the test accuracy {row['test_accuracy']:.2f}); lower "
            "federation.lr, or the noise"
        )


def _alive(row: dict[str, Any]) -> bool:
    losses = [row.get("train_loss"), row.get("test_loss")]
    return all(loss is not None and isfinite(loss) and loss < EXPLODED for loss in losses)


def of_the_property(name: str, cells: Sequence[TableCell]) -> Iterator[str]:
    """What of the property itself is in the way."""
    held = next((cell.holdings for cell in cells if cell.holdings is not None), None)
    if held is None:
        return
    if held.label_agreement >= IS_THE_LABEL:
        yield (
            f"'{name}' is almost the label (the class alone tells it with a balanced accuracy of "
            f"{held.label_agreement:.2f}), and who takes part in the task is told that"
        )
    for count, what in ((held.present, "with"), (held.absent, "without")):
        if count == 1:
            yield f"the target holds a single record {what} it, so that this is about that record"


def _silence(cells: Sequence[TableCell]) -> Iterator[str]:
    known = [cell for cell in cells if cell.runs]
    silent = [cell for cell in known if cell.silent == cell.runs]
    if known and len(silent) == len(known):
        yield (
            "every score of a run is the same, so nothing was heard (were the other clients' "
            "deltas rejected, or is the adversary's own weight 1?)"
        )
