"""Rebuilt records in words and tables: how much of the target's batches answers hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from privaudit.evaluation.rebuilding import MEASURES, MOST_DB, Measure
from privaudit.evaluation.rebuilt_cells import RebuiltCell
from privaudit.report.tables import clients_text
from privaudit.scenario.grid import how_sent
from privaudit.scenario.schema import LABELS, Scenario
from privaudit.statistics.intervals import Interval

HEADS = ("batch", "attack", "K", "rule")
"""What heads a row of the wide table."""

SHARE = MEASURES["records"]
"""What stands beside a number is a share, and written like one."""

COUNTED = {
    "records": "share of the records of the target's batch that stand in the answer, no number off "
    "by more than 1 % of the range of its column",
    "images": "mean PSNR in dB of the images of the target's batch, each beside the one of the "
    f"answer that is assigned to it (at most {MOST_DB:.0f}; one without an answer, or with one "
    "worse than grey, counts as grey)",
    "words": "F1 of the words in the answer: the harmonic mean of recall (share of the words of "
    "the target's batch that stand in the answer) and precision (share of the answer's words that "
    "stand in the batch)",
    LABELS: "share of the labels of the target's batch that stand in the answer, each as often as "
    "it is there; an answer holds as many labels as records stand behind what is seen",
}
GUESSED = {
    "records": "how many of them are among the adversary's own records",
    "images": "the same with the nearest of the adversary's own images in place of an answer, "
    "chosen by the judge",
    "words": "the words that most of the adversary's own texts hold, as many as do best on batches "
    "of its own",
    LABELS: "as many labels, those with the largest expected share by how often each is among the "
    "adversary's own records",
}


def amount(measure: Measure, found: Interval | None, *, limits: bool = True) -> str:
    """``0.82 [0.77, 0.86]``, or ``43.4 dB [40.1, 46.7]``; ``≥ 60.0 dB`` is all that is measured."""
    if found is None:
        return "–"
    digits = 1 if measure.unit else 2
    unit = f" {measure.unit}" if measure.unit else ""
    if measure.unit and found.low >= measure.top:
        return f"≥ {measure.top:.{digits}f}{unit}"
    value = f"{found.value:.{digits}f}{unit}"
    return f"{value} [{found.low:.{digits}f}, {found.high:.{digits}f}]" if limits else value


def cell_text(cell: RebuiltCell | None) -> str:
    """``0.82 [0.77, 0.86] (0.01)*``, the guess in round brackets; or why there is no number."""
    if cell is None:
        return "–"
    if cell.measure is None:
        return f"failed: {cell.failures[0]}" if cell.failures else "failed"
    if not cell.answered:
        return "no answer"
    lost = f" ({len(cell.failures)} failed)" if cell.failures else ""
    star = "*" if cell.told else ""
    unit = f" {cell.measure.unit}" if cell.measure.unit else ""
    text = _with_guess(cell.measure, cell.found, cell.guess)
    return f"{text.replace(unit, '') if unit else text}{star}{lost}"


def _with_guess(measure: Measure, found: Interval | None, guess: Interval | None) -> str:
    return f"{amount(measure, found)} ({amount(measure, guess, limits=False)})"


def wide_table(cells: Sequence[RebuiltCell]) -> pd.DataFrame:
    """One row per batch size, rule, K and attack; what was rebuilt by shared fraction."""
    return _wide(cells, cell_text)


def beside_tables(cells: Sequence[RebuiltCell]) -> dict[str, pd.DataFrame]:
    """Title -> the same of what else was measured."""
    measure = measure_of(cells)
    if measure is None:
        return {}

    def text(name: str, cell: RebuiltCell | None) -> str:
        if cell is None or name not in cell.beside:
            return "–"
        if not cell.answered:
            return "no answer"
        return _with_guess(SHARE, cell.beside[name], cell.beside[f"guess_{name}"])

    return {
        title: _wide(cells, lambda cell, name=name: text(name, cell))
        for name, title in measure.beside.items()
    }


def _wide(cells: Sequence[RebuiltCell], text: Any) -> pd.DataFrame:
    fractions = sorted({cell.fraction for cell in cells})
    rules = sorted({c.rule for c in cells if c.rule != "all"}) or ["all"]
    by_key = {(c.batch, c.rule, c.defence, c.participants, c.attack, c.fraction): c for c in cells}
    keys = dict.fromkeys(
        (c.batch, c.participants, rule, c.defence, c.attack)
        for c in sorted(cells, key=lambda c: (c.batch, c.participants))
        for rule in (rules if c.rule == "all" else [c.rule])
    )
    colluding = {c.participants: c.colluders for c in cells}
    rows = []
    for batch, participants, rule, defence, attack in keys:
        clients = clients_text(participants, colluding[participants])
        head = (str(batch), attack, clients, how_sent(rule, defence))
        row = dict(zip(HEADS, head, strict=True))
        for fraction in fractions:
            of = "all" if fraction == 1.0 else rule
            row[f"{100 * fraction:g} %"] = text(
                by_key.get((batch, of, defence, participants, attack, fraction))
            )
        rows.append(row)
    return pd.DataFrame(rows)


def long_rows(cells: Sequence[RebuiltCell]) -> list[dict[str, Any]]:
    """One row per cell, unrounded; None for what is not there."""
    return [
        {
            "asked": cell.property,
            "batch": cell.batch,
            "shared_fraction": cell.fraction,
            "rule": cell.sent,
            "participants": cell.participants,
            "honest": cell.honest,
            "attack": cell.attack,
            "measure": cell.measure.name if cell.measure else None,
            **_limits("found", cell.found),
            "guess": cell.guess.value if cell.guess else None,
            **_limits("gain", cell.gain),
            "answered": cell.answered,
            **{name: found.value for name, found in cell.beside.items()},
            "runs": cell.runs,
            "rounds": cell.rounds,
            "failed_runs": len(cell.failures),
            "p_value": cell.p_value,
            "q_value": cell.q_value,
            "told": cell.told,
        }
        for cell in cells
    ]


def as_csv(cells: Sequence[RebuiltCell]) -> str:
    """The same as CSV."""
    return str(pd.DataFrame(long_rows(cells)).to_csv(index=False, lineterminator="\n"))


def _limits(name: str, found: Interval | None) -> dict[str, float | None]:
    if found is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def measure_of(cells: Sequence[RebuiltCell]) -> Measure | None:
    """What is counted in a table; None where nothing was."""
    return next((cell.measure for cell in cells if cell.measure is not None), None)


def caption(cells: Sequence[RebuiltCell], by: str) -> str:
    """What a table of rebuilt records holds."""
    measure = measure_of(cells)
    title = measure.title if measure else "records rebuilt"
    unit = f", {measure.unit}," if measure and measure.unit else ""
    return f"{title[0].upper()}{title[1:]}{unit} with 95 % interval (and a guess), by {by}"


def heading(scenario: Scenario) -> str:
    """Of the part of a report that is about it."""
    asked = scenario.reconstruction
    return "Labels of the batch" if asked and asked.of == LABELS else "Records rebuilt"


def subject(scenario: Scenario) -> str:
    """What figures of it are about."""
    asked = scenario.reconstruction
    if asked and asked.of == LABELS:
        return "Labels of the target's batch named right"
    return "What was rebuilt of the target's batch"


def reading(scenario: Scenario, cells: Sequence[RebuiltCell]) -> list[str]:
    """What the numbers of the table are."""
    measure = measure_of(cells)
    if measure is None or scenario.reconstruction is None:
        return []
    rounds = scenario.reconstruction.rounds
    return [
        f"Number: {COUNTED[measure.name]}; mean over {rounds} rounds and {scenario.runs} "
        "runs, with its 95 % interval over runs. In round brackets a guess: "
        f"{GUESSED[measure.name]}.",
        "* = the answers are about the batch they are for (dealt to the other rounds of their run "
        "they would hold less of it; false discovery rate of 5 % over the table, permutation test, "
        "Benjamini-Hochberg), and hold more of it than the guess (95 % interval of the difference "
        "above 0).",
    ]


def by_clients(cells: Sequence[RebuiltCell]) -> list[str]:
    """For each size and attack, everything shared, what is rebuilt by number of honest clients."""
    most = max((cell.fraction for cell in cells), default=1.0)
    found = []
    keys = dict.fromkeys((c.batch, c.attack, c.sent) for c in cells if c.fraction == most)
    for batch, attack, sent in keys:
        line = sorted(
            (
                c
                for c in cells
                if (c.batch, c.attack, c.sent, c.fraction) == (batch, attack, sent, most)
                and c.measure is not None
                and c.answered
            ),
            key=lambda c: c.honest,
        )
        if len({c.honest for c in line}) > 1:
            found.append(_line(line))
    return found


def _line(line: Sequence[RebuiltCell]) -> str:
    first = line[0]
    assert first.measure is not None
    start = (
        f"Batches of {first.batch}, {first.attack}, {100 * first.fraction:g} % shared"
        f"{'' if first.sent == 'all' else f' ({first.sent})'}: "
    )
    if first.measure.name == "words":
        parts = [
            f"{100 * c.beside['recall'].value:.1f} % of the words with a precision of "
            f"{c.beside['precision'].value:.2f} at {c.honest}"
            for c in line
            if c.found is not None
        ]
        return f"{start}by number of honest clients {', '.join(parts)}."
    if first.measure.name == LABELS:
        return start + _labels(line)
    counts = [_exactly(c) for c in line]
    if first.measure.name == "images" and not any(counts):
        parts = [f"{amount(first.measure, c.found, limits=False)} at {c.honest}" for c in line]
        guess = amount(first.measure, first.guess, limits=False)
        return (
            f"{start}none within 1 %; PSNR by number of honest clients {', '.join(parts)} (a guess "
            f"{guess})."
        )
    parts = [f"{count} at {c.honest}" for count, c in zip(counts, line, strict=True)]
    return (
        f"{start}of {first.rounds * first.batch} records rebuilt within 1 %, by number of honest "
        f"clients: {', '.join(parts)}."
    )


def _labels(line: Sequence[RebuiltCell]) -> str:
    """Of how many labels how many were named, beside a guess at the same number of clients."""
    parts = [f"{_of_all(c, c.found)} at {c.honest} (a guess {_of_all(c, c.guess)})" for c in line]
    return (
        f"of {line[0].rounds * line[0].batch} labels named right, by number of honest clients: "
        f"{', '.join(parts)}."
    )


def _of_all(cell: RebuiltCell, share: Interval | None) -> int:
    return round(share.value * cell.rounds * cell.batch) if share else 0


def _exactly(cell: RebuiltCell) -> int:
    return _of_all(cell, cell.beside.get("exact", cell.found))


def assumed(scenario: Scenario) -> list[tuple[str, str]]:
    """(what, how) of the game, for the list of assumptions."""
    wanted, audit = scenario.reconstruction, scenario.audit
    if wanted is None:
        return []
    sizes = ", ".join(map(str, wanted.batch_sizes))
    steps = "one step" if audit.local_steps == 1 else f"{audit.local_steps} local steps"
    lr = scenario.federation.lr if audit.lr is None else audit.lr
    asked = {LABELS: "how many records of each class a batch holds; "}.get(wanted.of, "")
    return [
        (
            "Reconstruction",
            f"{asked}batches of {sizes} records, drawn from what each client holds without putting "
            f"back; {wanted.rounds} rounds per cell and run, {steps} a client, learning rate "
            f"{lr:g}; a federation for each cell; everybody knows the size of a batch",
        )
    ]


assert COUNTED.keys() == GUESSED.keys() == MEASURES.keys()
