"""Clients of large cohorts are paid when they claim, once, and the run stays what it was."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_evidence import evidence, prepared, sealed
from ledger_runs import run_command
from ledger_version_1 import version_1

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ledger"))

from anvil_node import Node, anvil_or_skip

from privaudit.chain.client import LedgerClient
from privaudit.chain.keystore import create_keystore
from privaudit.chain.opening import open_ledger, view_ledger
from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import noted_head
from privaudit.ledger.claiming import claim_rewards
from privaudit.ledger.place import Place
from privaudit.verify.files import Subject, check_seal
from privaudit.verify.ledger import (
    LedgerSubject,
    check_chain,
    check_head,
    check_money,
    check_plan,
    check_rounds,
)

PASSWORD = "tH8-vq2m-Kz9w"
SETTINGS = ("ledger.reward=samples", "ledger.budget=1000000")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rounds of 300 clients, one of them rejected once; look, do not touch."""
    rounds = [evidence(0, 300), evidence(1, 300, bad=(7,))]
    folder = prepared(tmp_path_factory.mktemp("large"), rounds, *SETTINGS)
    return sealed(folder, Place()).path


@pytest.fixture
def run(large: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(large, tmp_path / "run")))


def granted(run: RunFolder) -> dict[int, int]:
    """As the run wrote it down for clients without this tool."""
    return {row["client"]: int(row["cumulative"]) for row in run.read_lines("ledger/claims.jsonl")}


def claimed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    capsys.readouterr()
    assert run_command("claim", *arguments, "--json") == 0
    return list(json.loads(capsys.readouterr().out)["claims"])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert run_command("claim", *arguments) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    return line


def assert_whole(run: RunFolder, rpc: str | None = None) -> None:
    """What claims may touch is as `verify` wants it."""
    subject = Subject(run)
    assert check_seal(subject) == []
    with view_ledger(run.file("ledger"), rpc=rpc, alone=True) as ledger:
        found = LedgerSubject(subject, ledger)
        assert check_chain(found) == []
        assert check_money(found) == []
        assert ledger.audit_head().hex() == noted_head(run)


def test_each_claims_once_and_is_paid(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    head, due = noted_head(run), granted(run)
    first = claimed(capsys, str(run.path), "--client", "7", "--client", "299", "--client", "7")
    assert [(c["client"], c["claimed"], c["paid"]) for c in first] == [
        (7, due[7], due[7]),
        (299, due[299], due[299]),
    ]
    assert 0 < due[7] < due[299]
    assert_whole(run)
    assert noted_head(run) == head
    with view_ledger(run.file("ledger")) as ledger:
        assert ledger.chain.balance(str(first[0]["address"])) == due[7]
        assert ledger.money()["reward_pool"] == 2_000_000 - due[7] - due[299]
    before = run.file("ledger/journal.sqlite").read_bytes()
    capsys.readouterr()
    assert run_command("claim", str(run.path), "--client", "7") == 0
    said = capsys.readouterr().out
    assert said == f"client 7: nothing to claim; granted in all: {due[7]:,} wei\n"
    assert_whole(run)
    assert run.file("ledger/journal.sqlite").read_bytes() == before
    assert claimed(capsys, str(run.path), "--client", "0")[0]["paid"] == due[0]
    assert_whole(run)


def test_a_run_of_version_1_of_the_contract_is_checked_and_paid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = prepared(tmp_path, [evidence(0, 300)], *SETTINGS)
    with version_1():
        sealed(folder, Place())
    assert_whole(folder)
    subject = Subject(folder)
    with view_ledger(folder.file("ledger"), alone=True) as ledger:
        assert ledger.built.version == "1"
        found = LedgerSubject(subject, ledger)
        assert [check(found) for check in (check_rounds, check_plan, check_head)] == [[], [], []]
    assert run_command("ledger", str(folder.path)) == 0
    assert claimed(capsys, str(folder.path), "--client", "7")[0]["paid"] == granted(folder)[7]
    assert_whole(folder)


@pytest.mark.parametrize("step", ["claim", "withdraw_for", "finish"])
def test_interrupted_claims_go_on(
    run: RunFolder, step: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ended(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    due = granted(run)[3]
    with monkeypatch.context() as patch:
        patch.setattr(LedgerClient, step, ended)
        with pytest.raises(KeyboardInterrupt):
            claim_rewards(run, [3], Place())
    after = claimed(capsys, str(run.path), "--client", "3")[0]
    assert after["claimed"] == (due if step == "claim" else 0)
    assert after["paid"] == (0 if step == "finish" else due)
    with view_ledger(run.file("ledger")) as ledger:
        assert ledger.chain.balance(str(after["address"])) == due
    assert_whole(run)


def test_a_seal_is_not_written_over_changes(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    one = (str(run.path), "--client", "1")
    timings, seal = run.file("ledger/timings.jsonl"), run.file("seal.json")
    honest, sealed_as = timings.read_bytes(), seal.read_bytes()
    timings.write_bytes(honest + b"{}\n")
    assert "was changed since it ended; see what: privaudit verify" in refused(capsys, *one)
    timings.write_bytes(honest)
    with open_ledger(run.file("ledger"), seed=run.scenario().seed) as ledger:
        ledger.fund(5, name="more")  # with keys that anybody can compute
    assert "was changed since it ended" in refused(capsys, *one)
    assert seal.read_bytes() == sealed_as


def test_evidence_that_is_not_the_contracts_pays_nobody(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = run.read_lines("evidence/run-0/training.jsonl")
    rows[0]["cohort"][1]["samples"] += 100
    run.write_lines("evidence/run-0/training.jsonl", rows)
    line = refused(capsys, str(run.path), "--client", "1")
    assert "the reward root on the contract is not that of this run's evidence" in line


def test_what_cannot_be_claimed_is_one_line(
    large: Path, finished: Path, copied: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    copied.file("seal.json").unlink()
    for arguments, said in (
        (
            (str(large), "--client", "300"),
            "client 300 was in no cohort above 256; those that were: 0 to 299",
        ),
        ((str(large), "--client", "-1"), "client -1 was in no cohort"),
        ((str(large), "--client", "Ann"), "'--client'"),
        ((str(large),), "--client"),
        ((str(finished), "--client", "1"), "nothing to claim: no cohort was above 256"),
        ((str(copied.path), "--client", "1"), "the run is not finished; go on with: privaudit run"),
        ((str(large), "--client", "1", "--rpc", "http://127.0.0.1:9"), "--keystore"),
        ((str(large.parent), "--client", "1"), "no run folder"),
    ):
        assert said in refused(capsys, *arguments)
    assert_whole(RunFolder(large))


# --------------------------------------------------------------------- on a node


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(anvil_or_skip()) as running:
        yield running


def test_claims_on_a_node(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str], large: Path
) -> None:
    keys, password = tmp_path / "keys", tmp_path / "password"
    node.fund(*create_keystore(keys, PASSWORD, cost=2).values())
    password.write_text(PASSWORD)
    place = Place(node.url, keys, password)
    run = sealed(prepared(tmp_path, [evidence(0, 300)], *SETTINGS, "federation.rounds=1"), place)
    given = ["--rpc", node.url, "--keystore", str(keys), "--password-file", str(password)]
    assert "this ledger is on a JSON-RPC chain" in refused(capsys, str(run.path), "--client", "5")
    assert "this ledger is on an embedded chain" in refused(
        capsys, str(large), "--client", "5", *given
    )
    found = claimed(capsys, str(run.path), "--client", "5", *given)[0]
    assert found["paid"] == granted(run)[5]
    assert int(node.rpc("eth_getBalance", found["address"], "latest"), 16) == found["paid"]
    assert claimed(capsys, str(run.path), "--client", "5", *given)[0]["claimed"] == 0
    assert_whole(run, node.url)
