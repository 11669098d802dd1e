"""The report without a browser: Markdown, LaTeX and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from privaudit.ledger.entries import AUDITS_NOTE, audit_facts, audit_table
from privaudit.ledger.tables import NOTE, client_rows, client_table, rewards_summary
from privaudit.report import appearing, defences, notes, provenance, rebuilt, tables
from privaudit.report.assumptions import assumptions, limits
from privaudit.report.content import Content, training_lines
from privaudit.report.data import column_table, data_rows
from privaudit.report.drawings import Drawing
from privaudit.report.layers import NOTE as LAYERS_NOTE
from privaudit.report.layers import layer_rows, layer_sentences, layer_table
from privaudit.report.next_step import next_of_run
from privaudit.report.notes import power_note
from privaudit.report.published import published_gaps
from privaudit.report.tables import markdown_text, one_line
from privaudit.report.values import value_groups, value_sentences, value_tables
from privaudit.report.verdict import Verdict, basis, comparisons, verdicts


def report_markdown(content: Content, figures: Sequence[Drawing]) -> str:
    """The whole report as Markdown; figures are linked."""
    scenario, cells = content.scenario, content.cells
    parts = [
        f"# {markdown_text(content.title)}",
        "## What leaks",
        _bullets(f"{v.outcome}: {v.text}" for v in verdicts_of(content)),
        "## How sure that is",
        *(markdown_text(line) for line in [*basis(scenario, cells), *power_note(cells)]),
        "## What would change it",
        *(markdown_text(line) for line in comparisons(cells)),
        f"    {one_line(next_of_run(content).command)}",
        markdown_text(f"Next: {next_of_run(content).why}"),
        "## What was assumed",
        _pairs(assumptions(scenario)),
        *_data(content),
        *_accuracy(content),
        *_defences(content),
        *_rebuilt(content),
        *_values(content),
        *_appearing(content),
        "## Figures",
        *(markdown_text(line) for line in training_lines(content.training)),
        *(_figure(drawing) for drawing in figures),
        *_layers(content),
        "## Rewards",
        *_rewards(content),
        *_audits(content),
        *_statistics(content),
        "## What this does not say",
        _bullets(limits(scenario)),
        "## How to make it again",
        f"    {one_line(provenance.command(scenario))}",
        _pairs(provenance.facts(content)),
        "Files beside this one:",
        "\n".join(f"- [{path}]({path}): {what}" for path, what in provenance.files_beside(content)),
    ]
    return "\n\n".join(parts) + "\n"


def table_markdown(content: Content) -> str:
    """The table and the notes below it."""
    parts = [
        f"# {markdown_text(content.title)}",
        *[_table(frame) for frame in content_tables(content)],
        _bullets(content.notes),
    ]
    return "\n\n".join(parts) + "\n"


def table_latex(content: Content) -> str:
    """The table for a LaTeX document that loads booktabs; its notes as comments above it."""
    lines = [content.title, *content.notes]
    comments = [f"% {one_line(line)}" for line in lines]
    made = [tables.as_text(frame, "latex") for frame in content_tables(content)]
    return "\n".join([*comments, *made]) + "\n"


def report_json(content: Content) -> str:
    """Everything the report says, for machines; null for what is not estimable."""
    scenario, cells = content.scenario, content.cells
    document: dict[str, Any] = {
        "format": "privaudit-report",
        "version": 1,
        "title": content.title,
        "verdicts": [
            {
                "property": v.property,
                "outcome": v.outcome,
                "sentence": v.sentence,
                "in_pairs": v.pairs or None,
            }
            for v in verdicts_of(content)
        ],
        "comparisons": comparisons(cells),
        **({"value_groups": groups} if (groups := value_groups(scenario)) else {}),
        "basis": basis(scenario, cells),
        "next": asdict(next_of_run(content)),
        "assumptions": dict(assumptions(scenario)),
        "data": dict(content.data) or None,
        "cells": json.loads(tables.render(cells, "json")),
        **({"rebuilt": rebuilt.long_rows(content.rebuilt)} if content.rebuilt else {}),
        **({"defences": content.defence_lines} if content.defence_lines else {}),
        "published_source": scenario.report.published_source,
        "published_outside": published_gaps(scenario, cells),
        "notes": content.notes,
        "training": list(content.training),
        **({"appearing": appearing.as_rows(content.appearing)} if content.appearing else {}),
        "layers": layer_rows(content.layers),
        "layers_note": LAYERS_NOTE if content.layers else None,
        "rewards": client_rows(content.book, content.colluders) if content.book else None,
        "audit_entries": list(content.audits),
        "statistics": notes.statistics(scenario, cells),
        "limits": limits(scenario),
        "command": provenance.command(scenario),
        "provenance": dict(provenance.facts(content)),
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def verdicts_of(content: Content) -> list[Verdict]:
    """One for each thing that was asked about."""
    return verdicts(content.scenario, content.cells, content.troubles, content.rebuilt)


def content_tables(content: Content) -> list[pd.DataFrame]:
    """The tables that a run is about: of AUCs, and of what was rebuilt."""
    found = [tables.wide_table(content.cells)] if content.cells else []
    return found + ([rebuilt.wide_table(content.rebuilt)] if content.rebuilt else [])


def _accuracy(content: Content) -> list[str]:
    scenario, cells = content.scenario, content.cells
    if not cells:
        return []
    lines = [
        *notes.reading(scenario),
        *notes.cost_notes(cells),
        *notes.published_notes(scenario, cells),
    ]
    return ["## Inference accuracy", tables.render(cells, "markdown"), _bullets(lines)]


def _defences(content: Content) -> list[str]:
    if not content.defence_lines:
        return []
    return [
        "## Defences",
        _table(defences.table(content.cells, content.scored)),
        _bullets(content.defence_lines),
    ]


def _rebuilt(content: Content) -> list[str]:
    found = content.rebuilt
    if not found:
        return []
    parts = [f"## {rebuilt.heading(content.scenario)}"]
    if lines := rebuilt.by_clients(found):
        parts.append(_bullets(lines))
    parts += [_table(rebuilt.wide_table(found))]
    parts.append(_bullets(rebuilt.reading(content.scenario, found)))
    for title, frame in rebuilt.beside_tables(found).items():
        parts += [f"{title[0].upper()}{title[1:]}:", _table(frame)]
    if not content.cells and content.scenario.report.notes:
        parts.append(_bullets(content.scenario.report.notes))
    return parts


def _statistics(content: Content) -> list[str]:
    if not content.cells:
        return []
    lines = _bullets(notes.statistics(content.scenario, content.cells))
    return ["## Statistics", lines, _table(tables.metrics_table(content.cells))]


def _data(content: Content) -> list[str]:
    if not content.data:
        return []
    columns = column_table(content.data)
    return [
        "## The data",
        _pairs(data_rows(content.data)),
        *([_table(columns)] if len(columns) else []),
    ]


def _values(content: Content) -> list[str]:
    """Of each property with several values its cells as a group."""
    parts = [_bullets(found)] if (found := value_sentences(content.scenario, content.cells)) else []
    for name, frame in value_tables(content.scenario, content.cells).items():
        parts += [f"### {markdown_text(name)}, each value against all others", _table(frame)]
    return parts


def _appearing(content: Content) -> list[str]:
    found = content.appearing
    if not found:
        return []
    lines = [*appearing.sentences(content.scenario, found, content.cells), appearing.NOTE]
    return ["## When it appears", _bullets(lines), _table(appearing.table(found))]


def _layers(content: Content) -> list[str]:
    if not content.layers:
        return []
    lines = [*layer_sentences(content.layers, content.troubles), LAYERS_NOTE]
    return ["## Which layer leaks", _table(layer_table(content.layers)), _bullets(lines)]


def _audits(content: Content) -> list[str]:
    if not content.audits:
        return []
    facts = _pairs(audit_facts(content.plan_file, content.plan_sha256, content.audits))
    return ["### Audit entries", facts, _table(audit_table(content.audits)), AUDITS_NOTE]


def _rewards(content: Content) -> list[str]:
    if not content.book:
        return ["No ledger: this run kept none, and nobody was paid."]
    summary = rewards_summary(content.book, content.scenario.ledger.reward)
    clients = client_table(content.book, content.colluders)
    return [markdown_text(summary), _table(clients), markdown_text(NOTE)]


def _table(frame: pd.DataFrame) -> str:
    return tables.as_text(frame, "markdown")


def _figure(drawing: Drawing) -> str:
    text = f"{markdown_text(drawing.title)}. {markdown_text(drawing.description)}"
    return f"![{markdown_text(drawing.title)}](figures/{drawing.name}.svg)\n\n{text}"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {markdown_text(line)}" for line in lines)


def _pairs(rows: Iterable[tuple[str, str]]) -> str:
    return _bullets(f"{what}: {how}" for what, how in rows)
