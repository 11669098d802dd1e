"""``verify``: any flipped byte is found and named, and a forger who hashes again is found too."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ledger_runs import small_scenario

from privaudit.audit import run_audit
from privaudit.chain.opening import open_ledger, view_ledger
from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import SEAL, all_files, read_seal, write_seal
from privaudit.errors import UserError
from privaudit.verify.files import Subject, check_book, check_models, check_traces
from privaudit.verify.ledger import LedgerSubject, audit_heads, check_head
from privaudit.verify.run import FILE_CHECKS, verify_run
from privaudit.verify.verdict import Verdict, conclusion, verdict_text

CELL = "run-0/bold_all_1_k5"
KINDS = (
    "scenario.json",
    "scenario.toml",
    "plan.json",
    "remarks.json",
    "records.jsonl",
    "layers.jsonl",
    "timings.jsonl",
    "manifest.json",
    "seal.json",
    "evidence/run-0/training.jsonl",
    f"evidence/{CELL}.jsonl",
    "training/run-0.jsonl",
    "training/run-0.timings.jsonl",
    "training/run-0.safetensors",
    f"traces/{CELL}/manifest.json",
    f"traces/{CELL}/initial.safetensors",
    f"traces/{CELL}/round-000002.safetensors",
    f"truth/{CELL}.json",
    f"scores/{CELL}.json",
    f"audited/{CELL}.json",
    "report/table.md",
    "report/table.csv",
    "report/table.tex",
    "report/report.json",
    "report/rewards.csv",
    "report/index.html",
    "report/figures/auc_by_fraction.svg",
    "ledger/journal.sqlite",
    "ledger/book.jsonl",
    "ledger/audits.jsonl",
    "ledger/secret",
    "ledger/setup.json",
    "ledger/timings.jsonl",
)
IN_FULL = ("scenario.json", "records.jsonl", "manifest.json", "seal.json", "ledger/journal.sqlite")


def flip(file: Path, rng: random.Random) -> Callable[[], None]:
    """Change one bit of one byte; returns how to undo it."""
    content = file.read_bytes()
    at = rng.randrange(len(content))
    changed = bytes([content[at] ^ (1 << rng.randrange(8))])
    file.write_bytes(content[:at] + changed + content[at + 1 :])
    return lambda: file.write_bytes(content) and None


def failed(verdict: Verdict) -> dict[str, tuple[str, ...]]:
    return {check.name: check.problems for check in verdict.checks if check.problems}


def quick_problems(folder: RunFolder) -> list[str]:
    """Problems of the two checks that go over every file; what cannot be read is a problem."""
    problems = []
    for _, _, check in FILE_CHECKS[:2]:
        try:
            problems += check(Subject(folder))
        except Exception as error:
            problems.append(str(error))
    return problems


def test_a_finished_run_is_verified(finished: Path) -> None:
    before = {name: (finished / name).read_bytes() for name in all_files(finished)}
    verdict = verify_run(finished)
    assert failed(verdict) == {}
    assert [check.result for check in verdict.checks] == ["ok"] * 17
    assert "Not proven: that a number is true" in conclusion(verdict)
    assert verdict.facts["audit_head"] in conclusion(verdict)
    after = {name: (finished / name).read_bytes() for name in all_files(finished)}
    assert after == before  # looking changes nothing


def test_the_list_of_kinds_leaves_no_kind_of_file_out(finished: Path) -> None:
    def kind(name: str) -> str:
        return str(Path(name).parent / Path(name).suffix).replace("bold_largest_0.5_k5", "CELL")

    present = {n for n in all_files(finished) if not n.endswith(".lock")}
    known = {kind(name.replace("bold_all_1_k5", "CELL")) for name in KINDS}
    assert {kind(name.replace("bold_all_1_k5", "CELL")) for name in present} <= known
    assert set(KINDS) <= present


@pytest.mark.parametrize("name", KINDS)
def test_a_flipped_byte_anywhere_is_found_and_named(copied: RunFolder, name: str) -> None:
    rng = random.Random(name)
    for _ in range(5):
        undo = flip(copied.file(name), rng)
        assert any(problem.split(": ")[0].endswith(name) for problem in quick_problems(copied))
        undo()
    assert quick_problems(copied) == []


@pytest.mark.parametrize("name", IN_FULL)
def test_the_whole_verification_survives_damage_and_names_it(copied: RunFolder, name: str) -> None:
    flip(copied.file(name), random.Random(f"full {name}"))
    verdict = verify_run(copied.path)
    assert not verdict.holds
    assert name in verdict_text(verdict)
    assert "Nothing is proven" in conclusion(verdict)


def test_every_byte_of_the_journal_counts_even_where_sqlite_does_not_look(
    copied: RunFolder,
) -> None:
    file = copied.file("ledger/journal.sqlite")
    content = bytearray(file.read_bytes())
    free = content.rfind(bytes(64))  # unused space of a page
    assert free > 0
    content[free + 32] ^= 1
    file.write_bytes(content)
    assert list(failed(verify_run(copied.path))) == ["seal"]


@pytest.mark.parametrize("name", ["records.jsonl", f"truth/{CELL}.json", "ledger/book.jsonl"])
def test_a_missing_file_is_named(copied: RunFolder, name: str) -> None:
    copied.file(name).unlink()
    assert f"{name}: missing" in failed(verify_run(copied.path))["files"]


@pytest.mark.parametrize("name", ["note.txt", "evidence/run-9/training.jsonl", "ledger/more"])
def test_an_extra_file_is_named(copied: RunFolder, name: str) -> None:
    copied.write_text(name, "x")
    assert f"{name}: not listed" in quick_problems(copied)


@pytest.mark.parametrize("name", ["manifest.json", "seal.json", "ledger/journal.sqlite"])
def test_a_run_without_its_seal_or_journal_is_not_verified(copied: RunFolder, name: str) -> None:
    copied.file(name).unlink()
    verdict = verify_run(copied.path)
    assert name in verdict_text(verdict)
    assert not verdict.holds
    assert "UnboundLocalError" not in verdict_text(verdict)


@pytest.mark.parametrize("fact", ["state_root", "audit_head", "contract", "chain_id"])
def test_the_seal_must_say_what_the_ledger_says(copied: RunFolder, fact: str) -> None:
    facts = read_seal(copied)[1]
    write_seal(copied, facts | {fact: "00" * 32})
    wrong = failed(verify_run(copied.path))
    assert set(wrong) == {"head" if fact == "audit_head" else "journal"}
    assert SEAL in wrong.popitem()[1][0]


def edited(folder: RunFolder, name: str, line: int, **values: Any) -> RunFolder:
    rows = folder.read_lines(name)
    rows[line] |= values
    folder.write_lines(name, rows)
    return folder


@pytest.mark.parametrize(
    ("name", "line", "values", "said"),
    [
        ("evidence/run-0/training.jsonl", 1, {"after": "00" * 32}, "last round of training"),
        ("evidence/run-0/training.jsonl", 1, {"before": "00" * 32}, "round 1 does not start"),
        (f"evidence/{CELL}.jsonl", 0, {"before": "00" * 32}, "does not start from training"),
        (f"evidence/{CELL}.jsonl", 2, {"after": "00" * 32}, "round 3 does not start"),
    ],
)
def test_a_break_in_the_chain_of_models_is_named(
    copied: RunFolder, name: str, line: int, values: dict[str, str], said: str
) -> None:
    wrong = check_models(Subject(edited(copied, name, line, **values)))
    assert len(wrong) == 1
    assert said in wrong[0]
    assert wrong[0].startswith(("evidence/", "training/"))


def test_a_trace_with_more_rounds_than_there_were_is_named(copied: RunFolder) -> None:
    name = f"evidence/{CELL}.jsonl"
    copied.write_lines(name, copied.read_lines(name)[:-1])
    assert "4 rounds, evidence of 3" in check_traces(Subject(copied))[0]


def test_a_round_that_pays_too_much_is_named(copied: RunFolder) -> None:
    edited(copied, "ledger/book.jsonl", 0, budget="999999")
    assert "1000000 wei out of a budget of 999999" in check_book(Subject(copied))[-1]


def test_the_audit_chain_is_computed_as_the_contract_does(
    copied: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_ledger(copied.file("ledger"), seed=1) as client:
        client.supersede_audit(0, 1)
        heads = list(audit_heads(client))
        assert [client.view("head_at", link) for link in range(len(heads))] == heads
        assert len(heads) == 1 + 4  # plan, records, manifest, supersession
        subject = LedgerSubject(Subject(copied), client)
        (changed,) = check_head(subject)
        assert "this run's results were changed on the ledger, by link 4" in changed
        monkeypatch.setattr(client, "audit_head", lambda: b"x" * 32)
        assert "computed again" in check_head(subject)[0]


def test_a_head_noted_elsewhere(finished: Path) -> None:
    head = read_seal(RunFolder(finished))[1]["audit_head"]
    with view_ledger(finished / "ledger") as ledger:
        subject = LedgerSubject(Subject(RunFolder(finished)), ledger)
        heads = [noted.hex() for noted in audit_heads(ledger)]
        assert check_head(subject, f"0x{head.upper()}") == []
        assert "no head of this ledger" in check_head(subject, "ab" * 32)[0]
        for link, noted in enumerate(heads[:-1]):  # each is a head, and vouches for too little
            (said,) = check_head(subject, noted)
            assert f"after {link} of 3 links; this run's own link" in said


def test_a_journal_cannot_be_exchanged_for_that_of_another_run(copied: RunFolder) -> None:
    """Not even for one of the same scenario, with everything hashed again."""
    own = copied.path.parent / "own"
    shutil.copytree(copied.path, own)
    shutil.rmtree(copied.file("ledger"))
    for name in ("manifest.json", "seal.json"):
        copied.file(name).unlink()
    run_audit(copied.scenario(), copied.path, workers=1, resume=True)  # a second ledger
    assert verify_run(copied.path).holds
    journal = copied.file("ledger/journal.sqlite").read_bytes()
    RunFolder(own).file("ledger/journal.sqlite").write_bytes(journal)
    write_seal(RunFolder(own), read_seal(copied)[1])
    assert {"rounds", "results"} <= set(failed(verify_run(own)))


def test_not_a_run_and_the_wrong_chain_are_the_users_mistake(
    finished: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no run folder"):
        verify_run(tmp_path)
    with pytest.raises(UserError, match="leave it out"):
        verify_run(finished, rpc="http://127.0.0.1:1")


def test_the_verdict_for_machines(finished: Path) -> None:
    said = json.loads(json.dumps(verify_run(finished).as_json()))
    assert said["verified"] is True
    assert {check["result"] for check in said["checks"]} == {"ok"}


def test_a_run_with_traces_of_half_precision_is_verified(tmp_path: Path) -> None:
    scenario = small_scenario("audit.trace_precision=half")
    folder = run_audit(scenario, tmp_path / "run", workers=1)
    assert verify_run(folder.path).holds
    trace = next(folder.file("traces").rglob("round-000001.safetensors"))
    trace.write_bytes(trace.read_bytes()[:-1] + b"\x01")
    assert not verify_run(folder.path).holds
