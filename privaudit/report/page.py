"""The page of a run."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from privaudit.evaluation.cells import TableCell
from privaudit.ledger.entries import AUDITS_NOTE, audit_facts, audit_table
from privaudit.ledger.tables import NOTE, client_table, rewards_summary
from privaudit.report import appearing, defences, notes, provenance, rebuilt, tables
from privaudit.report.assumptions import assumptions, limits
from privaudit.report.content import Content, training_lines
from privaudit.report.data import column_table, data_rows
from privaudit.report.drawings import Drawing, inline
from privaudit.report.html import Row, Rows, frame_rows, render_page
from privaudit.report.in_short import of_run
from privaudit.report.layers import NOTE as LAYERS_NOTE
from privaudit.report.layers import layer_sentences, layer_table
from privaudit.report.next_step import next_of_run
from privaudit.report.parties import picture
from privaudit.report.published import published_gaps
from privaudit.report.values import value_sentences, value_tables
from privaudit.report.verdict import basis, comparisons, verdicts

SECTIONS = (
    ("leaks", "What leaks"),
    ("sure", "How sure that is"),
    ("change", "What would change it"),
    ("assumed", "What was assumed"),
    ("data", "The data"),
    ("accuracy", "Inference accuracy"),
    ("defences", "Defences"),
    ("rebuilt", "Records rebuilt"),
    ("appears", "When it appears"),
    ("layers", "Which layer leaks"),
    ("figures", "Figures"),
    ("rewards", "Rewards"),
    ("statistics", "Statistics"),
    ("limits", "What this does not say"),
    ("words", "Words"),
    ("again", "How to make it again"),
)


def page(content: Content, figures: Sequence[Drawing]) -> str:
    """The report as HTML."""
    scenario, cells, layers = content.scenario, content.cells, content.layers
    parties = picture(scenario)
    found = verdicts(scenario, cells, content.troubles, content.rebuilt)
    step = next_of_run(content)
    absent = {
        "accuracy": not cells,
        "rebuilt": not content.rebuilt,
        "defences": not defences.has_defences(cells),
        "statistics": not cells,
        "layers": not layers,
        "figures": not figures,
        "data": not content.data,
        "appears": not content.appearing,
    }
    return render_page(
        "report.html.j2",
        title=content.title,
        kicker="privaudit report",
        sections=[
            (id_, rebuilt.heading(scenario) if id_ == "rebuilt" else name)
            for id_, name in SECTIONS
            if not absent.get(id_)
        ],
        in_short=of_run(scenario, found, step),
        verdicts=found,
        comparisons=comparisons(cells),
        next_step=step,
        basis=[*basis(scenario, cells), *notes.power_note(cells)],
        assumptions=assumptions(scenario),
        parties=parties,
        parties_drawn=Markup(inline(parties)),
        data=data_rows(content.data),
        columns=frame_rows(column_table(content.data)) if content.data.get("columns") else None,
        table=wide_rows(cells) if cells else None,
        defences=frame_rows(defences.table(cells, content.scored), headers=3)
        if defences.has_defences(cells)
        else None,
        defence_lines=content.defence_lines,
        rebuilt=frame_rows(rebuilt.wide_table(content.rebuilt), headers=len(rebuilt.HEADS))
        if content.rebuilt
        else None,
        rebuilt_heading=rebuilt.heading(scenario),
        rebuilt_caption=rebuilt.caption(content.rebuilt, "share"),
        rebuilt_reading=rebuilt.reading(scenario, content.rebuilt),
        rebuilt_clients=rebuilt.by_clients(content.rebuilt),
        rebuilt_beside={
            title: frame_rows(frame, headers=len(rebuilt.HEADS))
            for title, frame in rebuilt.beside_tables(content.rebuilt).items()
        },
        reading=[*notes.reading(scenario), *notes.cost_notes(cells)],
        value_sentences=value_sentences(scenario, cells),
        value_tables={
            name: frame_rows(frame, headers=4)
            for name, frame in value_tables(scenario, cells).items()
        },
        source=scenario.report.published_source,
        gaps=published_gaps(scenario, cells),
        remarks=scenario.report.notes,
        appearing=frame_rows(appearing.table(content.appearing)) if content.appearing else None,
        appearing_sentences=appearing.sentences(scenario, content.appearing, cells),
        appearing_note=appearing.NOTE,
        layers=frame_rows(layer_table(layers)) if layers else None,
        layer_sentences=layer_sentences(layers, content.troubles),
        layers_note=LAYERS_NOTE,
        figures=[(drawing, Markup(inline(drawing))) for drawing in figures],
        summaries=training_lines(content.training),
        rewards=rewards_summary(content.book, scenario.ledger.reward) if content.book else "",
        rewards_note=NOTE,
        clients=frame_rows(client_table(content.book, content.colluders)) if content.book else None,
        audits=_audits(content),
        audit_facts=audit_facts(content.plan_file, content.plan_sha256, content.audits)
        if content.audits
        else [],
        audits_note=AUDITS_NOTE,
        statistics=notes.statistics(scenario, cells),
        metrics=frame_rows(tables.metrics_table(cells), headers=1) if cells else None,
        command=provenance.command(scenario),
        facts=provenance.facts(content),
        limits=limits(scenario),
        files=provenance.files_beside(content),
    )


def _audits(content: Content) -> Rows | None:
    """Without what all entries have in common."""
    if not content.audits:
        return None
    return frame_rows(
        audit_table(content.audits).drop(columns=["round", "records"], errors="ignore")
    )


def wide_rows(cells: Sequence[TableCell]) -> Rows:
    """The wide table, published values with their cells."""
    fractions = sorted({cell.fraction for cell in cells})
    rows = []
    for head, found in tables.wide_cells(cells):
        row: Row = [(text, "") for text in head]
        for cell in found:
            known = cell is not None and cell.published is not None
            below = f"published {cell.published:.2f}" if cell and known else ""
            row.append((tables.cell_text(cell), below))
        rows.append(row)
    columns = [*tables.HEADS, *(f"{100 * fraction:g} %" for fraction in fractions)]
    return columns, len(tables.HEADS), rows
