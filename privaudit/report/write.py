"""Write ``report/`` from the records: table.md, table.csv, figures and index.html."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from privaudit.evaluation.cells import TableCell, table_cells
from privaudit.evaluation.records import Record, parse_records
from privaudit.experiment.folder import RunFolder
from privaudit.experiment.training import training_rows
from privaudit.ledger.book import Page, read_book
from privaudit.ledger.tables import NOTE as REWARDS_NOTE
from privaudit.ledger.tables import client_table, payments_csv, rewards_summary
from privaudit.report import figures, tables
from privaudit.scenario.schema import Scenario

ALTERNATIVES = {
    "accuracy_by_round": "Training and test accuracy after each federated round",
    "auc_by_fraction": "AUC of each attack by the percentage of parameters shared",
    "seconds_by_devices": "Seconds of one training round by number of devices",
}


@dataclass(frozen=True)
class Content:
    """Everything a report says, before it takes a form."""

    scenario: Scenario
    records: Sequence[Record]
    cells: Sequence[TableCell]
    training: Sequence[dict[str, Any]]
    figures: dict[str, str]
    book: Sequence[Page] = ()


def read_content(folder: RunFolder) -> Content:
    """What a finished run has to say.

    Raises:
        UserError: the run has no records yet, or they cannot be read.
    """
    scenario = folder.scenario()
    where = str(folder.file("records.jsonl"))
    records = parse_records(folder.read_lines("records.jsonl"), where=where)
    cells = table_cells(records)
    training = training_rows(folder, scenario.runs)
    drawn = {
        "accuracy_by_round": figures.accuracy_by_round(training),
        "auc_by_fraction": figures.auc_by_fraction(cells),
        "seconds_by_devices": figures.seconds_by_devices(folder.read_lines("timings.jsonl")),
    }
    shown = {name: svg for name, svg in drawn.items() if svg}
    return Content(scenario, records, cells, training, shown, read_book(folder))


def write_report(folder: RunFolder) -> None:
    """Write all forms of the report; the same records give the same bytes."""
    content = read_content(folder)
    for name, svg in content.figures.items():
        folder.write_text(f"report/figures/{name}.svg", svg)
    folder.write_text("report/table.csv", tables.render(content.cells, "csv"))
    folder.write_text("report/table.md", _markdown(content))
    folder.write_text("report/index.html", _page(content))
    if content.book:
        folder.write_text("report/rewards.csv", payments_csv(content.book))


def footnotes(scenario: Scenario, cells: Sequence[TableCell]) -> list[str]:
    """What a reader must know to read the table."""
    audit = scenario.audit
    detectable = [cell.detectable for cell in cells if cell.detectable is not None]
    notes = [
        f"AUC of telling {_what_is_told(audit.schedule)}, with its 95 % interval over federation "
        "runs; a blind guess has 0.50. "
        f"Runs: {scenario.runs}, of {audit.rounds} audited rounds each.",
        "* = above chance at a false discovery rate of 5 % over the table (permutation test, "
        "Benjamini-Hochberg).",
        f"Threat model: {audit.threat_model}. K participants include the adversary and the target; "
        f"protocol of the audited rounds: {audit.protocol}; other honest clients: "
        + (
            "hold no record with the property in these rounds."
            if audit.others == "without"
            else "hold the property at its natural rate."
        ),
        _auxiliary_regime(scenario),
    ]
    if detectable:
        notes.append(
            "Smallest AUC these n would have told from 0.50 in a single cell (80 % power, "
            f"one-sided 5 %): {max(detectable):.2f}."
        )
    if scenario.report.published_source:
        notes.append(f"published: {scenario.report.published_source}.")
    return notes + list(scenario.report.notes)


def _auxiliary_regime(scenario: Scenario) -> str:
    """What the adversary's auxiliary data share with the target: part of every result."""
    by_group = scenario.federation.partition == "by-group"
    disjoint = "groups (nobody else holds records of the same group)" if by_group else "records"
    text = f"Auxiliary data of the adversary: disjoint {disjoint}"
    overlap = scenario.audit.auxiliary_overlap
    return (
        f"{text}, plus {100 * overlap:g} % of the target's own records." if overlap else f"{text}."
    )


def _what_is_told(schedule: str) -> str:
    if schedule == "single-batch":
        return "rounds in which the target's records have the property from the other rounds"
    return "rounds of runs in which the target's records have the property from rounds of controls"


def training_summary(training: Sequence[dict[str, Any]]) -> str | None:
    """One sentence on the federated training, or None when there was none."""
    if not training:
        return None
    last = max(row["round"] for row in training)
    final = [row for row in training if row["round"] == last]
    accuracy = [row["test_accuracy"] for row in final]
    losses = [row["train_loss"] for row in final]
    loss = "diverged" if None in losses else f"{sum(losses) / len(losses):.2f}"
    return (
        f"Training: {final[0]['clients']} clients a round; rounds: {last + 1}; runs: {len(final)}; "
        f"test accuracy {sum(accuracy) / len(accuracy):.3f} "
        f"(range over runs {min(accuracy):.3f} to {max(accuracy):.3f}), "
        f"mean client loss {loss}."
    )


def _markdown(content: Content) -> str:
    lines = [f"# {content.scenario.title or content.scenario.name}", ""]
    summary = training_summary(content.training)
    if summary:
        lines += [summary, ""]
    lines += ["## Inference accuracy", "", tables.render(content.cells, "github"), ""]
    lines += [f"- {note}" for note in footnotes(content.scenario, content.cells)]
    lines += ["", "## Other metrics", ""]
    lines += [tables.as_text(tables.metrics_table(content.cells)), ""]
    if content.book:
        lines += [
            "## Rewards",
            "",
            rewards_summary(content.book, content.scenario.ledger.reward),
            "",
        ]
        lines += [tables.as_text(client_table(content.book)), "", REWARDS_NOTE, ""]
    for name in content.figures:
        lines += [f"![{ALTERNATIVES[name]}](figures/{name}.svg)", ""]
    return "\n".join(lines)


STYLE_SHEET = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #8886; }
th, td { text-align: left; white-space: nowrap; }
.wide { overflow-x: auto; }
figure { margin: 1.5rem 0; } figure svg { max-width: 100%; height: auto; background: white; }
"""


def _page(content: Content) -> str:
    title = escape(content.scenario.title or content.scenario.name)
    summary = training_summary(content.training)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title><style>{STYLE_SHEET}</style></head><body><main>",
        f"<h1>{title}</h1>",
        f"<p>{escape(summary)}</p>" if summary else "",
        "<h2>Inference accuracy</h2>",
        f'<div class="wide" tabindex="0">{tables.render(content.cells, "html")}</div>',
        "<ul>",
        *(f"<li>{escape(n)}</li>" for n in footnotes(content.scenario, content.cells)),
        "</ul>",
        *(_figure(name, svg) for name, svg in content.figures.items()),
        "<h2>Other metrics</h2>",
        '<div class="wide" tabindex="0">'
        f"{tables.as_text(tables.metrics_table(content.cells), 'html')}</div>",
        _rewards(content),
        "</main></body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _rewards(content: Content) -> str:
    if not content.book:
        return ""
    summary = rewards_summary(content.book, content.scenario.ledger.reward)
    return (
        f"<h2>Rewards</h2><p>{escape(summary)}</p>"
        '<div class="wide" tabindex="0">'
        f"{tables.as_text(client_table(content.book), 'html')}</div><p>{escape(REWARDS_NOTE)}</p>"
    )


def _figure(name: str, svg: str) -> str:
    inline = svg[svg.index("<svg") :]
    label = escape(ALTERNATIVES[name])
    return (
        f'<figure role="img" aria-label="{label}">{inline}<figcaption>{label}</figcaption></figure>'
    )
