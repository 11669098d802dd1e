"""What a forger may do to a finished run, and which checks of ``verify`` must name it.

The forger knows the code. Where it says so, manifest and seal are made again, or even the whole
ledger: the keys of an embedded chain follow from the seed.
"""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from privaudit.chain.accounts import Accounts
from privaudit.chain.errors import Reverted
from privaudit.chain.opening import open_ledger
from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import read_seal, write_manifest, write_seal
from privaudit.custody.plan import PLAN, read_plan
from privaudit.evaluation.judge import judge
from privaudit.evaluation.records import parse_records
from privaudit.ledger.place import Place
from privaudit.ledger.recording import keep_ledger
from privaudit.report.write import write_report
from privaudit.scenario.grid import cells_of

RECORDS = "records.jsonl"
BOLD, ITALIC = "run-0/bold_all_1_k5", "run-0/italic_all_1_k5"
PAGE = "report/index.html"


@dataclass(frozen=True)
class Stage:
    """Where a forger works: a copy of the run, another finished run, and a node if there is one."""

    folder: RunFolder
    other: Path
    rpc: str | None = None
    accounts: Accounts | None = None


Step = Callable[[Stage], None]


@dataclass(frozen=True)
class Forgery:
    """One forgery.

    Attributes:
        name: short.
        run: the kind of run it is done to.
        done: what is done, in words.
        named_by: exactly the checks that fail; none where only a head kept elsewhere can tell.
        said: part of what is printed.
        steps: what does it, in order.
    """

    name: str
    run: str
    done: str
    named_by: tuple[str, ...]
    said: str
    steps: tuple[Step, ...]


# ------------------------------------------------------------------ how far the forger goes


def seal_again(stage: Stage) -> None:
    """Manifest and seal are made again; the ledger's facts stay."""
    _, facts = read_seal(stage.folder)
    write_manifest(stage.folder)
    write_seal(stage.folder, facts)


def report_again(stage: Stage) -> None:
    """The report is made again."""
    shutil.rmtree(stage.folder.file("report"))
    write_report(stage.folder)


def ledger_again(stage: Stage) -> None:
    """Everything that follows is made again: a new ledger with the same keys, report, seal."""
    folder, scenario = stage.folder, stage.folder.scenario()
    shutil.rmtree(folder.file("ledger"))
    with keep_ledger(folder, scenario, Place(), None) as ledger:
        ledger.trained()
        ledger.attacked()
        ledger.judged()
        report_again(stage)
        write_manifest(folder)
        ledger.reported()
    write_seal(folder, ledger.facts)


def ledger_again_but_the_page(stage: Stage) -> None:
    """A new ledger over a report that stays as it was forged."""
    folder = stage.folder
    page = folder.file(PAGE).read_text()
    shutil.rmtree(folder.file("ledger"))
    with keep_ledger(folder, folder.scenario(), Place(), None) as ledger:
        ledger.trained()
        ledger.attacked()
        ledger.judged()
        report_again(stage)
        folder.write_text(PAGE, page)
        write_manifest(folder)
        ledger.reported()
    write_seal(folder, ledger.facts)


def no_ledger(stage: Stage) -> None:
    """The ledger is thrown away; manifest and seal are those of a run without one."""
    shutil.rmtree(stage.folder.file("ledger"))
    write_manifest(stage.folder)
    write_seal(stage.folder, {"kind": "none"})


# ------------------------------------------------------------------ results


def edit_lines(name: str, change: Callable[[list[dict[str, Any]]], Any]) -> Step:
    def edit(stage: Stage) -> None:
        rows = stage.folder.read_lines(name)
        change(rows)
        stage.folder.write_lines(name, rows)

    return edit


def edit_json(name: str, change: Callable[[Any], Any]) -> Step:
    def edit(stage: Stage) -> None:
        content = stage.folder.read_json(name)
        stage.folder.write_json(name, change(content))

    return edit


def edit_text(name: str, before: str, after: str) -> Step:
    def edit(stage: Stage) -> None:
        text = stage.folder.file(name).read_text()
        assert before in text
        stage.folder.write_text(name, text.replace(before, after))

    return edit


def perfect_scores(stage: Stage) -> None:
    """Every score becomes the truth, in scores and records; the metrics stay."""
    for file in stage.folder.file("scores").rglob("*.json"):
        name = file.relative_to(stage.folder.path).as_posix()
        truth = stage.folder.read_json(name.replace("scores/", "truth/"))
        perfect = [1.0 if present else -1.0 for present in truth]
        stage.folder.write_json(name, dict.fromkeys(stage.folder.read_json(name), perfect))

    def repeat(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["scores"] = [1.0 if present else -1.0 for present in row["present"]]

    edit_lines(RECORDS, repeat)(stage)


def judge_again(stage: Stage) -> None:
    """Records, metrics included, are made from the scores and truth files that lie there."""
    folder = stage.folder
    plan, scenario = read_plan(folder), folder.scenario()
    before = parse_records(folder.read_lines(RECORDS), where=RECORDS)
    held = {(r.run, r.property, r.participants): r.held() for r in before}
    checksum = before[0].dataset["checksum"]
    rows = []
    for cell in cells_of(scenario):
        place = f"run-{cell.run}/{cell.name}.json"
        scored = folder.file("scores", place).is_file()
        for attack in scenario.audit.attacks:
            scores = folder.read_json(f"scores/{place}")[attack] if scored else None
            present = folder.read_json(f"truth/{place}") if scored else None
            made = judge(
                plan,
                cell,
                attack,
                checksum=checksum,
                scores=scores,
                present=present,
                reason="" if scored else "RuntimeError: no luck",
                holdings=held[cell.run, cell.property, cell.participants],
            )
            rows.append(made.model_dump(mode="json"))
    parse_records(rows, where=RECORDS)
    folder.write_lines(RECORDS, rows)


def swap_properties(stage: Stage) -> None:
    """The scores of two properties change places."""
    one, two = (stage.folder.file(f"scores/{cell}.json") for cell in (BOLD, ITALIC))
    first, second = one.read_bytes(), two.read_bytes()
    assert first != second
    one.write_bytes(second)
    two.write_bytes(first)


def turn_truth(stage: Stage) -> None:
    """Truth and scores are turned round together, so that every metric stays."""
    edit_json(f"truth/{BOLD}.json", lambda truth: [not present for present in truth])(stage)
    turn = edit_json(
        f"scores/{BOLD}.json", lambda s: {name: [-x for x in row] for name, row in s.items()}
    )
    turn(stage)

    def layers(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row["property"] == "bold":
                row["present"] = [not present for present in row["present"]]

    edit_lines("layers.jsonl", layers)(stage)


def another_layer(rows: list[dict[str, Any]]) -> None:
    rows[0]["layer"] = "nowhere"


def layer_twice(rows: list[dict[str, Any]]) -> None:
    """Once more, with the truth for scores."""
    rows.append(rows[0] | {"scores": [1.0 if p else -1.0 for p in rows[0]["present"]]})


def of_another(ending: dict[str, Any]) -> dict[str, Any]:
    return ending | {"property": "italic", "test_loss": 1e9}


def key_twice(stage: Stage) -> None:
    """Who reads the first of the two sees another number than who reads the last."""
    text = stage.folder.file(RECORDS).read_text()
    stage.folder.write_text(RECORDS, text.replace("{", '{"metrics": {}, ', 1))


def certified(rows: list[dict[str, Any]]) -> None:
    rows[0]["facts"] = {"certified_private": 1.0}


def better_metric(rows: list[dict[str, Any]]) -> None:
    metric = rows[0]["metrics"]["auc"]
    metric["value"] = metric["high"] = 1.0


def larger_pools(rows: list[dict[str, Any]]) -> None:
    """The target held ten times as many records: chance alone would move the audit less."""
    for row in rows:
        row["holdings"] |= {name: 10 * row["holdings"][name] for name in ("present", "absent")}


def another_sheet(sheet: dict[str, Any]) -> dict[str, Any]:
    return sheet | {"records": 10 * sheet["records"]}


def fail_a_cell(stage: Stage) -> None:
    """A cell that had scores is said to have failed."""
    stage.folder.file(f"scores/{BOLD}.json").unlink()
    stage.folder.file(f"truth/{BOLD}.json").unlink()

    def layers(rows: list[dict[str, Any]]) -> None:
        rows[:] = [row for row in rows if row["property"] != "bold"]

    edit_lines("layers.jsonl", layers)(stage)


# ------------------------------------------------------------------ plan, code, data


def say_no_ledger(stage: Stage) -> None:
    """Scenario and plan say that the run never had a ledger, and all traces of one are gone."""
    folder = stage.folder
    off = edit_json("scenario.json", lambda s: s | {"ledger": s["ledger"] | {"enabled": False}})
    off(stage)
    scenario = folder.read_json("scenario.json")
    edit_json(PLAN, lambda plan: plan | {"ledger": "none", "scenario": scenario})(stage)
    edit_text("scenario.toml", "enabled = true", "enabled = false")(stage)
    shutil.rmtree(folder.file("evidence"))
    shutil.rmtree(folder.file("ledger"))
    judge_again(stage)
    report_again(stage)
    write_manifest(folder)
    write_seal(folder, {"kind": "none"})


def other_scenario(stage: Stage) -> None:
    """Another title in the scenario, the plan and all records."""
    title = "What we meant all along"
    edit_json("scenario.json", lambda scenario: scenario | {"title": title})(stage)
    scenario = stage.folder.read_json("scenario.json")
    before = stage.folder.read_json(PLAN)["scenario"]["title"]
    edit_json(PLAN, lambda plan: plan | {"scenario": scenario})(stage)
    edit_text("scenario.toml", before, title)(stage)
    judge_again(stage)
    report_again(stage)


def register_plan_again(stage: Stage) -> None:
    """The changed plan is registered, with the auditor's key; no results can be, they are older."""
    folder, scenario = stage.folder, stage.folder.scenario()
    with keep_ledger(folder, scenario, Place(), None) as ledger:
        with pytest.raises(Reverted, match="plan not older than the round"):
            ledger.judged()
        report_again(stage)
        write_manifest(folder)
        client = ledger._client
        client.finish()
        state = {
            "audit_head": client.audit_head().hex(),
            "state_root": client.chain.state_root().hex(),
        }
    write_seal(folder, read_seal(folder)[1] | state)


def other_code(stage: Stage) -> None:
    """One cell's records name another version of the attack, as if it had changed in between."""

    def change(rows: list[dict[str, Any]]) -> None:
        rows[-1]["attack_source"] |= {"digest": "0" * 64}

    edit_lines(RECORDS, change)(stage)


def other_model_code(stage: Stage) -> None:
    edit_json(PLAN, lambda plan: plan | {"model": plan["model"] | {"digest": "0" * 64}})(stage)


def other_data(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["dataset"] |= {"checksum": "0" * 64}


def not_dirty(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["dirty"] = not row["dirty"]


# ------------------------------------------------------------------ evidence, traces, models


def other_delta(rows: list[dict[str, Any]]) -> None:
    rows[1]["cohort"][0]["sha256"] = "00" * 32


def other_model(stage: Stage) -> None:
    file = stage.folder.file("training/run-0.safetensors")
    save_file({"parameters": load_file(file)["parameters"] * 1.01}, file)


def quieter_rules(stage: Stage) -> None:
    """The trace says that clients clipped and added noise."""

    def change(manifest: dict[str, Any]) -> dict[str, Any]:
        return manifest | {"rules": manifest["rules"] | {"clip_norm": 0.1, "noise": 1.0}}

    edit_json(f"traces/{BOLD}/manifest.json", change)(stage)


def trace_of_another_run(stage: Stage) -> None:
    place = stage.folder.file("traces", BOLD)
    shutil.rmtree(place)
    shutil.copytree(stage.other / "traces" / BOLD, place)


# ------------------------------------------------------------------ rewards


def more_for_a_friend(rows: list[dict[str, Any]]) -> None:
    rows[0]["payments"][2]["amount"], rows[0]["payments"][3]["amount"] = "400000", "0"


def other_account(setup: dict[str, Any]) -> dict[str, Any]:
    setup["clients"][3] = setup["clients"][4]
    return setup


# ------------------------------------------------------------------ additions


def plant_trigger(stage: Stage) -> None:
    """Nothing that is read changes; who goes on with the journal is not told what it does."""
    with sqlite3.connect(stage.folder.file("ledger/journal.sqlite")) as db:
        db.execute("CREATE TRIGGER planted AFTER INSERT ON pins BEGIN DELETE FROM receipts; END")
    db.close()


def plant_wal(stage: Stage) -> None:
    """A write-ahead log beside the journal: SQLite would read it as if it were in the file."""
    journal = stage.folder.file("ledger/journal.sqlite")
    scratch = stage.folder.path.with_name("scratch.sqlite")
    shutil.copy(journal, scratch)
    database = sqlite3.connect(scratch)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("UPDATE receipts SET gas_used = gas_used + 1")
    database.commit()
    for ending in ("-wal", "-shm"):
        shutil.copy(f"{scratch}{ending}", f"{journal}{ending}")
    database.close()


def symbolic_page(stage: Stage) -> None:
    page, elsewhere = stage.folder.file(PAGE), stage.folder.path.with_name("elsewhere.html")
    page.rename(elsewhere)
    page.symlink_to(elsewhere)


def linked_page(stage: Stage) -> None:
    os.link(stage.folder.file(PAGE), stage.folder.path.with_name("elsewhere.html"))


def add_socket(stage: Stage) -> None:
    here = Path.cwd()
    os.chdir(stage.folder.path)  # the path of a socket has at most 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("socket")
    finally:
        os.chdir(here)


def add(name: str, text: str = "x") -> Step:
    return lambda stage: stage.folder.write_text(name, text) and None


def remove(name: str) -> Step:
    return lambda stage: stage.folder.file(name).unlink()


def change_seal(**facts: str) -> Step:
    return lambda stage: write_seal(stage.folder, read_seal(stage.folder)[1] | facts)


# ------------------------------------------------------------------ on a node


def record_on_node(stage: Stage) -> None:
    """A copy from before results were recorded records others, under the same plan."""
    folder, scenario = stage.folder, stage.folder.scenario()
    with sqlite3.connect(folder.file("ledger/journal.sqlite")) as journal:
        chosen = "(SELECT id FROM intents WHERE key LIKE 'audit/%')"
        for table, column in (
            ("receipts", "intent"),
            ("transactions", "intent"),
            ("intents", "id"),
        ):
            journal.execute(f"DELETE FROM {table} WHERE {column} IN {chosen}")
    journal.close()
    place = Place(stage.rpc)
    with keep_ledger(folder, scenario, place, stage.accounts) as ledger:
        ledger.judged()
        report_again(stage)
        write_manifest(folder)
        ledger.reported()
    write_seal(folder, ledger.facts)


def record_beside(stage: Stage) -> None:
    """Somebody else's copy did that; the honest folder stays as it is."""
    copy = RunFolder(Path(shutil.copytree(stage.folder.path, stage.folder.path.with_name("twin"))))
    twin = Stage(copy, stage.other, stage.rpc, stage.accounts)
    for step in (perfect_scores, judge_again, record_on_node):
        step(twin)


def supersede(stage: Stage) -> None:
    """The auditor's key declares an entry of the run superseded; the journal is put back."""
    kept = stage.folder.path.with_name("kept")
    shutil.copytree(stage.folder.path, kept)
    with open_ledger(kept / "ledger", rpc=stage.rpc, accounts=stage.accounts) as client:
        client.supersede_audit(0, 1)


def other_receipt(stage: Stage) -> None:
    with sqlite3.connect(stage.folder.file("ledger/journal.sqlite")) as journal:
        journal.execute("UPDATE receipts SET gas_used = gas_used + 1 WHERE intent = 5")
    journal.close()


E, W, N = "embedded", "without a ledger", "on a node"
AGAIN = (judge_again, report_again, seal_again)
FORGERIES = (
    # results
    Forgery(
        "ledger deleted",
        E,
        "ledger deleted, every score the truth, sealed as a run without",
        ("inputs", "records", "report", "rewards", "journal"),
        "the plan says 'embedded'",
        (perfect_scores, no_ledger),
    ),
    Forgery(
        "never had a ledger",
        E,
        "the same, and scenario, plan, records and report say so, too",
        (),
        "made without a ledger",
        (perfect_scores, say_no_ledger),
    ),
    Forgery(
        "scores edited",
        E,
        "scores and records edited, sealed again",
        ("records", "report", "results"),
        "metrics",
        (perfect_scores, seal_again),
    ),
    Forgery(
        "scores and metrics edited",
        E,
        "metrics and report made again from the forged scores",
        ("results",),
        "records.jsonl: its hash is not on the ledger",
        (perfect_scores, *AGAIN),
    ),
    Forgery(
        "everything made again",
        E,
        "the same, and the whole ledger, with its own keys",
        (),
        "write the whole ledger again",
        (perfect_scores, judge_again, ledger_again),
    ),
    Forgery(
        "properties swapped",
        E,
        "the score files of two properties change places, sealed again",
        ("records", "results"),
        "scores",
        (swap_properties, seal_again),
    ),
    Forgery(
        "properties swapped everywhere",
        E,
        "and records, metrics and report follow",
        ("results",),
        "not on the ledger",
        (swap_properties, *AGAIN),
    ),
    Forgery(
        "metrics edited",
        E,
        "an AUC in the records, sealed again",
        ("records", "results"),
        "metrics",
        (edit_lines(RECORDS, better_metric), seal_again),
    ),
    Forgery(
        "metrics edited, ledger made again",
        E,
        "the same, report and ledger made again",
        ("records",),
        "metrics",
        (edit_lines(RECORDS, better_metric), ledger_again),
    ),
    Forgery(
        "truth turned",
        E,
        "truth and scores turned round together, all made again",
        ("truth", "records", "layers"),
        "not the ground truth",
        (turn_truth, judge_again, ledger_again),
    ),
    Forgery(
        "records cut",
        E,
        "the last record removed after it was on the ledger, sealed again",
        ("records", "report", "results"),
        "lines, the scenario gives",
        (edit_lines(RECORDS, lambda rows: rows.pop()), seal_again),
    ),
    Forgery(
        "cell failed",
        E,
        "a cell's scores removed, its records say it failed, sealed again",
        ("results",),
        "not on the ledger",
        (fail_a_cell, *AGAIN),
    ),
    Forgery(
        "holdings edited",
        E,
        "the records say that the target held more records, report and ledger made again",
        ("data", "records"),
        "holdings: present, absent not as",
        (edit_lines(RECORDS, larger_pools), ledger_again),
    ),
    Forgery(
        "data sheet edited",
        E,
        "data.json says there were more records, report and ledger made again",
        ("data",),
        "data.json: not what the data give",
        (edit_json("data.json", another_sheet), ledger_again),
    ),
    Forgery(
        "remark added",
        E,
        "remarks.json excuses the model, report and ledger made again",
        ("data",),
        "remarks.json: not what the model gives",
        (edit_json("remarks.json", lambda said: [*said, "it is safe"]), ledger_again),
    ),
    # plan
    Forgery(
        "scenario changed",
        E,
        "scenario, plan and records changed, sealed again",
        ("plan", "results"),
        "never registered",
        (other_scenario, seal_again),
    ),
    Forgery(
        "scenario registered again",
        E,
        "the same, the plan registered; the contract takes no results under it",
        ("plan", "results"),
        "another plan was registered",
        (other_scenario, register_plan_again),
    ),
    Forgery(
        "plan removed",
        E,
        "plan.json removed, sealed again",
        ("inputs",),
        "plan.json: missing",
        (remove(PLAN), seal_again),
    ),
    Forgery(
        "attack changed",
        E,
        "one cell's records name other attack code, ledger made again",
        ("records",),
        "attack_source",
        (other_code, ledger_again),
    ),
    Forgery(
        "model changed",
        E,
        "the plan names other model code, ledger made again",
        ("records",),
        "model_source",
        (other_model_code, ledger_again),
    ),
    Forgery(
        "data changed",
        E,
        "the records name other data, ledger made again",
        ("inputs", "truth", "records", "layers"),
        "not of the data that was planned",
        (edit_lines(RECORDS, other_data), ledger_again),
    ),
    Forgery(
        "dirty flag",
        E,
        "the records say the code was clean (or not), ledger made again",
        ("records",),
        "dirty",
        (edit_lines(RECORDS, not_dirty), ledger_again),
    ),
    # evidence
    Forgery(
        "evidence edited",
        E,
        "the hash of one delta in a cell's evidence, sealed again",
        ("traces", "rewards", "results"),
        "not that of the evidence",
        (edit_lines(f"evidence/{BOLD}.jsonl", other_delta), seal_again),
    ),
    Forgery(
        "evidence edited, ledger made again",
        E,
        "the same, book and ledger made again",
        ("traces",),
        "not that of the evidence",
        (edit_lines(f"evidence/{BOLD}.jsonl", other_delta), ledger_again),
    ),
    Forgery(
        "round not paid",
        E,
        "a cell's evidence removed, ledger made again: nobody was paid for it",
        ("traces", "rewards"),
        "is missing",
        (remove(f"evidence/{BOLD}.jsonl"), ledger_again),
    ),
    Forgery(
        "trace exchanged",
        E,
        "the trace of another run, sealed again",
        ("traces", "results"),
        "not that of the evidence",
        (trace_of_another_run, seal_again),
    ),
    Forgery(
        "rules misstated",
        E,
        "a trace says that clients clipped and added noise, ledger made again",
        ("traces",),
        "clip_norm, noise not as",
        (quieter_rules, ledger_again),
    ),
    Forgery(
        "model exchanged",
        E,
        "the trained parameters, ledger made again",
        ("models",),
        "not the model the last round",
        (other_model, ledger_again),
    ),
    # rewards
    Forgery(
        "reward moved",
        E,
        "a reward moved to a friend in the book, sealed again",
        ("report", "rewards", "payments", "results"),
        "does not follow from its evidence",
        (edit_lines("ledger/book.jsonl", more_for_a_friend), seal_again),
    ),
    Forgery(
        "account exchanged",
        E,
        "one client's account, sealed again",
        ("rounds", "results"),
        "committed to another delta",
        (edit_json("ledger/setup.json", other_account), seal_again),
    ),
    Forgery(
        "secret exchanged",
        E,
        "the secret that salts are made of, sealed again",
        ("rounds", "results"),
        "committed to another delta",
        (add("ledger/secret", "11" * 32 + "\n"), seal_again),
    ),
    # custody
    Forgery(
        "page edited",
        E,
        "a word on the page",
        ("files", "report"),
        "report/index.html: changed",
        (edit_text(PAGE, "Rewards", "rewards"),),
    ),
    Forgery(
        "page edited, ledger made again",
        E,
        "the same, ledger made again around it",
        ("report",),
        "not what the records give",
        (edit_text(PAGE, "Rewards", "rewards"), ledger_again_but_the_page),
    ),
    Forgery(
        "timings edited",
        E,
        "the seconds of a stage, on which no result depends",
        ("files",),
        "timings.jsonl: changed",
        (edit_lines("timings.jsonl", lambda rows: rows[0].update(seconds=1e-6)),),
    ),
    Forgery(
        "file added",
        E,
        "a note in the folder, sealed again",
        ("results",),
        "manifest.json: its hash is not on the ledger",
        (add("note.txt"), seal_again),
    ),
    Forgery(
        "page added",
        E,
        "a second page in the report, sealed again",
        ("report", "results"),
        "no file of the report",
        (add("report/index2.html"), seal_again),
    ),
    Forgery(
        "log planted",
        E,
        "a write-ahead log beside the journal; it is not read",
        ("seal",),
        "journal.sqlite-wal: not listed",
        (plant_wal,),
    ),
    Forgery(
        "log planted and sealed",
        E,
        "the same, sealed again",
        ("seal",),
        "journal.sqlite-wal: no file of a ledger",
        (plant_wal, seal_again),
    ),
    Forgery(
        "trigger planted",
        E,
        "a trigger in the journal's database, sealed again",
        ("journal",),
        "trigger 'planted' is not that of a ledger journal",
        (plant_trigger, seal_again),
    ),
    Forgery(
        "page behind a link",
        E,
        "a symbolic link to the same bytes; nothing else is read",
        ("files",),
        "a symbolic link",
        (symbolic_page,),
    ),
    Forgery(
        "page with two names",
        E,
        "a hard link to the same bytes",
        ("files",),
        "a hard link",
        (linked_page,),
    ),
    Forgery(
        "pipe added",
        E,
        "a named pipe; nothing else is read",
        ("files",),
        "a pipe",
        (lambda s: os.mkfifo(s.folder.file("truth/pipe")),),
    ),
    Forgery(
        "records a pipe",
        E,
        "a named pipe in the place of the records; it is not read",
        ("files",),
        "records.jsonl: a pipe",
        (lambda s: s.folder.file(RECORDS).unlink(), lambda s: os.mkfifo(s.folder.file(RECORDS))),
    ),
    Forgery("socket added", E, "a socket", ("files",), "a socket", (add_socket,)),
    Forgery(
        "empty folder",
        E,
        "an empty folder",
        ("files",),
        "an empty folder",
        (lambda s: s.folder.file("x").mkdir(),),
    ),
    Forgery(
        "lock filled",
        E,
        "text in a lock file, sealed again",
        ("files",),
        "a lock, and not empty",
        (add(".lock"), seal_again),
    ),
    Forgery(
        "another head",
        E,
        "the seal names another head",
        ("head",),
        "no head of this ledger",
        (change_seal(audit_head="ab" * 32),),
    ),
    Forgery(
        "another state",
        E,
        "the seal names another state root",
        ("journal",),
        "state_root",
        (change_seal(state_root="ab" * 32),),
    ),
    # without a ledger
    Forgery(
        "scores edited without",
        W,
        "scores and records edited, sealed again",
        ("records", "report"),
        "metrics",
        (perfect_scores, seal_again),
    ),
    Forgery(
        "key twice without",
        W,
        "metrics stand twice in a record, sealed again",
        ("inputs", "truth", "records", "data", "layers", "report"),
        "the key 'metrics' stands there twice",
        (key_twice, seal_again),
    ),
    Forgery(
        "facts added without",
        W,
        "a record says more of itself than was measured, report made again",
        ("records",),
        "facts not as plan",
        (edit_lines(RECORDS, certified), report_again, seal_again),
    ),
    Forgery(
        "layer twice without",
        W,
        "a layer once more, with better scores, all made again",
        ("layers",),
        "a layer stands there twice",
        (edit_lines("layers.jsonl", layer_twice), *AGAIN),
    ),
    Forgery(
        "ending of another property",
        W,
        "how a cell's rounds ended is said of another property, sealed again",
        ("report",),
        "does not say how a cell's rounds ended: property",
        (edit_json(f"audited/{BOLD}.json", of_another), seal_again),
    ),
    Forgery(
        "head without a ledger",
        W,
        "the seal names a head",
        ("inputs",),
        "no ledger, and yet audit_head",
        (change_seal(audit_head="ab" * 32),),
    ),
    Forgery(
        "everything edited without",
        W,
        "scores, metrics and report made again, sealed again",
        (),
        "nothing is proven",
        (perfect_scores, *AGAIN),
    ),
    Forgery(
        "truth turned without",
        W,
        "truth and scores turned round together, all made again",
        ("truth", "records", "layers"),
        "not the ground truth",
        (turn_truth, *AGAIN),
    ),
    Forgery(
        "page edited without",
        W,
        "a number in the table, sealed again",
        ("report",),
        "report/table.md: not what the records give",
        (edit_text("report/table.md", "[", "("), seal_again),
    ),
    Forgery(
        "trace exchanged without",
        W,
        "the trace of another run, sealed again",
        ("traces",),
        "does not start from",
        (trace_of_another_run, seal_again),
    ),
    Forgery(
        "layer renamed without",
        W,
        "a layer that the model does not have, all made again",
        ("layers",),
        "not the layers of its trace",
        (edit_lines("layers.jsonl", another_layer), *AGAIN),
    ),
    Forgery(
        "scenario edited without",
        W,
        "a setting in scenario.json, sealed again",
        ("inputs", "report"),
        "of another scenario",
        (edit_json("scenario.json", lambda s: s | {"title": "x"}), seal_again),
    ),
    # on a node
    Forgery(
        "recorded twice, forger",
        N,
        "a copy records other results under the same plan",
        ("results",),
        "not by this run",
        (perfect_scores, judge_again, record_on_node),
    ),
    Forgery(
        "recorded twice, honest",
        N,
        "the same, seen from the honest run",
        ("results", "head"),
        "not by this run",
        (record_beside,),
    ),
    Forgery(
        "entry superseded",
        N,
        "the auditor's key supersedes an entry after the run",
        ("results", "head"),
        "was superseded",
        (supersede,),
    ),
    Forgery(
        "receipt edited",
        N,
        "a receipt in the journal, sealed again",
        ("journal",),
        "is not that of the chain",
        (other_receipt, seal_again),
    ),
)
