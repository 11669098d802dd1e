"""What keeps a run from saying anything about a leak, however high its AUC."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from privaudit.evaluation.cells import TableCell

EXPLODED = 20.0
"""A cross-entropy that no model has which still trains: a blind guess among 1,000,000 has 13.8."""

IS_THE_LABEL = 0.95
"""Balanced accuracy from which on a property is taken to be the label under another name."""

Rows = Sequence[Mapping[str, Any]]
Troubles = Mapping[str, Sequence[str]]
"""Property -> what is in the way, in words; empty where nothing is."""


def troubles_of(
    names: Iterable[str], cells: Sequence[TableCell], training: Rows = (), endings: Rows = ()
) -> dict[str, list[str]]:
    """What is in the way, by property.

    Args:
        names: of the properties.
        cells: of the table.
        training: metrics of every round of ordinary training, of every run.
        endings: how the audited rounds of every cell ended
            (:func:`privaudit.games.ending.read_endings`).
    """
    found = {}
    for name in names:
        own = [cell for cell in cells if cell.property == name]
        ended = [row for row in endings if row["property"] == name]
        deaf = list(_alone(ended))
        found[name] = [
            *_diverged(training),
            *_exploded(ended),
            *of_the_property(name, own),
            *(deaf or _silence(own)),
        ]
    return found


def nothing_measured(
    cells: Sequence[TableCell], training: Rows = (), endings: Rows = (), *, answered: bool = False
) -> str:
    """Why no number of a run is one of the federation it is about; empty where some are.

    ``answered``: whether a game without scores has answers.
    """
    scored = [cell for cell in cells if cell.auc]
    if endings and all(map(_dead, endings)):
        return "every federation diverged"
    if not scored and not answered:
        return "no cell has scores"
    if not answered and all(cell.silent == cell.runs for cell in scored):
        return "every score of every run is the same: nothing was heard"
    if endings and all(not row["heard"] for row in endings):
        return "nothing of another client was ever in the aggregate"
    runs = {row["run"] for row in training}
    if runs and _gone(training) == runs:
        return "every federation diverged"
    return ""


def _diverged(training: Rows) -> Iterator[str]:
    """A training whose loss exploded, or whose deltas were no numbers."""
    gone = _gone(training)
    if not gone:
        return
    runs, first = len({row["run"] for row in training}), min(gone)
    own = [row for row in training if row["run"] == first]
    refused = sum("not finite" in row.get("rejected", {}).values() for row in own)
    row = max(own, key=lambda row: int(row["round"]))
    what = (
        f"deltas were not finite in {refused} of {len(own)} rounds"
        if refused
        else f"the test loss at its end {_loss_text(row)}, the test accuracy "
        f"{row['test_accuracy']:.2f}"
    )
    yield (
        f"the training diverged in {len(gone)} of {runs} runs (in run {first} {what}); lower "
        "federation.lr, or the noise"
    )


def _gone(training: Rows) -> set[int]:
    """Runs whose training diverged."""
    last: dict[int, Mapping[str, Any]] = {}
    for row in training:
        if row["round"] >= last.get(row["run"], row)["round"]:
            last[row["run"]] = row
    gone = {run for run, row in last.items() if not _alive(row, "train_loss", "test_loss")}
    return gone | {
        row["run"] for row in training if "not finite" in row.get("rejected", {}).values()
    }


def _alive(row: Mapping[str, Any], *losses: str) -> bool:
    found = [row.get(name) for name in losses]
    return all(loss is not None and isfinite(loss) and loss < EXPLODED for loss in found)


def _loss_text(row: Mapping[str, Any]) -> str:
    loss = row.get("test_loss")
    return "is not finite" if loss is None else f"is {loss:.3g}"


def _exploded(endings: Rows) -> Iterator[str]:
    """The model that the audited rounds left behind, or deltas in them that were no numbers."""
    gone = [row for row in endings if _dead(row)]
    if not gone:
        return
    first = gone[0]
    what = (
        f"deltas were not finite in {first['not_finite']} of {first['rounds']} rounds"
        if first["not_finite"]
        else f"the test loss after them {_loss_text(first)}"
    )
    yield (
        f"the audited rounds diverged in {len(gone)} of {len(endings)} federations (in run "
        f"{first['run']}, K = {first['participants']}: {what}); lower federation.lr or audit.lr, "
        "or the noise"
    )


def _dead(row: Mapping[str, Any]) -> bool:
    return bool(row["not_finite"]) or not _alive(row, "test_loss")


def of_the_property(name: str, cells: Sequence[TableCell]) -> Iterator[str]:
    """What of the property itself is in the way."""
    held = next((cell.holdings for cell in cells if cell.holdings is not None), None)
    if held is None:
        return
    if label := almost_the_label(name, held.label_agreement):
        yield label
    fewest = [cell.fewest or (held.present, held.absent) for cell in cells if cell.holdings]
    for place, what in enumerate(("with", "without")):
        if min(counts[place] for counts in fewest) == 1:
            yield f"the target holds a single record {what} it, so that this is about that record"


def almost_the_label(name: str, agreement: float) -> str:
    """That a property is told by who knows the class; empty where it is not."""
    if agreement < IS_THE_LABEL:
        return ""
    return (
        f"'{name}' is almost the label (the class alone tells it with a balanced accuracy of "
        f"{agreement:.2f}), and who takes part in the task is told that"
    )


def _alone(endings: Rows) -> Iterator[str]:
    """Federations in which the adversary was alone in the aggregate."""
    deaf = [row for row in endings if not row["heard"]]
    if deaf:
        held = (
            "nothing but the adversary's own (its weight was 1)"
            if any(row["own"] for row in deaf)
            else "nothing at all"
        )
        yield (
            f"in {len(deaf)} of {len(endings)} federations the aggregate held {held} in every "
            "audited round: the other clients' deltas were refused (federation.norm_bound?)"
        )


def _silence(cells: Sequence[TableCell]) -> Iterator[str]:
    known = [cell for cell in cells if cell.runs]
    silent = [cell for cell in known if cell.silent == cell.runs]
    if known and len(silent) == len(known):
        yield "every score of a run is the same, so nothing was heard"
