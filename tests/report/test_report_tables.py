"""Tables and pages of a report: what is in them, failed cells included, the same bytes twice."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_data import table

from privaudit.custody.folder import RunFolder
from privaudit.custody.plan import make_plan
from privaudit.errors import UserError
from privaudit.evaluation.cells import TableCell, table_cells
from privaudit.evaluation.judge import judge
from privaudit.evaluation.records import Record
from privaudit.report.tables import (
    FORMATS,
    LONG,
    accuracy_note,
    blind_accuracy,
    interval_text,
    long_table,
    metrics_table,
    render,
    wide_table,
)
from privaudit.report.write import read_content, training_summary, write_report
from privaudit.scenario.grid import Cell, cells_of
from privaudit.scenario.load import check_scenario
from privaudit.scenario.schema import Scenario
from privaudit.statistics.runs import Unit
from privaudit.statistics.told import Design

HEADER = "property,shared_fraction,rule,participants,attack,auc,low,high,runs,p_value,published"
REASON = "RuntimeError: <singular> & unusable"
DATA = table(30)


def scenario() -> Scenario:
    return check_scenario(
        {
            "name": "made-up",
            "title": "Leaks & <answers>",
            "runs": 2,
            "audit": {
                "properties": ["age", "smoker"],
                "fractions": [0.1, 1.0],
                "rules": ["largest", "random"],
                "rounds": 12,
                "attacks": ["melis-rf", "linear"],
            },
            "report": {
                "published": {"age": {"0.1": 0.93, "1.0": 0.99}},
                "published_source": "Table 1",
                "notes": ["Made up."],
            },
        },
        where="test",
    )


def records(made: Scenario, *, all_failed: bool = False) -> list[Record]:
    """Every cell of the grid; ``smoker`` at 10 %, rule random, fails in both runs, and one other
    run of ``age`` at 100 %.
    """
    found, plan = [], make_plan(made, DATA)
    for number, cell in enumerate(cells_of(made)):
        broken = all_failed or _is_broken(cell)
        rng = np.random.default_rng(number)
        present = [bool(i % 2) for i in range(12)]
        for attack in made.audit.attacks:
            shift = 2 if cell.property == "age" else 0
            scores = (rng.standard_normal(12) + shift * np.array(present)).tolist()
            found.append(
                judge(
                    plan,
                    cell,
                    attack,
                    checksum=DATA.checksum,
                    scores=None if broken else scores,
                    present=None if broken else present,
                    reason=REASON if broken else "",
                )
            )
    return found


def _is_broken(cell: Cell) -> bool:
    if cell.property == "smoker":
        return cell.rule == "random"
    return cell.fraction == 1.0 and cell.run == 1


@pytest.fixture(scope="module")
def cells() -> list[TableCell]:
    return table_cells(records(scenario()))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A finished run, as far as a report reads it."""
    made, run = scenario(), RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.write_json("scenario.json", made.model_dump(mode="json"))
    run.write_lines("records.jsonl", [r.model_dump(mode="json") for r in records(made)])
    for number in range(made.runs):
        run.write_lines(f"training/run-{number}.jsonl", [_metrics(number, r) for r in range(3)])
    timings = [
        {"stage": "devices", "devices": n, "records": 96, "seconds": n / 10 + k / 100}
        for n in (2, 5)
        for k in range(3)
    ]
    run.write_lines("timings.jsonl", [{"stage": "training", "run": 0, "seconds": 1.0}, *timings])
    return run


def _metrics(run: int, number: int) -> dict[str, Any]:
    return {
        "run": run,
        "round": number,
        "clients": 5,
        "train_loss": 1.5 - number / 2,
        "train_accuracy": 0.3 + number / 5,
        "test_loss": 1.0,
        "test_accuracy": 0.5 + number / 10 + run / 50,
        "rejected": {},
        "bytes_up": 10,
        "bytes_down": 10,
    }


def read_csv(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text))


def test_the_csv_starts_with_the_agreed_columns(cells: list[TableCell]) -> None:
    first = render(cells, "csv").splitlines()[0]
    assert f"{first},".startswith(f"{HEADER},")
    header = first.split(",")
    assert len(set(header)) == len(header)


def test_the_csv_holds_every_cell_unrounded(cells: list[TableCell]) -> None:
    rows = read_csv(render(cells, "csv"))
    # 2 properties x (2 rules at 10 % + one federation at 100 %) x 2 attacks
    assert len(rows) == len(cells) == 12
    for (_, row), cell in zip(rows.iterrows(), cells, strict=True):
        assert (row["property"], row["rule"], row["attack"]) == (
            cell.property,
            cell.rule,
            cell.attack,
        )
        assert (row["shared_fraction"], row["participants"]) == (cell.fraction, 5)
        assert (row["runs"], row["failed_runs"]) == (cell.runs, len(cell.failures))
        if cell.auc is None:
            assert row[["auc", "low", "high", "p_value", "q_value"]].isna().all()
        else:
            assert row["auc"] == pytest.approx(cell.auc.value, rel=1e-12)
            assert row["low"] <= row["auc"] <= row["high"]


def test_published_numbers_stand_beside_ours(cells: list[TableCell]) -> None:
    rows = read_csv(render(cells, "csv"))
    age, other = rows[rows["property"] == "age"], rows[rows["property"] == "smoker"]
    assert dict(zip(age["shared_fraction"], age["published"], strict=True)) == {
        0.1: 0.93,
        1.0: 0.99,
    }
    assert other["published"].isna().all()
    wide = wide_table(cells)
    assert set(wide[wide["property"] == "age"]["published"]) == {"0.93 / 0.99"}
    assert set(wide[wide["property"] == "smoker"]["published"]) == {"– / –"}


def test_without_published_numbers_there_is_no_such_column(cells: list[TableCell]) -> None:
    assert "published" not in wide_table([c for c in cells if c.property == "smoker"])


def test_the_wide_table_has_the_fractions_side_by_side(cells: list[TableCell]) -> None:
    wide = wide_table(cells)
    assert list(wide.columns[:6]) == ["property", "attack", "K", "rule", "10 %", "100 %"]
    assert len(wide) == 8  # property x rule x attack
    full = wide[(wide["property"] == "smoker") & (wide["attack"] == "linear")]["100 %"]
    assert full.nunique() == 1  # every rule shares everything there


def test_accuracy_stands_beside_the_auc_where_asked_for(cells: list[TableCell]) -> None:
    wide, plain = wide_table(cells, accuracy=True), wide_table(cells)
    assert list(wide)[: len(plain.columns) - 1] == list(plain)[:-1]  # published comes last
    cell = next(cell for cell in cells if cell.property == "age" and cell.fraction == 1.0)
    found = wide.set_index(["property", "attack"]).loc[("age", cell.attack), "accuracy, 100 %"]
    assert set(np.atleast_1d(found)) == {interval_text(cell.metrics["accuracy"])}
    assert blind_accuracy(cell) == 0.5
    assert "the same of all rounds has 0.50." in accuracy_note(cells)
    uneven = replace(cell, design=Design(Unit.ROUND, (3, 5), (9, 5)))
    assert blind_accuracy(uneven) == pytest.approx((0.75 + 0.5) / 2)


def test_a_failed_cell_is_shown_with_its_reason(cells: list[TableCell]) -> None:
    wide = wide_table(cells).set_index(["property", "rule", "attack"])
    assert wide.loc[("smoker", "random", "linear"), "10 %"] == f"failed: {REASON}"
    assert "failed" not in wide.loc[("smoker", "largest", "linear"), "10 %"]
    assert wide.loc[("age", "largest", "linear"), "100 %"].endswith("(1 failed)")
    shown = metrics_table([c for c in cells if c.auc is None])
    assert set(shown["accuracy"]) == {"not estimable"}
    assert set(shown["p"]) == set(shown["q"]) == {"–"}


def test_what_few_rounds_cannot_tell_is_not_estimable(cells: list[TableCell]) -> None:
    good = metrics_table([c for c in cells if c.auc is not None])
    assert set(good["TPR at 1 % FPR"]) == {"not estimable"}  # six negatives a run
    assert "not estimable" not in set(good["accuracy"])


def test_stars_mark_what_survives_the_correction(cells: list[TableCell]) -> None:
    wide = wide_table(cells).set_index(["property", "rule", "attack"])
    by_key = {(c.property, c.rule, c.attack, c.fraction): c for c in cells}
    seen = set()
    for (name, rule, attack), row in wide.iterrows():
        cell = by_key[(name, rule, attack, 0.1)]
        if cell.auc is not None:
            assert ("*" in row["10 %"]) == ((cell.q_value or 0.0) < 0.05)
            assert row["10 %"].startswith(interval_text(cell.auc))
            seen.add("*" in row["10 %"])
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("table_format", "signs"),
    [
        ("github", ["| property", "|----"]),
        ("latex", [r"\begin{tabular}", r"\toprule", r"\%", r"\end{tabular}"]),
        ("html", ["<table>", "<th>property", "&lt;singular&gt; &amp; unusable", "</table>"]),
        ("markdown", ["| property", "&lt;singular&gt; &amp; unusable"]),
        ("csv", ["property,shared_fraction"]),
        ("json", ['"property":"age"', '"auc":null']),
    ],
)
def test_every_format_renders(table_format: str, signs: list[str], cells: list[TableCell]) -> None:
    text = render(cells, table_format)
    assert all(sign in text for sign in signs)
    assert text.count("melis-rf") == (6 if table_format in LONG else 4)
    assert "<singular>" not in text or table_format not in ("html", "markdown")
    assert text == render(cells, table_format)


def test_formats_are_those_of_the_help() -> None:
    assert {*FORMATS, *LONG} == {"github", "markdown", "csv", "json", "latex", "html"}


def test_another_format_is_refused_with_the_nearest(cells: list[TableCell]) -> None:
    with pytest.raises(UserError, match="unknown table format 'gitub'; did you mean 'github'"):
        render(cells, "gitub")


def test_a_run_in_which_everything_failed_still_has_a_table() -> None:
    cells = table_cells(records(scenario(), all_failed=True))
    assert len(read_csv(render(cells, "csv"))) == 12
    assert render(cells, "github").count(f"failed: {REASON}") == 16
    assert long_table(cells)["auc"].isna().all()


def files(folder: RunFolder) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder.path)): p.read_bytes()
        for p in sorted(folder.path.rglob("*"))
        if p.is_file()
    }


def test_the_report_is_whole_and_the_same_bytes_twice(folder: RunFolder) -> None:
    write_report(folder)
    first = files(folder)
    assert {name for name in first if name.startswith("report/")} == {
        "report/index.html",
        "report/report.md",
        "report/report.json",
        "report/table.md",
        "report/table.csv",
        "report/table.tex",
        "report/figures/accuracy_by_round.svg",
        "report/figures/auc_by_fraction.svg",
        "report/figures/roc.svg",
        "report/figures/seconds_by_devices.svg",
    }
    for file in folder.file("report").rglob("*"):
        if file.is_file():
            file.unlink()
    write_report(folder)
    assert files(folder) == first


def test_the_page_needs_nothing_else_and_escapes_what_others_wrote(folder: RunFolder) -> None:
    write_report(folder)
    page = folder.file("report", "index.html").read_text(encoding="utf-8")
    assert "<title>Leaks &amp; &lt;answers&gt;</title>" in page
    assert "<answers>" not in page
    assert "<singular>" not in page
    assert page.count("<svg") == 10
    assert "<script" not in page
    assert 'src="' not in page
    assert "failed: RuntimeError" in page
    assert "Made up." in page
    assert "Published: Table 1." in page


def test_the_markdown_names_failed_cells_and_shows_every_figure(folder: RunFolder) -> None:
    write_report(folder)
    text = folder.file("report", "report.md").read_text(encoding="utf-8")
    assert "failed: RuntimeError: &lt;singular&gt; &amp; unusable" in text
    for line in text.splitlines():
        if line.startswith("!["):
            assert folder.file("report", line.partition("(")[2].rstrip(")")).is_file()
    assert text.count("![") == 4


def test_the_training_is_summed_up_by_its_last_round(folder: RunFolder) -> None:
    summary = training_summary(read_content(folder).training)
    assert summary is not None
    assert "5 clients a round; rounds: 3; runs: 2; test accuracy 0.710" in summary
    assert "(range over runs 0.700 to 0.720), mean client loss 0.50." in summary
    assert training_summary([]) is None


def test_an_unfinished_run_has_no_report(folder: RunFolder) -> None:
    folder.file("records.jsonl").unlink()
    before = files(folder)
    with pytest.raises(UserError, match="the run may not be finished"):
        write_report(folder)
    assert files(folder) == before


def test_a_damaged_record_is_named(folder: RunFolder) -> None:
    file = folder.file("records.jsonl")
    file.write_text(file.read_text().replace('"status": "ok"', '"status": "good"', 1))
    with pytest.raises(UserError, match=r"records\.jsonl: line 1 is not a record: status"):
        write_report(folder)
