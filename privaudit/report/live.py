"""What a judged live run has to say: table, answer, figure, page. Pure functions of its records."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from privaudit.custody.folder import RunFolder
from privaudit.custody.plan import PLAN
from privaudit.evaluation.cells import TableCell
from privaudit.evaluation.live import UNTOLD, Live, LiveTrace
from privaudit.evaluation.live_folder import read_live, trace_name, truth_name
from privaudit.ledger.entries import AUDITS, audit_facts, plan_hash
from privaudit.report.drawings import Drawing
from privaudit.report.figures import NARROW, PLAIN
from privaudit.report.findings import Findings, Part, error_bars, render_findings
from privaudit.report.in_short import (
    COIN,
    STRONGER,
    InShort,
    between,
    capital,
    found_beside_a_coin,
    right_one,
)
from privaudit.report.looks import look_of
from privaudit.report.next_step import Next
from privaudit.report.notes import power_note
from privaudit.report.provenance import record_facts, toml_value
from privaudit.report.tables import as_text, cell_text, interval_text, long_table, with_rule
from privaudit.report.verdict import LEAK, NONE, could_have_seen

TITLE = "AUC of each attack"
CAPTION = (
    "AUC with 95 % interval: rounds of the audited client with the property from those without"
)
HEADS = ("property", "attack", "K", "runs", "rounds with + without", "AUC", "p")
MORE = 3
"""Runs from which on intervals over runs say something."""

SETTLED = {"persistent": False, "others": "natural"}
"""Rules that ``privaudit judge`` states by itself."""


def live_table(live: Live) -> pd.DataFrame:
    """One row per property, attack and setting, as text."""
    return pd.DataFrame([_row(cell) for cell in live.cells], columns=list(HEADS))


def _row(cell: TableCell) -> tuple[str, ...]:
    inside, outside = counts(cell)
    p = "–" if cell.p_value is None else f"{cell.p_value:.2g}"
    number = f"{cell.participants}{with_rule(cell)}"
    rounds = f"{inside} + {outside}"
    return cell.property, cell.attack, number, str(cell.runs), rounds, cell_text(cell), p


def counts(cell: TableCell) -> tuple[int, int]:
    """Rounds with and without the property, over all runs."""
    assert cell.design is not None, "an audited client's run has rounds of both kinds"
    return sum(cell.design.n_present), sum(cell.design.n_absent)


def live_answer(live: Live) -> list[str]:
    """What was found, in a sentence for each row."""
    return [_sentence(cell) for cell in live.cells]


def _sentence(cell: TableCell) -> str:
    told = (
        f"tells whether the audited client's batches held '{cell.property}'"
        if cell.told
        else f"was not told from chance about '{cell.property}'"
    )
    runs = "1 run" if cell.runs == 1 else f"{cell.runs} runs"
    return (
        f"{cell.attack} {told} (K = {cell.participants}{with_rule(cell)}): AUC "
        f"{interval_text(cell.auc)} over {cell.rounds} rounds of {runs}; a blind guess has 0.50."
    )


def in_short(live: Live, step: Next) -> InShort:
    """The same in words for everybody, of the first row that was told."""
    told = [cell for cell in live.cells if cell.told and cell.auc]
    runs = f"{len(live.settings.live)} run{'s' * (len(live.settings.live) != 1)}"
    assumed = (
        "The listener took part, kept to the rules and has records of its own; the audited client "
        f"drew its batches by a schedule that only the auditor knew. {STRONGER}"
    )
    if not told:
        leak = "None was found: no attack here did better than chance shows. That is no proof."
        sure = f"{capital(could_have_seen(live.cells))}. Measured on {runs}."
        return InShort(NONE, leak, sure, step, assumed)
    first = told[0]
    assert first.auc is not None
    pair = f"rounds, one in which the audited client's batches held '{first.property}' and one not"
    names = ", ".join(dict.fromkeys(f"'{cell.property}'" for cell in told))
    leak = f"Yes: {names}. {capital(right_one(pair, first.auc))}; {COIN}."
    no_coin = found_beside_a_coin(first.auc)
    sure = f"{capital(between(first.auc))}, from {runs}, {first.rounds} rounds in all{no_coin}."
    return InShort(LEAK, leak, sure, step, assumed)


def live_notes(live: Live) -> list[str]:
    """How to read the table."""
    first = live.cells[0]
    method = first.auc.method if first.auc else ""
    lines = [
        "AUC of telling rounds in which the audited client's records have the property from those "
        f"in which they have not, with its 95 % interval ({method}); a blind guess has 0.50. p: "
        "permutation of the rounds within each run. *: told from chance, p adjusted over the "
        "table (false discovery rate below 5 %)."
    ]
    if first.runs == 1:
        lines.append(
            "One run: the interval is over its rounds. Another federation may give another number; "
            "several runs say how far it scatters."
        )
    missed = sum(map(len, live.missed))
    if missed:
        lines.append(f"Rounds of the truth that no trace tells: {missed}.")
    untold = sum(
        int(record.facts[UNTOLD])
        for record in live.records
        if (record.property, record.attack) == (first.property, first.attack)
    )
    if untold:
        lines.append(f"Rounds of the traces that no truth is known of, left out: {untold}.")
    guessed = sum(run.guessed for run in live.settings.live)
    if guessed:
        lines.append(
            f"Assumed, not known, in {guessed} rounds: the listener's weight, 1 / participants."
        )
    return [*lines, *power_note(live.cells)]


def limits(live: Live) -> list[str]:
    """What it does not say."""
    return [
        "The truth is of one client, whose batches the auditor drew: with the property in half of "
        "the rounds, without it in the others. Batches that hold a little of it in every round are "
        "harder to read.",
        "Records of the audited client with the property and those without may differ in more than "
        "that by chance; what an attack makes of it counts as told.",
        "Other attacks may tell more.",
        "The folder shows what was judged, not that a federation ran: traces and truth are what "
        "listener and auditor kept.",
    ]


def live_json(live: Live) -> list[dict[str, Any]]:
    """One object per row."""
    return [
        {
            "property": cell.property,
            "attack": cell.attack,
            "participants": cell.participants,
            "runs": cell.runs,
            "rounds": [list(live.rounds[number]) for number in runs_of(live, cell)],
            "left_out": [list(live.missed[number]) for number in runs_of(live, cell)],
            "with": counts(cell)[0],
            "without": counts(cell)[1],
            "auc": [cell.auc.value, cell.auc.low, cell.auc.high] if cell.auc else None,
            "interval": cell.auc.method if cell.auc else None,
            "p": cell.p_value,
            "q": cell.q_value,
            "told": cell.told,
        }
        for cell in live.cells
    ]


def runs_of(live: Live, cell: TableCell) -> list[int]:
    """Numbers of the runs behind a cell: those of its setting."""
    wanted = (cell.rule, cell.fraction, cell.participants)
    cells = [run.cell(number, cell.property) for number, run in enumerate(live.settings.live)]
    return [one.run for one in cells if (one.rule, one.fraction, one.participants) == wanted]


def live_csv(live: Live) -> str:
    """One row per cell, all metrics unrounded."""
    return str(long_table(live.cells).to_csv(index=False, lineterminator="\n"))


def live_text(live: Live) -> str:
    """The table and its notes, for a terminal."""
    return "\n".join([as_text(live_table(live)), "", *(f"- {line}" for line in live_notes(live))])


def write_live(folder: RunFolder) -> None:
    """Write ``report/live.{md,csv,json}``, the figure and ``report/index.html``."""
    for name, text in render_live(folder).items():
        folder.write_text(name, text)


def render_live(folder: RunFolder) -> dict[str, str]:
    """Name of every file of the report -> its text."""
    live = read_live(folder)
    drawing = Drawing.of("auc", TITLE, "Bars are 95 % intervals.", live_figure, live.cells)
    step = next_of_live(live)
    found = Findings(
        kind="live",
        title=live.settings.title,
        answer=live_answer(live),
        parts=[Part(live_table(live), 2, CAPTION, live_notes(live), drawing)],
        limits=limits(live),
        command=command(live),
        next=step,
        in_short=in_short(live, step),
        runs=[],
        facts=_facts(live) + _ledger_facts(folder),
    )
    document = json.dumps(live_json(live), indent=1, allow_nan=False)
    return render_findings(folder, found, document=document, rows=live_csv(live))


def command(live: Live) -> str:
    """The command that judges what the folder keeps again."""
    settings, numbers = live.settings, range(len(live.settings.live))
    first = settings.live[0]
    told = [*first.rules["model_options"].items()]
    parts = [
        "privaudit judge",
        *(f"RUN/{trace_name(number)}" for number in numbers),
        *(f"--truth RUN/{truth_name(number)}" for number in numbers),
        *(f"--auxiliary {shlex.quote(path)}" for path in _auxiliary(live)),
        f"--model {first.rules['model']}",
        *(f"--option {shlex.quote(f'{key}={toml_value(value)}')}" for key, value in told),
        *(f"--property {shlex.quote(name)}" for name in settings.audit.properties),
        *(f"--attack {name}" for name in settings.audit.attacks),
        *(f"--set {shlex.quote(f'{key}={toml_value(value)}')}" for key, value in _own(first)),
        f"--shadows {settings.audit.shadows} --seed {settings.seed}",
    ]
    return " ".join(parts)


def _auxiliary(live: Live) -> list[str]:
    """One for all, or one for each."""
    paths = [run.auxiliary for run in live.settings.live]
    return paths[:1] if len(set(paths)) == 1 else paths


def _own(run: LiveTrace) -> list[tuple[str, Any]]:
    """Rules that the user stated."""
    return [
        (name, value)
        for name, value in run.rules.items()
        if run.stated[name] == "option"
        and name not in ("model", "model_options")
        and SETTLED.get(name) != value
    ]


def next_of_live(live: Live) -> Next:
    """More runs, until they say how far the number scatters; then the other question."""
    if len(live.settings.live) < MORE:
        return Next(
            "privaudit judge TRACE TRACE TRACE --truth DIR --truth DIR --truth DIR",
            "the same with three or more federations: how far does it scatter?",
        )
    return Next("privaudit policies policies-glyphs", "which defence takes what, at what price?")


def _facts(live: Live) -> list[tuple[str, str]]:
    facts = [("Root seed", str(live.settings.seed)), *record_facts(live.records)]
    for number, run in enumerate(live.settings.live):
        said = ", ".join(f"{n} {v} ({run.stated.get(n, '?')})" for n, v in run.rules.items())
        facts.append((f"Rules of run {number}, and who stated them", said))
        if run.about:
            told = ", ".join(f"{name} {value}" for name, value in run.about.items())
            facts.append((f"What trace {number} says of itself", told))
    return facts


def _ledger_facts(folder: RunFolder) -> list[tuple[str, str]]:
    """What its ledger has of it, if it has one."""
    if not folder.file(AUDITS).is_file():
        return []
    rows, plan = folder.read_lines(AUDITS), plan_hash(folder).hex()
    return audit_facts(PLAN, plan, rows, when="before the results were recorded")


def live_figure(cells: Sequence[TableCell], *, narrow: bool = False) -> Figure:
    """One line per row of the table, with its interval."""
    shown = [(cell, cell.auc) for cell in cells if cell.auc is not None]
    at = [-float(number) for number in range(len(shown))]
    with matplotlib.rc_context(PLAIN):
        figure = Figure(
            figsize=(NARROW if narrow else 6.0, 1.2 + 0.4 * len(shown)), layout="constrained"
        )
        axes = figure.subplots()
        axes.axvline(0.5, color="grey", linewidth=1, linestyle="--")
        for place, (cell, auc) in zip(at, shown, strict=True):
            colour, mark = look_of(cell.attack)
            bars = error_bars([auc])
            axes.errorbar([auc.value], [place], xerr=bars, marker=mark, color=colour, capsize=3)
        axes.set_yticks(at, [f"{cell.property}, {cell.attack}" for cell, _ in shown])
        axes.set_xlim(0, 1.03)
        axes.set_xlabel("AUC (0.5 = blind guess)")
        return figure
