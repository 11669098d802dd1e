"""Every kind of page there is, each with wide tables, long names and every section."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ledger_runs import run_command
from live_runs import judge_words, live_run
from measured_folders import dilution_folder, finished_run, sweep_folder
from report_content import audit_entries, content, layer_scores, scenario

from privaudit.custody.folder import RunFolder
from privaudit.ledger.book import Page, Payment
from privaudit.report.drawings import drawings
from privaudit.report.html import table_page
from privaudit.report.layers import layer_cells
from privaudit.report.notes import footnotes
from privaudit.report.page import page
from privaudit.report.tables import wide_table
from privaudit.scenario.load import load_scenario
from privaudit.studies import comparison
from privaudit.studies.canaries import measure_canaries
from privaudit.studies.canaries_report import write_canaries
from privaudit.studies.comparison import read_comparison
from privaudit.studies.dilution_curves import read_dilution
from privaudit.studies.dilution_report import write_dilution
from privaudit.studies.in_short import of_comparison
from privaudit.studies.index import entries, write_index
from privaudit.studies.policies import ASKED, Asked, read_policies
from privaudit.studies.policies_report import write_policies
from privaudit.studies.sweep_report import write_sweep

KINDS = (
    "run",
    "sweep",
    "dilution",
    "policies",
    "canaries",
    "live",
    "compare",
    "table",
    "index",
)
"""Every page there is; its name is also a file's."""
LONG_TITLE = "https://example.org/" + "a-title-without-a-space-" * 8
WIDE: dict[str, Any] = {
    "properties": ["bold", "a-property-with-a-rather-long-name-" + "x" * 60],
    "fractions": [0.01, 0.05, 0.1, 0.2, 0.5, 1.0],
    "attacks": ["linear", "melis-rf"],
}


def every_page(folder: Path) -> dict[str, str]:
    """Kind -> HTML."""
    made = made_up_pages(folder)
    made["canaries"] = canaries_page(folder / "canaries")
    made["live"] = live_page(folder / "live")
    assert set(made) == set(KINDS)
    return {kind: made[kind] for kind in KINDS}


def made_up_pages(folder: Path) -> dict[str, str]:
    """Those of records that nothing was measured for: the same every time."""
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
    written = {kind: written_page(folder / kind) for kind in ("sweep", "dilution")}
    index = write_index(folder, entries(folder)).read_text(encoding="utf-8")
    return {
        "run": page(whole, drawings(whole)),
        **written,
        "policies": policies_page(folder / "policies"),
        "compare": compare_page(folder / "compare"),
        "table": table,
        "index": index,
    }


def policies_page(folder: Path) -> str:
    """Three defences, as a participant sees them; accuracies and ledgers are not there."""
    audit = WIDE | {"fractions": [1.0], "defences": ["none", "secure-aggregation", "weak"]}
    weak = [{"kind": "dp-fedavg", "bound": 0.02, "multiplier": 0.1}]
    made = scenario(title=LONG_TITLE, audit=audit, defences={"weak": weak})
    finished_run(folder / "participant", made)
    RunFolder(folder).write_json(ASKED, asdict(Asked()))
    write_policies(RunFolder(folder), read_policies(folder))
    return written_page(folder)


def canaries_page(folder: Path) -> str:
    """Of a real federation, a small one."""
    settings = [
        "data.records=1500",
        "model.channels=[4, 4]",
        "model.hidden=8",
        "federation.rounds=1",
        "federation.clip_norm=0.2",
        "federation.noise=0.5",
        "federation.protocol=fedsgd",
        "federation.momentum=0",
    ]
    measure_canaries(load_scenario("quickstart", settings), folder, workers=1)
    write_canaries(RunFolder(folder))
    return written_page(folder)


def live_page(folder: Path) -> str:
    """Of three made-up federations."""
    runs = [live_run(folder / str(seed), seed=seed) for seed in (1, 2, 3)]
    words = [*judge_words(*runs), "--attack", "linear", "--attack", "melis-rf"]
    assert run_command(*words, "--out", str(folder / "judged")) == 0
    return written_page(folder / "judged")


def compare_page(folder: Path) -> str:
    """Of two runs with other scores."""
    names = ("before", "after")
    for seed, name in enumerate(names):
        made = scenario(runs=6, audit=WIDE | {"fractions": [1.0]}, seed=seed + 1)
        finished_run(folder / name, made)
    found = read_comparison(folder / names[0], folder / names[1])
    answer = comparison.answer(found)
    return table_page(
        LONG_TITLE,
        [comparison.comparison_table(found)],
        [answer, *comparison.notes(found)],
        caption=comparison.CAPTION,
        verb="compare",
        in_short=of_comparison(found, answer, names),
    )


def written_page(folder: Path) -> str:
    return (folder / "report" / "index.html").read_text(encoding="utf-8")
