"""The report as Markdown, LaTeX and JSON, and the command that makes a run again."""

from __future__ import annotations

import json
import shlex

import pytest
from report_content import cell, content, scenario

from privaudit.report.content import Content, traffic_summary
from privaudit.report.drawings import drawings
from privaudit.report.plain import report_json, report_markdown, table_latex
from privaudit.report.provenance import command, facts, files_beside
from privaudit.report.tables import markdown_text, render
from privaudit.scenario.load import load_scenario

HOSTILE = "a|b\n# <img src=x> [x](javascript:1) $y_1$ 5 % \\end{table}"


def test_markdown_has_what_the_page_has() -> None:
    made = content(scenario())
    text = report_markdown(made, drawings(made))
    for head in (
        "What leaks",
        "How sure that is",
        "What would change it",
        "What was assumed",
        "Inference accuracy",
        "Figures",
        "Rewards",
    ):
        assert f"\n## {head}\n" in text
    assert "- leak: Of 100 pairs of rounds, one with 'bold' and one without, linear names" in text
    assert "An honest-but-curious participant can tell" in text
    assert "No ledger" in text
    assert "![ROC curves of the attacks](figures/roc.svg)" in text
    assert text == report_markdown(made, drawings(made))


def test_markdown_text_means_nothing_to_markdown() -> None:
    found = markdown_text(HOSTILE)
    assert "\n" not in found
    assert "<" not in found
    assert r"a\|b" in found
    assert r"\](javascript" in found
    assert r"\$y\_1\$" in found
    assert markdown_text("0.98 [0.90, 0.99]") == "0.98 [0.90, 0.99]"


def test_a_hostile_name_breaks_no_table() -> None:
    cells = [cell(HOSTILE), cell("x", None, failures=(HOSTILE,))]
    for name in ("github", "markdown"):
        lines = render(cells, name).splitlines()
        assert len(lines) == 4
        assert {line.replace(r"\|", "").count("|") for line in lines} == {6}
    latex = render(cells, "latex")
    assert r"\end{table}" not in latex
    assert r"5 \%" in latex
    assert len(latex.splitlines()) == 8


def test_latex_notes_are_comments_whatever_they_hold() -> None:
    made = content(scenario(title=HOSTILE, report={"notes": [HOSTILE]}))
    lines = table_latex(made).splitlines()
    start = lines.index(next(line for line in lines if line.startswith(r"\begin{tabular}")))
    assert start > 3
    assert all(line.startswith("% ") for line in lines[:start])
    assert lines[-1] == r"\end{tabular}"
    assert r"\toprule" in "".join(lines)


def test_json_is_for_machines() -> None:
    made = content(scenario())
    document = json.loads(report_json(made))
    assert (document["format"], document["version"]) == ("privaudit-report", 1)
    assert document["verdicts"][0]["outcome"] == "leak"
    assert document["cells"] == json.loads(render(made.cells, "json"))
    assert document["rewards"] is None
    assert document["provenance"]["Git commit"] == "c" * 40


def test_json_of_a_failed_cell_is_null() -> None:
    [row] = json.loads(render([cell(auc=None, failures=("boom",))], "json"))
    assert row["auc"] is row["low"] is row["q_value"] is None
    assert row["failed_runs"] == 1


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["audit.rounds=40", "runs=7"],
        ["federation.cohort=3", "audit.lr=0.02", "title=\"it's $HOME 'x'\""],
        ["data.name=csv", "data.path=my file.csv", "audit.properties=['x', 'y z']"],
        ["report.published.bold={'0.1' = 0.9, '1.0' = 0.95}", "ledger.salted=true"],
        ["attack_options.melis-rf.trees=7"],
    ],
)
def test_the_command_makes_the_same_scenario(overrides: list[str]) -> None:
    made = load_scenario("quickstart", overrides)
    program, verb, name, *rest = shlex.split(command(made))
    assert (program, verb, name) == ("privaudit", "run", "quickstart")
    assert set(rest[::2]) <= {"--set"}
    assert len(rest) <= 2 * len(overrides) + 2
    assert load_scenario(name, rest[1::2]) == made


def test_a_scenario_of_ones_own_is_not_made_up() -> None:
    assert command(scenario()) == "privaudit run RUN/scenario.toml"


def test_provenance_shows_every_version_seen() -> None:
    made = content(scenario())
    other = made.records[0].model_copy(update={"commit": None, "versions": {"python": "3.12.1"}})
    rows = dict(facts(Content(made.scenario, [*made.records, other], made.cells)))
    assert rows["Git commit"] == f"{'c' * 40}, none (not run from a checkout)"
    assert "python 3.11.0 / 3.12.1" in rows["Versions"]
    assert rows["Data set 'made-up', SHA-256"] == "0" * 64


def test_files_beside_are_named_once() -> None:
    names = [path for path, _ in files_beside(content(scenario()))]
    assert len(set(names)) == len(names)
    assert {"index.html", "table.csv", "../records.jsonl"} <= set(names)


def test_traffic_is_that_of_one_run() -> None:
    rows = [{"run": run, "bytes_up": 1.5e6, "bytes_down": 4e4} for run in (0, 1) for _ in range(2)]
    text = traffic_summary(rows)
    assert text is not None
    assert "3.0 MB from the clients to the server, 80.0 kB back" in text
    assert traffic_summary([]) is None
