"""A whole run with its ledger on a real node, and what can be wrong there."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_runs import PASSWORD, SMALL, place_on, run_command

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ledger"))

from anvil_node import Node, anvil_or_skip

from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import read_seal

RUN = [part for value in SMALL for part in ("--set", value)]


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(anvil_or_skip()) as running:
        yield running


@pytest.fixture(scope="module")
def place(node: Node, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return place_on(node, tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def on_node(place: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("anvil-run") / "run"
    assert run_command("run", *RUN, "--workers", "1", "--out", str(out), *place) == 0
    return out


def test_a_run_on_a_node_is_verified_and_its_records_are_the_same(
    on_node: Path, finished: Path, place: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert (on_node / "records.jsonl").read_bytes() == (finished / "records.jsonl").read_bytes()
    capsys.readouterr()
    assert run_command("verify", str(on_node), *place[:2], "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert {check["result"] for check in said["checks"]} == {"ok"}
    assert said["ledger"]["kind"] == "rpc"
    assert run_command("verify", str(on_node), *place[:2]) == 0
    assert "as good as that chain" in " ".join(capsys.readouterr().out.split())
    text = "".join(f.read_text(errors="ignore") for f in on_node.rglob("*") if f.is_file())
    assert PASSWORD not in text


def test_without_its_node_it_cannot_be_verified(
    on_node: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run_command("verify", str(on_node)) == 2
    assert "JSON-RPC chain" in capsys.readouterr().err


def test_another_run_can_use_the_same_contract_but_not_the_same_plan(
    on_node: Path, place: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = read_seal(RunFolder(on_node))[1]
    options = ["--contract", facts["contract"], "--workers", "1"]
    capsys.readouterr()
    assert run_command("run", *RUN, *options, "--out", str(tmp_path / "same"), *place) == 2
    assert "has this very plan already" in capsys.readouterr().err
    out = tmp_path / "second"
    more = ["--set", "seed=2"]
    assert run_command("run", *RUN, *options, *more, "--out", str(out), *place) == 0
    for run, said in ((on_node, "not the ledger's last: 3 links follow"), (out, "no link follows")):
        capsys.readouterr()
        assert run_command("verify", str(run), *place[:2]) == 0
        assert said in " ".join(capsys.readouterr().out.split())
    noted = ["--head", facts["audit_head"]]
    assert run_command("verify", str(on_node), *place[:2], *noted) == 0
    assert run_command("verify", str(out), *place[:2], *noted) == 1  # it came before that run


def test_a_contract_with_other_code_is_refused(
    node: Node, place: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = "0x" + "ab" * 20
    for code, said in (("0x", "no contract"), ("0x6001", "other code")):
        node.rpc("anvil_setCode", other, code)
        out = tmp_path / f"run {said}"
        capsys.readouterr()
        assert run_command("run", *RUN, "--out", str(out), "--contract", other, *place) == 2
        assert said in capsys.readouterr().err


def test_a_journal_whose_receipts_are_not_the_chains_is_found(
    on_node: Path, place: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil
    import sqlite3

    from privaudit.custody.manifest import write_seal

    forged = RunFolder(Path(shutil.copytree(on_node, tmp_path / "forged")))
    with sqlite3.connect(forged.file("ledger/journal.sqlite")) as journal:
        journal.execute("UPDATE receipts SET gas_used = gas_used + 1 WHERE intent = 5")
    journal.close()
    write_seal(forged, read_seal(forged)[1])
    capsys.readouterr()
    assert run_command("verify", str(forged.path), *place[:2]) == 1
    assert "is not that of the chain" in capsys.readouterr().out
