"""Every kind of page there is, each with wide tables, long names and every section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from measured_folders import dilution_folder, sweep_folder
from report_content import audit_entries, content, layer_scores, scenario

from privaudit.custody.folder import RunFolder
from privaudit.ledger.book import Page, Payment
from privaudit.report.drawings import drawings
from privaudit.report.html import table_page
from privaudit.report.layers import layer_cells
from privaudit.report.notes import footnotes
from privaudit.report.page import page
from privaudit.report.tables import wide_table
from privaudit.studies.dilution_curves import read_dilution
from privaudit.studies.dilution_report import write_dilution
from privaudit.studies.index import entries, write_index
from privaudit.studies.sweep_report import write_sweep

KINDS = ("run", "sweep", "dilution", "table", "index")
LONG_TITLE = "https://example.org/" + "a-title-without-a-space-" * 8
WIDE: dict[str, Any] = {
    "properties": ["bold", "a-property-with-a-rather-long-name-" + "x" * 60],
    "fractions": [0.01, 0.05, 0.1, 0.2, 0.5, 1.0],
    "attacks": ["linear", "melis-rf"],
}


def every_page(folder: Path) -> dict[str, str]:
    """Kind -> HTML."""
    published = {"published": {"bold": {"1": 0.5}}}
    made = scenario(title=LONG_TITLE, audit=WIDE, report=published)
    payments = tuple(Payment(client, "a" * 64, 2 * 10**8, 1, 1, 0, "") for client in range(5))
    whole = content(
        made,
        book=[Page("training/run-0/round-0", 0, 1, "b" * 64, "c" * 64, 10**9, payments)],
        layers=layer_cells(layer_scores(made)),
        audits=audit_entries(made),
    )
    sweep = sweep_folder(folder / "sweep", title=LONG_TITLE)
    write_sweep(RunFolder(folder / "sweep"), sweep)
    found = read_dilution(dilution_folder(folder / "dilution", title=LONG_TITLE), threshold=0.6)
    write_dilution(RunFolder(folder / "dilution"), found, threshold=0.6)
    table = table_page(
        LONG_TITLE, [wide_table(whole.cells)], footnotes(made, whole.cells), caption="AUC"
    )
    written = {
        kind: (folder / kind / "report" / "index.html").read_text(encoding="utf-8")
        for kind in ("sweep", "dilution")
    }
    index = write_index(folder, entries(folder)).read_text(encoding="utf-8")
    return {"run": page(whole, drawings(whole)), "table": table, "index": index, **written}
