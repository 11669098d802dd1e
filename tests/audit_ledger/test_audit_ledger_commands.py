"""``privaudit run``, ``ledger`` and ``verify`` as a user meets them, mistakes included."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from ledger_runs import SMALL, run_command

from privaudit.chain.accounts import PASSWORD_VARIABLE
from privaudit.chain.keystore import create_keystore
from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import noted_head

RUN = [part for value in SMALL for part in ("--set", value)]
NOBODY = "http://127.0.0.1:9"  # the discard port: nobody answers


@pytest.fixture
def keystore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "keys"
    create_keystore(folder, "right", cost=2)
    monkeypatch.setenv(PASSWORD_VARIABLE, "right")
    return folder


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which a command is refused."""
    assert run_command(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.strip().splitlines()
    assert len(lines) == 1, said.err
    return lines[0]


def test_ledger_prints_rewards_beside_audit_entries(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("ledger", str(finished)) == 0
    said = capsys.readouterr().out
    assert "2,000,000" in said  # what each client earned
    assert "| 0        | adversary |" in said
    assert "training/run-0/round-1" in said
    assert "| bold" in said
    assert "files of the run" in said
    assert "audit head: " in said


def test_ledger_as_csv_and_json_agree(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("ledger", str(finished), "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert run_command("ledger", str(finished), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert len(rows) == 4 * 5
    assert sum(int(row["earned_wei"]) for row in rows) == 10_000_000
    assert sum(client["earned_wei"] for client in said["clients"]) == 10_000_000
    assert said["clients"][0]["role"] == "adversary"
    cells = [audit for audit in said["audits"] if audit["what"] == "cell"]
    records = RunFolder(finished).read_lines("records.jsonl")
    assert [c["property"] for c in cells] == [r["property"] for r in records]
    assert [c["auc"] for c in cells] == pytest.approx(
        [r["metrics"]["auc"]["value"] for r in records], abs=1e-6
    )
    assert said["audits"][-1]["what"] == "manifest"


def test_the_report_says_who_earned_what(finished: Path) -> None:
    rewards = (finished / "report/rewards.csv").read_text().splitlines()
    assert len(rewards) == 1 + 4 * 5
    assert "the adversary earned 20.0 %" in (finished / "report/report.md").read_text()
    assert ">Rewards</h2>" in (finished / "report/index.html").read_text()


def test_writing_the_report_again_keeps_the_run_verified(
    copied: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("report", str(copied.path)) == 0
    assert run_command("verify", str(copied.path)) == 0
    assert "Not verified" not in capsys.readouterr().out


def test_a_run_ends_with_the_head_to_keep(
    copied: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    head = noted_head(copied)
    again = ("run", "--resume", str(copied.path))  # it is finished: only the result is printed
    assert run_command(*again) == 0
    assert f"head:   {head}\nKeep the head elsewhere" in capsys.readouterr().out
    assert run_command(*again, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["head"] == head
    assert "Keep the head elsewhere" in said["keep"]
    assert run_command(*again, "--quiet") == 0
    assert head not in capsys.readouterr().out


def test_verify_exits_1_and_says_what(
    copied: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    file = copied.file("report/index.html")
    file.write_text(file.read_text().replace("Rewards", "rewards"))
    assert run_command("verify", str(copied.path)) == 1
    assert "report/index.html: changed" in capsys.readouterr().out
    assert run_command("verify", str(copied.path), "--json") == 1
    assert json.loads(capsys.readouterr().out)["verified"] is False


def test_a_run_without_a_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert run_command("run", *RUN, "--no-ledger", "--workers", "1", "--out", str(out)) == 0
    assert not (out / "ledger").exists()
    assert not (out / "evidence").exists()
    assert not (out / "report/rewards.csv").exists()
    capsys.readouterr()
    assert run_command("verify", str(out)) == 0
    assert "without a ledger, so nothing is proven about when" in " ".join(
        capsys.readouterr().out.split()
    )
    assert "made without a ledger" in refused(capsys, "ledger", str(out))
    (out / "scores/run-0/bold_all_1_k5.json").write_text("{}")
    assert run_command("verify", str(out)) == 1


# --------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("ledger.reward=eqal", "did you mean 'equal'"),
        ("ledger.budget=0", "ledger.budget"),
        ("ledger.budget=-5", "ledger.budget"),
        ("ledger.budget=7", "nearest that does: 5"),
        ("ledger.budget=1.5", "ledger.budget"),
        ("ledger.bugdet=5", "did you mean 'ledger.budget'"),
        ("ledger.enabled=perhaps", "ledger.enabled"),
    ],
)
def test_a_bad_ledger_table_is_refused_before_anything_is_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, setting: str, said: str
) -> None:
    out = tmp_path / "run"
    assert said in refused(capsys, "run", *RUN, "--set", setting, "--out", str(out))
    assert not out.exists()


def test_budget_that_another_rule_can_split_is_fine() -> None:
    from ledger_runs import small_scenario

    assert small_scenario("ledger.budget=7", "ledger.reward=samples").ledger.budget == 7
    assert small_scenario("ledger.budget=7", "ledger.enabled=false").ledger.budget == 7


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rpc", NOBODY], "--keystore"),
        (["--keystore", "keys"], "--rpc"),
        (["--contract", "0x" + "11" * 20], "--rpc"),
        (["--rpc", "not a url", "--keystore", "{keys}"], "not a url"),
        (["--rpc", "ftp://127.0.0.1", "--keystore", "{keys}"], "ftp"),
        (["--rpc", NOBODY, "--keystore", "{keys}"], "127.0.0.1"),
        (["--rpc", NOBODY, "--keystore", "nowhere"], "admin.json"),
        (["--rpc", NOBODY, "--keystore", "{keys}", "--password-file", "no.txt"], "no.txt"),
    ],
)
def test_a_chain_that_cannot_be_used_is_refused(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    keystore: Path,
    options: list[str],
    said: str,
) -> None:
    given = [option.replace("{keys}", str(keystore)) for option in options]
    assert said in refused(capsys, "run", *RUN, "--out", str(tmp_path / "run"), *given)


def test_the_wrong_keystore_password_is_refused(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    keystore: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "wrong")
    out = tmp_path / "run"
    line = refused(
        capsys, "run", *RUN, "--out", str(out), "--rpc", NOBODY, "--keystore", str(keystore)
    )
    assert "wrong keystore password" in line
    assert "right" not in line
    assert not out.exists()


def test_a_journal_of_another_chain_is_refused(
    capsys: pytest.CaptureFixture[str], copied: RunFolder, keystore: Path
) -> None:
    copied.file("seal.json").unlink()
    line = refused(
        capsys, "run", "--resume", str(copied.path), "--rpc", NOBODY, "--keystore", str(keystore)
    )
    assert "embedded" in line


@pytest.mark.parametrize("command", ["verify", "ledger"])
def test_not_a_run_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    assert "no run folder" in refused(capsys, command, str(tmp_path))


def test_resume_takes_the_scenario_as_it_is(
    capsys: pytest.CaptureFixture[str], finished: Path
) -> None:
    assert "--no-ledger" in refused(capsys, "run", "--resume", str(finished), "--no-ledger")
