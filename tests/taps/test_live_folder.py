"""The folder of a judged live run: its table again, its report, and that forgery is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ledger_runs import copy_of, run_command
from live_runs import MODEL, judge_words, live_run

import privaudit
from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import write_manifest, write_seal


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two federations, judged into ``run``."""
    place = tmp_path_factory.mktemp("live")
    runs = [live_run(place / f"{seed}", seed=seed) for seed in (1, 2)]
    words = [*judge_words(*runs), "--attack", "magnitude-stack", "--attack", "linear"]
    assert run_command(*words, "--out", str(place / "run"), "--json") == 0
    return place


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert run_command(*words) == 0
    return capsys.readouterr().out


def test_the_table_of_the_folder_is_that_of_the_judge(
    judged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [judged / "1", judged / "2"]
    words = [*judge_words(*runs), "--attack", "magnitude-stack", "--attack", "linear"]
    first = said(capsys, *words)
    assert said(capsys, "table", str(judged / "run")) == first
    rows = json.loads(said(capsys, "table", str(judged / "run"), "--format", "json"))
    assert [row["attack"] for row in rows] == ["magnitude-stack", "linear"]
    for row in rows:
        assert (row["runs"], row["with"], row["without"]) == (2, 12, 12)
        assert row["left_out"] == [[], []]
        assert row["auc"][1] <= row["auc"][0] <= row["auc"][2]
    assert rows[1]["auc"][0] > 0.9, "the property is plain to see"
    text = said(capsys, "table", str(judged / "run"), "--format", "csv")
    assert text.splitlines()[0].startswith("property,")


def test_a_program_opens_it(judged: Path) -> None:
    found = privaudit.open_run(judged / "run")
    assert list(found.cells["attack"]) == ["magnitude-stack", "linear"]
    assert (found.cells["low"] <= found.cells["value"]).all()
    assert len(found.table()) == 2
    assert found.figures == ["auc"]
    assert "<svg" in found.figure("auc").svg
    assert found.rebuilt.empty
    assert found.layers().empty
    assert "<svg" in found._repr_html_()
    assert "linear" in repr(found)


def test_federations_of_other_sizes_are_rows_of_their_own(
    judged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    larger = live_run(tmp_path / "larger", seed=3, clients=4)
    words = [*judge_words(judged / "1", larger), "--attack", "linear", "--json"]
    rows = json.loads(said(capsys, *words))
    assert [(row["participants"], row["runs"], len(row["rounds"])) for row in rows] == [
        (3, 1, 1),
        (4, 1, 1),
    ]


def test_the_report_is_made_again_to_the_byte(
    judged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy_of(judged / "run", tmp_path / "copy")
    page = folder.file("report", "index.html")
    before = page.read_bytes()
    page.unlink()
    assert said(capsys, "report", str(folder.path)).strip() == str(page)
    assert page.read_bytes() == before
    text = before.decode()
    assert "Rules of run 0, and who stated them" in text
    assert "--truth RUN/truth/run-1" in text


def checks(capsys: pytest.CaptureFixture[str], folder: Path, *more: str) -> dict[str, str]:
    """Check -> result of ``privaudit verify``."""
    capsys.readouterr()
    code = run_command("verify", str(folder), "--json", *more)
    found = json.loads(capsys.readouterr().out)
    assert code == (0 if found["verified"] else 1)
    return {check["name"]: check["result"] for check in found["checks"]}


def test_it_is_verified_and_with_the_model_attacked_again(
    judged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = checks(capsys, judged / "run")
    assert found.pop("scores") == "not checked"
    assert set(found.values()) == {"ok"}
    again = checks(capsys, judged / "run", "--model", MODEL)
    assert set(again.values()) == {"ok"}
    assert "seal.json has a checksum" in said(capsys, "verify", str(judged / "run"))


def edit_json(file: Path, change: Callable[[object], object]) -> None:
    file.write_text(json.dumps(change(json.loads(file.read_text())), indent=1) + "\n")


def forge_scores(folder: RunFolder) -> None:
    """The winner's scores, made the loser's."""
    for file in folder.file("scores", "run-0").glob("secret*.json"):
        edit_json(file, lambda found: found | {"linear": [-one for one in found["linear"]]})  # type: ignore[operator, index]


def forge_truth(folder: RunFolder) -> None:
    """Two rounds, one of each kind, swapped, so that the numbers stay."""
    files = sorted(folder.file("truth", "run-0").glob("round-*.json"))
    present = [json.loads(file.read_text())["present"] for file in files]
    for kind in (True, False):
        at = present.index(kind)
        edit_json(files[at], lambda row, kind=kind: row | {"present": not kind})  # type: ignore[operator, misc]


def forge_trace(folder: RunFolder) -> None:
    """A round of another federation, with its digest."""
    name = "round-000003.safetensors"
    source = folder.file("traces", "run-1")
    to = folder.file("traces", "run-0")
    (to / name).write_bytes((source / name).read_bytes())
    other = json.loads((source / "manifest.json").read_text())["sha256"][name]
    edit_json(
        to / "manifest.json",
        lambda table: table | {"sha256": table["sha256"] | {name: other}},  # type: ignore[operator, index]
    )


def forge_rounds(folder: RunFolder) -> None:
    """Scores moved by a round."""
    edit_json(
        folder.file("scores", "run-0", "rounds.json"),
        lambda rounds: [*rounds[1:], rounds[0]],  # type: ignore[index]
    )


FORGERIES = {
    "scores": (forge_scores, {"records"}),
    "truth": (forge_truth, {"truth", "records"}),
    "trace": (forge_trace, set()),
    "rounds": (forge_rounds, {"traces", "records"}),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_found(
    judged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """At once by hashes; and where all hashes were made again, too, by what follows from what."""
    forge, seen = FORGERIES[name]
    folder = copy_of(judged / "run", tmp_path / "copy")
    forge(folder)
    assert checks(capsys, folder.path)["files"] == "FAILED"
    (folder.path / "seal.json").unlink()
    write_manifest(folder)
    write_seal(folder, {"kind": "none"})
    found = checks(capsys, folder.path, "--model", MODEL)
    assert found["files"] == found["seal"] == "ok"
    wrong = {check for check, result in found.items() if result == "FAILED"}
    assert wrong >= seen | ({"scores"} if name in ("scores", "trace") else set()), found


def test_a_forgery_that_is_made_consistent_is_found_by_attacking_again(
    judged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scores, records, report, hashes: only the attack itself says that it is not its answer."""
    from privaudit.evaluation.live import judge_live
    from privaudit.evaluation.live_folder import kept_runs, read_live
    from privaudit.report.live import write_live

    folder = copy_of(judged / "run", tmp_path / "copy")
    forge_scores(folder)
    plan, settings = read_live(folder).plan, read_live(folder).settings
    again = judge_live(plan, kept_runs(folder, settings))
    rows = [record.model_dump(mode="json") for record in again.records]
    folder.write_lines("records.jsonl", rows)
    write_live(folder)
    write_manifest(folder)
    write_seal(folder, {"kind": "none"})
    assert "FAILED" not in checks(capsys, folder.path).values()
    found = checks(capsys, folder.path, "--model", MODEL)
    assert {name for name, result in found.items() if result == "FAILED"} == {"scores"}


def test_folders_that_cannot_be_used_and_verbs_that_do_not_fit(
    judged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = judge_words(judged / "1")
    assert run_command(*words, "--out", str(judged / "run")) == 2
    assert "not empty" in capsys.readouterr().err
    assert run_command("ledger", str(judged / "run")) == 2
    assert "this run was made without a ledger" in capsys.readouterr().err
    assert run_command("verify", str(judged / "run"), "--head", "00") == 2
    assert "this live run has no ledger" in capsys.readouterr().err
    other = judge_words(judged / "1", judged / "2")
    other[other.index(str(judged / "2" / "truth"))] = str(judged / "1" / "truth")
    assert run_command(*other, "--out", str(tmp_path / "none")) == 2
    assert "the trace is of run run-2, the truth of run run-1" in capsys.readouterr().err
    assert not (tmp_path / "none").exists(), "nothing half-written"


def test_without_the_secret_the_truth_is_as_it_says(
    judged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy_of(judged / "run", tmp_path / "copy")
    assert folder.file("truth", "run-0", "schedule.json").stat().st_mode & 0o777 == 0o600
    folder.file("truth", "run-0", "schedule.json").unlink()
    write_manifest(folder)
    write_seal(folder, {"kind": "none"})
    text = said(capsys, "verify", str(folder.path))
    assert "The secret of the schedule was not kept of run 0" in text
