"""What a run puts on its ledger: once, whatever happens, for small cohorts and large ones."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ledger_evidence import evidence, prepared, recorded, sealed
from ledger_runs import small_scenario

from privaudit.attack.scoring import Failure
from privaudit.audit import run_audit
from privaudit.chain.opening import open_ledger, view_ledger
from privaudit.custody.evidence import RoundEvidence
from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import all_files, read_seal, write_seal
from privaudit.errors import UserError
from privaudit.evaluation.cells import table_cells
from privaudit.experiment import tasks
from privaudit.experiment.attacking import Heard
from privaudit.games import GAMES
from privaudit.ledger.book import read_book
from privaudit.ledger.entries import (
    Meaning,
    entries_of,
    files_entry,
    metric_codes,
    plan_hash,
    property_id,
)
from privaudit.ledger.place import Place
from privaudit.ledger.recording import CLAIMS, RunLedger, keep_ledger, whole_budget
from privaudit.ledger.statement import read_statement
from privaudit.scenario.grid import Cell
from privaudit.scenario.load import load_scenario
from privaudit.verify.files import Subject, check_book
from privaudit.verify.ledger import LedgerSubject, check_money, check_plan, check_rounds
from privaudit.verify.run import verify_run
from privaudit.world import World

CRASHES = (
    "open_round:2",  # between two rounds of training
    "submit_signed:1",
    "settle:1",  # between training and settlement
    "close_round:1",
    "settle:2",  # among the audited rounds
    "record_audits:1",
    "write_report:1",  # between records and manifest
    "withdraw_for:3",
    "record_audits:1",
    "write_seal:1",
)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in all_files(folder)}


# --------------------------------------------------------------------- a finished run


def test_the_ledger_has_every_round_of_the_run(finished: Path) -> None:
    book = read_book(RunFolder(finished))
    assert [page.label for page in book] == [
        "training/run-0/round-0",
        "training/run-0/round-1",
        "audit/run-0/bold_largest_0.5_k5",
        "audit/run-0/bold_all_1_k5",
    ]
    assert [page.number for page in book] == [0, 1, 2, 3]
    assert [page.rounds for page in book] == [1, 1, 4, 4]
    assert sum(page.budget for page in book) == whole_budget(small_scenario())
    with view_ledger(finished / "ledger") as ledger:
        assert [ledger.round(n).state for n in range(4)] == [2, 2, 2, 2]
        # On the chain alone: training hands its model on, to both federations of the audit.
        assert ledger.round(1).model_hash == ledger.round(0).result_hash
        for cell in (2, 3):
            assert ledger.round(cell).model_hash == ledger.round(1).result_hash
        money = ledger.money()
        assert money["total_credits"] == money["reserved"] == 0  # everybody withdrew
        accounts = RunFolder(finished).read_json("ledger/setup.json")["clients"]
        assert [ledger.chain.balance(a) for a in accounts] == [10 * 200_000] * 5


def test_the_plan_comes_first_and_every_client_signed_for_itself(finished: Path) -> None:
    with view_ledger(finished / "ledger") as ledger:
        keys = [happening.key.split("/")[0] for happening in ledger.history()]
        plan, first_round = keys.index("plan"), keys.index("round")
        assert plan < keys.index("fund") < first_round < keys.index("audit")
        events = [e for h in ledger.history() for e in h.events if e.name == "Submitted"]
        assert len(events) == 4 * 5
        assert len({e.args["commitment"] for e in events}) == 4 * 5


def test_resuming_a_finished_run_changes_no_byte(copied: RunFolder) -> None:
    before = bytes_of(copied.path)
    run_audit(copied.scenario(), copied.path, workers=1, resume=True)
    assert bytes_of(copied.path) == before


def test_every_step_can_be_repeated(copied: RunFolder) -> None:
    before = bytes_of(copied.path)
    with keep_ledger(copied, copied.scenario(), Place(), None) as ledger:
        ledger.set_up()
        for _ in range(2):
            ledger.trained()
            ledger.attacked()
            ledger.reported()
    write_seal(copied, ledger.facts)
    with view_ledger(copied.file("ledger")) as again:
        assert len(again.history()) == len({h.key for h in again.history()})
    assert bytes_of(copied.path)["ledger/book.jsonl"] == before["ledger/book.jsonl"]
    assert verify_run(copied.path).holds
    assert read_seal(copied)[1] == read_seal(RunFolder(copied.path))[1]


def test_evidence_is_the_same_bytes_when_it_is_made_again(
    finished: Path, copied: RunFolder
) -> None:
    for name in ("scores", "evidence", "training", "ledger"):
        for file in copied.file(name).rglob("*"):
            if file.is_file():
                file.unlink()
    for name in ("manifest.json", "seal.json"):
        copied.file(name).unlink()
    run_audit(copied.scenario(), copied.path, workers=1, resume=True)
    for name in all_files(finished):
        if name.startswith("evidence/") or name == "records.jsonl":
            assert (finished / name).read_bytes() == copied.file(name).read_bytes(), name


# --------------------------------------------------------------------- kill -9


def test_killed_at_every_step_no_round_is_lost_and_nobody_is_paid_twice(
    finished: Path, tmp_path: Path
) -> None:
    """One run, killed ten times, each time a little later; at last it ends like any other."""
    out, script = tmp_path / "run", Path(__file__).with_name("crashing_run.py")
    done = subprocess.run(
        [sys.executable, str(script), str(out), *CRASHES],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [f"{c} {-signal.SIGKILL}" for c in CRASHES], done.stderr
    run_audit(small_scenario(), out, workers=1, resume=True)
    assert_like_any_other(out, finished)


def assert_like_any_other(out: Path, finished: Path) -> None:
    assert (out / "records.jsonl").read_bytes() == (finished / "records.jsonl").read_bytes()
    assert read_book(RunFolder(out)) == read_book(RunFolder(finished))
    assert verify_run(out).holds
    with view_ledger(out / "ledger") as ledger:
        events = [e for h in ledger.history() for e in h.events]
        paid = Counter(
            (e.args["round_id"], e.args["client"]) for e in events if e.name == "Settled"
        )
        assert set(paid.values()) == {1}
        assert len(paid) == 4 * 5
        assert ledger.view("round_count") == 4
        assert ledger.view("audit_count") == 2 + 1
    with view_ledger(finished / "ledger") as other, view_ledger(out / "ledger") as ledger:
        assert ledger.money() == other.money()


# --------------------------------------------------------------------- rules, rejections, cohorts


@pytest.mark.parametrize("rule", ["equal", "samples", "contribution"])
def test_the_ledger_pays_by_the_rule_and_not_the_rejected(tmp_path: Path, rule: str) -> None:
    rounds = [evidence(0, 4), evidence(1, 4, bad=(2,))]
    folder = recorded(tmp_path, rounds, f"ledger.reward={rule}", "ledger.budget=1200")
    subject = Subject(folder)
    assert check_book(subject) == []
    with view_ledger(folder.file("ledger")) as ledger:
        found = LedgerSubject(subject, ledger)
        assert check_rounds(found) == check_money(found) == []
        bad = ledger.submission(1, found.address(2))
        assert bad.outcome == 5
        spent = [ledger.round(n).spent for n in (0, 1)]
    assert spent == ([1200, 900] if rule == "equal" else [1200, 1200])


def test_large_cohorts_go_by_roots_and_their_clients_can_claim(tmp_path: Path) -> None:
    rounds = [evidence(0, 300), evidence(1, 300, bad=(7,))]
    folder = recorded(tmp_path, rounds, "ledger.reward=samples", "ledger.budget=1000000")
    subject = Subject(folder)
    assert check_book(subject) == []
    with view_ledger(folder.file("ledger")) as ledger:
        found = LedgerSubject(subject, ledger)
        assert check_rounds(found) == check_money(found) == []
        assert ledger.money()["reward_pool"] == 2_000_000
        assert ledger.round(0).rooted == 300
        assert not found.of("Settled")
    claims = folder.read_lines(CLAIMS)
    assert sum(int(row["cumulative"]) for row in claims) == 2_000_000
    with open_ledger(folder.file("ledger")) as client:
        for row in (claims[0], claims[7], claims[299]):
            proof = [bytes.fromhex(sibling) for sibling in row["proof"]]
            amount = int(row["cumulative"])
            client.claim(row["address"], amount, bytes.fromhex(row["salt"]), proof)
            assert client.credit(row["address"]) == amount
        with pytest.raises(UserError, match="proof"):
            client.claim(claims[1]["address"], 10**6, bytes.fromhex(claims[1]["salt"]), proof)


def test_a_plan_that_came_late_or_never_is_found(tmp_path: Path) -> None:
    folder = prepared(tmp_path, [evidence(0, 4)], "federation.rounds=1")
    with open_ledger(folder.file("ledger")) as client:
        ledger = RunLedger(folder, folder.scenario(), client)
        register, client.register_plan = client.register_plan, lambda _: None  # type: ignore
        ledger.set_up()
        ledger.trained()
        found = LedgerSubject(Subject(folder), client)
        assert "never registered" in check_plan(found)[0]
        register(plan_hash(folder))
        assert "after the first round" in check_plan(found)[0]


def test_a_wei_that_nobody_deposited_is_missed(tmp_path: Path) -> None:
    folder = recorded(tmp_path, [evidence(0, 4)], "federation.rounds=1")
    with view_ledger(folder.file("ledger")) as ledger:
        found = LedgerSubject(Subject(folder), ledger)
        assert check_money(found) == []
        found.events["Deposited"].clear()
        assert "wei were deposited" in check_money(found)[0]


def test_a_changed_leaf_of_a_large_cohort_is_found(tmp_path: Path) -> None:
    folder = recorded(tmp_path, [evidence(0, 257)], "ledger.reward=samples", "federation.rounds=1")
    rows = folder.read_lines("ledger/book.jsonl")
    first, second = rows[0]["payments"][:2]
    first["amount"], second["amount"] = second["amount"], first["amount"]
    first["delta_sha256"] = "00" * 32
    folder.write_lines("ledger/book.jsonl", rows)
    with view_ledger(folder.file("ledger")) as ledger:
        found = LedgerSubject(Subject(folder), ledger)
        assert "commitments root" in " ".join(check_rounds(found))
        assert "reward root" in " ".join(check_money(found))


def withdrawals(place: Path, rounds: Sequence[RoundEvidence]) -> list[tuple[int, int, int, int]]:
    """Of each: where it stands among all that happened, its block, for whom, how much."""
    place.mkdir()
    folder = prepared(place, list(rounds), "ledger.reward=samples", "ledger.budget=1000000")
    with view_ledger(sealed(folder, Place()).file("ledger")) as ledger:
        found = LedgerSubject(Subject(folder), ledger)
        number = {found.address(n): n for n in range(len(rounds[0].cohort))}
        every = [(h.receipt.block_number, event) for h in ledger.history() for event in h.events]
    rows = [
        (at, block, number[event.args["account"]], event.args["amount"])
        for at, (block, event) in enumerate(every)
        if event.name == "Withdrawn"
    ]
    assert not {event.name for _, event in every[rows[0][0] :]} & {"Settled", "RoundClosed"}
    return rows


def test_withdrawals_say_no_more_than_the_amounts_before_them(tmp_path: Path) -> None:
    """In the order of the clients, once, at the end: where they stand depends on no delta."""
    rounds = [evidence(0, 4), evidence(1, 4)]
    others = [evidence(0, 4), evidence(1, 4, bad=(2,))]
    others[0] = replace(
        others[0], cohort=tuple(replace(d, samples=99 - 9 * d.samples) for d in others[0].cohort)
    )
    first, second = (
        withdrawals(tmp_path / name, some) for name, some in (("a", rounds), ("b", others))
    )
    assert [client for *_, client, _ in first] == [0, 1, 2, 3]
    assert [row[:3] for row in first] == [row[:3] for row in second]
    assert {row[3] for row in first}.isdisjoint(row[3] for row in second)
    # Who was credited nothing withdraws nothing, which the amounts of its rounds say already.
    refused = [evidence(0, 4, bad=(2,)), evidence(1, 4, bad=(2,))]
    assert [row[2] for row in withdrawals(tmp_path / "c", refused)] == [0, 1, 3]


# --------------------------------------------------------------------- runs of other kinds


def test_by_contribution_with_hidden_names_and_no_traces(tmp_path: Path) -> None:
    settings = ("ledger.reward=contribution", "ledger.salted=true", "audit.keep_traces=false")
    folder = run_audit(small_scenario(*settings), tmp_path / "run", workers=1)
    verdict = verify_run(folder.path)
    assert verdict.holds
    assert {c.name for c in verdict.checks if c.skipped} == {"traces"}
    earned = {p.client: p.amount for p in read_book(folder)[0].payments}
    assert sum(earned.values()) == 1_000_000
    assert len(set(earned.values())) > 1
    with view_ledger(folder.file("ledger")) as ledger:
        shown = {audit.entry.property_id for audit in ledger.audits()}
    assert property_id("bold") not in shown
    assert [r["property"] for r in read_statement(folder).audits[:-1]] == ["bold", "bold"]


def test_rejected_deltas_earn_nothing_and_say_why(tmp_path: Path) -> None:
    scenario = small_scenario("federation.norm_bound=0.000001")
    folder = run_audit(scenario, tmp_path / "run", workers=1)
    assert verify_run(folder.path).holds
    payments = [p for page in read_book(folder) for p in page.payments]
    assert {(p.amount, p.outcome, p.reason[:4]) for p in payments} == {(0, 6, "norm")}
    with view_ledger(folder.file("ledger")) as ledger:
        assert ledger.money()["treasury"] == whole_budget(scenario)  # all of it came back


def test_a_failed_cell_is_on_the_ledger_as_failed_and_its_clients_are_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = tasks.attack_cells

    def broken(
        world: World, folder: RunFolder, cells: Sequence[Cell], **more: Any
    ) -> dict[Cell, Heard]:
        return {
            cell: Heard(dict.fromkeys(found.scores, Failure("no luck")), None)
            if cell.fraction < 1
            else found
            for cell, found in original(world, folder, cells, **more).items()
        }

    monkeypatch.setattr(tasks, "attack_cells", broken)
    folder = run_audit(small_scenario(), tmp_path / "run", workers=1)
    assert verify_run(folder.path).holds
    audits = read_statement(folder).audits
    assert [(row["runs"], row["auc"] is None) for row in audits[:-1]] == [(0, True), (1, False)]
    assert len(read_book(folder)) == 4  # its federation took place
    assert "failed" in read_statement(folder).text()


@pytest.mark.parametrize("step", ["evaluation.truth.judge_run", "report.write.write_report"])
def test_a_cell_that_succeeds_on_resume_is_added_unless_results_are_recorded(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no luck")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(GAMES["property"], "observe", broken)
        patched.setattr(f"privaudit.{step}", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_audit(small_scenario(), out, workers=1)
    trained = len(read_book(RunFolder(out)))
    run_audit(small_scenario(), out, workers=1, resume=True)
    labels = [page.label for page in read_book(RunFolder(out))]
    both = ["audit/run-0/bold_largest_0.5_k5", "audit/run-0/bold_all_1_k5"]
    added = both if step.endswith("judge_run") else []
    assert labels[trained:] == added
    failures = [r.status for r in Subject(RunFolder(out)).records]
    assert failures.count("failed") == (0 if added else 2)  # a group fails as a whole
    assert verify_run(out).holds


# --------------------------------------------------------------------- audit entries


def test_entries_say_what_the_table_says(finished: Path) -> None:
    subject = Subject(RunFolder(finished))
    entries = entries_of(subject.records, Meaning.of(subject.scenario))
    for cell, entry in zip(table_cells(subject.records), entries, strict=True):
        assert cell.auc is not None
        assert entry.property_id == property_id("bold")
        assert entry.fraction == 10_000 * cell.fraction
        assert abs(entry.value / 1e6 - cell.auc.value) < 1e-6
        assert entry.low <= entry.value <= entry.high
        assert (entry.participants, entry.runs) == (5, 1)
    assert files_entry(3, Meaning.of(subject.scenario)).value == 3


def test_a_failed_cell_is_recorded_as_failed(finished: Path) -> None:
    subject = Subject(RunFolder(finished))
    good = subject.records[0]
    bad = good.model_copy(update={"status": "failed", "reason": "?", "scores": [], "metrics": {}})
    entry = entries_of([bad, subject.records[1]], Meaning.of(subject.scenario))[0]
    assert (entry.runs, entry.value, entry.low, entry.high) == (0, 0, 0, 0)


def test_metric_codes_are_one_to_one_and_follow_from_the_scenario() -> None:
    scenario = load_scenario("quickstart", ['audit.rules=["largest", "random"]'])
    codes = metric_codes(scenario)
    assert len(set(codes.values())) == len(codes) == 3 * len(scenario.audit.attacks)
    assert min(codes.values()) == 1  # 0 stands for the files


def test_salted_names_tell_nothing_without_the_salt() -> None:
    assert property_id("bold", b"s" * 32) != property_id("bold")
    assert len(property_id("bold")) == 32
