"""The page: whole, valid, self-contained, and deaf to what names and titles try to say to it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from html_check import Seen, read_page
from report_content import audit_entries, content, layer_scores, record, scenario

from privaudit.evaluation.cells import table_cells
from privaudit.ledger.book import Page, Payment
from privaudit.report.content import Content
from privaudit.report.drawings import drawings
from privaudit.report.layers import layer_cells
from privaudit.report.page import page
from privaudit.scenario.schema import Scenario

HOSTILE = "</title><script>alert(1)</script>\"'&|*_$\\%{}"


def audited(**sections: Any) -> Scenario:
    audit = {"properties": ["bold", "serif"], "fractions": [0.1, 1.0], "attacks": ["a", "b"]}
    return scenario(**({"audit": audit} | sections))


def training() -> list[dict[str, Any]]:
    numbers = {"train_loss": 0.5, "train_accuracy": 0.6, "test_loss": 0.5, "test_accuracy": 0.7}
    return [
        {"run": run, "round": number, "clients": 5, "bytes_up": 2e5, "bytes_down": 3e5} | numbers
        for run in range(3)
        for number in range(4)
    ]


def paid() -> list[Page]:
    payments = tuple(Payment(client, "a" * 64, 200, 1, 1, 0, "") for client in range(5))
    return [Page("training/run-0/round-0", 0, 1, "b" * 64, "c" * 64, 1000, payments)]


def whole() -> Content:
    """Everything a run can have to say."""
    made = audited()
    layers = layer_cells(layer_scores(made))
    return content(
        made, training=training(), book=paid(), layers=layers, audits=audit_entries(made)
    )


def shown(made: Content) -> tuple[str, Seen]:
    text = page(made, drawings(made))
    return text, read_page(text)


def test_the_page_is_valid_and_stands_alone() -> None:
    text, seen = shown(whole())
    assert seen.problems == []
    assert text.startswith("<!doctype html>")
    assert not seen.all("script")
    assert not seen.all("link")
    assert not seen.all("img")
    assert not re.search(r"@import|url\((?!#)", text)
    targets = [a["href"] or "" for a in seen.all("a")]
    assert targets
    assert not [t for t in targets if ":" in t or t.startswith("/")]
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_what_columns_are_called_does_no_harm() -> None:
    made = audited()
    count = {"present": 3, "absent": 4, "unknown": 1}
    held = [{"records": 8, "properties": {HOSTILE: count}}]
    data = {
        "name": "csv",
        "file": f"{HOSTILE}.csv",
        "kind": "table",
        "records": 8,
        "input_shape": [2],
        "columns": [{"name": HOSTILE, "role": "dropped", "inputs": 0, "detail": HOSTILE}],
        "classes": [[HOSTILE, 3], ["b", 5]],
        "groups": None,
        "group_kind": "",
        "properties": {HOSTILE: count | {"left_out": "not asked for"}},
        "test_records": [1, 2],
        "holdings": {"target": held, "adversary": held},
        "notes": [HOSTILE],
    }
    text, seen = shown(content(made, data=data))
    assert seen.problems == []
    assert "<script>" not in text
    assert "Held out to test the model" in text
    assert "1 to 2 records" in text


def test_the_same_content_gives_the_same_bytes() -> None:
    first, second = (shown(whole()) for _ in range(2))
    assert first[0] == second[0]


def test_tables_have_captions_and_heads_with_scope() -> None:
    _, seen = shown(whole())
    assert len(seen.all("table")) == len(seen.all("caption")) == 5
    assert {a.get("scope") for a in seen.all("th")} == {"col", "row"}


def test_figures_are_described() -> None:
    text, seen = shown(content(audited(), training=training()))
    pictures = seen.all("svg")
    assert len(pictures) == 2 * 5, "for a wide page and for a narrow one"
    assert [a["class"] for a in pictures] == ["ink on-wide", "ink on-narrow"] * 5
    assert len(re.findall(r"<svg [^>]*><title id=[^>]*>[^<]+</title><desc id=", text)) == 10
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert {a["role"] for a in pictures} == {"img"}
    assert "<metadata" not in text
    assert "#1a1b1c" not in text  # the figures take the ink of the page


def test_the_verdict_comes_before_everything_else() -> None:
    text, seen = shown(content(audited()))
    heads = re.findall(r"<h2 id=\"(\w+)\"", text)
    links = [(a["href"] or "") for a in seen.all("a") if (a["href"] or "").startswith("#")]
    assert links == ["#change", *(f"#{head}" for head in heads[1:])]
    assert heads == [
        "short",
        "leaks",
        "sure",
        "change",
        "assumed",
        "accuracy",
        "figures",
        "rewards",
        "statistics",
        "limits",
        "words",
        "again",
    ]
    assert re.findall(r"<h2 id=\"(\w+)\"", shown(whole())[0])[6] == "layers"
    assert "bold: leak" in seen.text


def test_words_of_the_page_are_explained_and_no_others() -> None:
    text, seen = shown(content(audited()))
    listed = text[text.index('<h2 id="words"') : text.index('<h2 id="again"')]
    assert "<dt>AUC</dt>" in listed
    assert "<dt>Shadows</dt>" in listed
    assert "ε" not in seen.text
    assert "<dt>Ceiling</dt>" not in listed


def test_hostile_names_and_notes_stay_text() -> None:
    made = audited(
        title=HOSTILE,
        report={"notes": [HOSTILE], "published_source": HOSTILE},
        audit={"properties": ["bold"], "attacks": ["linear"]},
    )
    records = [record(made, run, f"b{HOSTILE}", "all", 1.0, 5, f"a{HOSTILE}") for run in range(3)]
    failed = replace_status(record(made, 0, "bold", "all", 1.0, 5, "linear"), HOSTILE)
    found = Content(made, [*records, failed], table_cells([*records, failed]))
    _, seen = shown(found)
    assert seen.problems == []
    assert not seen.all("script")
    assert seen.text.count("<script>alert(1)</script>") >= 6


def replace_status(made: Any, reason: str) -> Any:
    empty = {"scores": [], "present": []}
    return made.model_copy(update={"status": "failed", "reason": reason} | empty)


def test_no_ledger_is_said() -> None:
    _, seen = shown(content(audited()))
    assert "No ledger: this run kept none, and nobody was paid." in seen.text
    assert "rewards.csv" not in seen.text
    _, seen = shown(content(audited(), book=paid()))
    assert "No ledger" not in seen.text
    assert "the adversary earned 20.0 %" in seen.text
    assert "rewards.csv" in seen.text


def test_audit_entries_stand_on_the_page() -> None:
    made = whole()
    _, seen = shown(made)
    assert f"{made.plan_sha256} (registered before the first round)" in seen.text
    assert f"{'d' * 64} (2 entries)" in seen.text
    assert "0.800 [0.700, 0.900]" in seen.text
    assert "failed" in seen.text
    assert "privaudit ledger RUN" in seen.text
    assert "Audit entries" not in shown(content(audited(), book=paid()))[1].text


def test_which_layer_leaks_has_a_section_of_its_own() -> None:
    text, seen = shown(whole())
    section = text[text.index('<h2 id="layers">') : text.index('<h2 id="figures">')]
    assert "&#39;bold&#39;: told from hidden alone" in section
    assert section.count("<svg") == 2, "for a wide page and for a narrow one"
    assert "by an adversary that learned from its own records" in section
    assert "Which layer leaks" not in shown(content(audited()))[1].text
    assert seen.text.count("90.0 %") == 1


def test_a_run_in_which_everything_failed_has_a_page() -> None:
    made = content(audited())
    records = [replace_status(r, "boom") for r in made.records]
    found = replace(made, records=records, cells=table_cells(records))
    _, seen = shown(found)
    assert seen.problems == []
    assert "Nothing can be said about 'bold': every cell failed (boom)." in seen.text
    assert len(seen.all("svg")) == 2, "the federation, and no figure of numbers"
    assert "Failed: 8 of 8 cells have no result at all." in seen.text


def test_one_run_says_what_its_interval_is_about() -> None:
    _, seen = shown(content(audited(runs=1)))
    assert "One run only" in seen.text
    assert "within one run; says nothing about other runs" in seen.text
    assert seen.problems == []


def test_published_values_stand_in_their_cells_and_gaps_below() -> None:
    text, seen = shown(content(audited(report={"published": {"bold": {"0.1": 0.55}}})))
    assert text.count("<small>published 0.55</small>") == 2  # two attacks
    assert "published 0.55, ours" in seen.text
    inside = content(audited(report={"published_source": "T", "published": {"bold": {"1": 0.85}}}))
    assert "No published value lies outside our interval." in shown(inside)[1].text


def test_many_cells_stay_valid() -> None:
    audit = {
        "properties": [f"property-{n}" for n in range(4)],
        "fractions": [0.01, 0.05, 0.1, 0.2, 0.5, 1.0],
        "participants": [2, 5],
        "attacks": ["a", "b"],
        "rounds": 12,
    }
    made = content(audited(runs=2, audit=audit))
    text, seen = shown(made)
    assert seen.problems == []
    assert len(made.cells) == 96
    assert text.count('class="wide"') >= 3
