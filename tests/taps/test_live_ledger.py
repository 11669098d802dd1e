"""The ledger of a judged live run: what is on it, and that a folder that was made anew is found."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ledger_runs import copy_of, place_on, run_command
from live_runs import judge_words, live_run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ledger"))

from anvil_node import Node, anvil_or_skip

from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import read_seal, write_manifest, write_seal
from privaudit.custody.plan import read_plan
from privaudit.evaluation.live import LiveSettings, judge_live
from privaudit.evaluation.live_folder import kept_runs, read_live
from privaudit.report.live import write_live


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live_run(tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="module")
def words(federation: Path) -> list[str]:
    return [*judge_words(federation), "--attack", "linear", "--ledger"]


@pytest.fixture(scope="module")
def judged(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("judged") / "run"
    assert run_command(*words, "--out", str(out)) == 0
    return out


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(anvil_or_skip()) as running:
        yield running


@pytest.fixture(scope="module")
def place(node: Node, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return place_on(node, tmp_path_factory.mktemp("keys"))


Verified = Callable[..., dict[str, str]]


@pytest.fixture
def verified(capsys: pytest.CaptureFixture[str]) -> Verified:
    """Check -> result of ``privaudit verify``."""

    def made(folder: Path, *more: str) -> dict[str, str]:
        capsys.readouterr()
        run_command("verify", str(folder), "--json", *more)
        found = json.loads(capsys.readouterr().out)
        return {check["name"]: check["result"] for check in found["checks"]}

    return made


def failed(found: dict[str, str]) -> set[str]:
    return {name for name, result in found.items() if result == "FAILED"}


def test_what_was_judged_is_on_it(
    judged: Path, verified: Verified, capsys: pytest.CaptureFixture[str]
) -> None:
    found = verified(judged)
    assert found.pop("scores") == "not checked"
    assert set(found.values()) == {"ok"}
    assert {"journal", "round", "registered", "results", "head"} <= set(found)
    assert run_command("ledger", str(judged), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    entry, files = said["audits"]
    table = read_live(RunFolder(judged)).cells[0]
    assert table.auc is not None
    assert (entry["attack"], entry["property"]) == ("linear", "secret")
    assert entry["auc"] == pytest.approx(table.auc.value, abs=1e-6)
    assert files["what"] == "manifest"
    assert said["payments"] == [], "nobody is paid"
    assert run_command("ledger", str(judged)) == 0
    assert "A live run pays nobody" in capsys.readouterr().out
    page = (judged / "report" / "index.html").read_text()
    assert "registered before the results were recorded" in page


def test_a_head_that_was_kept_vouches_for_it(judged: Path, verified: Verified) -> None:
    head = read_seal(RunFolder(judged))[1]["audit_head"]
    assert verified(judged, "--head", head)["head"] == "ok"
    assert failed(verified(judged, "--head", "ab" * 32)) == {"head"}


def negate_scores(folder: RunFolder) -> None:
    (file,) = folder.file("scores", "run-0").glob("secret*.json")
    scores = json.loads(file.read_text())
    file.write_text(json.dumps({"linear": [-one for one in scores["linear"]]}))


def judge_again(folder: RunFolder) -> None:
    """Everything that follows from scores and truth, and all hashes but those on the ledger."""
    plan = read_plan(folder)
    again = judge_live(plan, kept_runs(folder, LiveSettings.of(plan)))
    folder.write_lines("records.jsonl", [row.model_dump(mode="json") for row in again.records])
    write_live(folder)
    facts = read_seal(folder)[1]
    write_manifest(folder)
    write_seal(folder, facts)


def test_scores_that_were_forged_with_all_that_follows_from_them_are_found(
    judged: Path, tmp_path: Path, verified: Verified
) -> None:
    """Without a ledger only the attack itself could say so (``test_live_folder``)."""
    folder = copy_of(judged, tmp_path / "copy")
    negate_scores(folder)
    judge_again(folder)
    assert failed(verified(folder.path)) == {"round", "results"}


def test_a_truth_of_another_schedule_is_found(
    judged: Path, tmp_path: Path, verified: Verified
) -> None:
    folder = copy_of(judged, tmp_path / "copy")
    folder.file("truth", "run-0", "schedule.json").unlink()
    for file in folder.file("truth", "run-0").glob("round-*.json"):
        row = json.loads(file.read_text())
        file.write_text(json.dumps(row | {"present": not row["present"]}))
    judge_again(folder)
    assert failed(verified(folder.path)) == {"round", "results"}


def test_a_ledger_that_was_written_anew_has_another_head(
    judged: Path, words: list[str], tmp_path: Path, verified: Verified
) -> None:
    """Whoever judges again, with another attack, say, cannot show the head that was kept."""
    kept = read_seal(RunFolder(judged))[1]["audit_head"]
    out = tmp_path / "again"
    assert run_command(*words, "--attack", "magnitude-stack", "--out", str(out)) == 0
    assert not failed(verified(out))
    assert failed(verified(out, "--head", kept)) == {"head"}


def test_a_folder_that_says_it_has_no_ledger(
    judged: Path, tmp_path: Path, verified: Verified
) -> None:
    folder = copy_of(judged, tmp_path / "copy")
    shutil.rmtree(folder.file("ledger"))
    plan = json.loads(folder.file("plan.json").read_text()) | {"ledger": "none"}
    folder.write_json("plan.json", plan)
    write_live(folder)
    write_manifest(folder)
    write_seal(folder, {"kind": "none"})
    assert "head" not in verified(folder.path), "it is a run without; --head is refused"
    assert run_command("verify", str(folder.path), "--head", "ab" * 32) == 2


def test_on_a_chain(
    words: list[str],
    node: Node,
    place: list[str],
    tmp_path: Path,
    verified: Verified,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    assert run_command(*words, *place, "--out", str(out)) == 0
    found = verified(out, "--rpc", node.url)
    assert not failed(found)
    assert found["journal"] == "ok"
    assert run_command("verify", str(out)) == 2
    assert "give the URL of one of its nodes" in capsys.readouterr().err
    contract = read_seal(RunFolder(out))[1]["contract"]
    again = [*words, *place, "--contract", contract, "--out", str(tmp_path / "again")]
    assert run_command(*again) == 2
    assert "has this very plan already" in capsys.readouterr().err
    other = [*again[:-1], str(tmp_path / "other"), "--seed", "2"]
    assert run_command(*other) == 0
    assert not failed(verified(tmp_path / "other", "--rpc", node.url))
    assert not failed(verified(out, "--rpc", node.url)), "others on the contract do no harm"


def test_its_head_is_anchored(
    judged: Path, node: Node, place: list[str], tmp_path: Path, verified: Verified
) -> None:
    folder = copy_of(judged, tmp_path / "copy")
    assert run_command("anchor", str(folder.path), *place) == 0
    assert verified(folder.path, "--anchor-rpc", node.url)["anchor"] == "ok"


def test_what_does_not_fit_is_one_line(
    words: list[str], federation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = [word for word in words if word != "--ledger"]
    for more, said in (
        (["--rpc", "http://127.0.0.1:1"], "or say --ledger"),
        (["--ledger"], "say --out"),
        (["--ledger", "--out", str(tmp_path / "a"), "--contract", "0x00"], "needs a chain"),
        (["--ledger", "--out", str(tmp_path / "b"), "--rpc", "http://127.0.0.1:1"], "--keystore"),
    ):
        assert run_command(*bare, *more) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
