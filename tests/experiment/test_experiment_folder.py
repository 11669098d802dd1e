"""The run folder: whole files or none, one writer at a time, no NaN."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from filelock import FileLock

from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError
from privaudit.scenario.load import load_scenario

SCENARIO = load_scenario("quickstart")


def test_a_new_folder_holds_the_resolved_scenario(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "a" / "run", SCENARIO, resume=False) as folder:
        assert folder.scenario() == SCENARIO
    assert RunFolder.open(tmp_path / "a" / "run").scenario() == SCENARIO


def test_resuming_needs_the_same_scenario(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, SCENARIO, resume=False):
        pass
    with RunFolder.create(tmp_path, SCENARIO, resume=True):
        pass
    other = load_scenario("quickstart", ["seed=2"])
    with pytest.raises(UserError, match="belongs to another scenario"):
        RunFolder.create(tmp_path, other, resume=True).__enter__()


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"), pytest.raises(UserError, match="in use by another run"):
        RunFolder.create(tmp_path, SCENARIO, resume=False).__enter__()
    with RunFolder.create(tmp_path, SCENARIO, resume=False):
        pass


def test_the_lock_is_released_when_a_run_fails(tmp_path: Path) -> None:
    def run() -> None:
        with RunFolder.create(tmp_path, SCENARIO, resume=False):
            raise RuntimeError("no power")

    with pytest.raises(RuntimeError, match="no power"):
        run()
    with RunFolder.create(tmp_path, SCENARIO, resume=True):
        pass


def test_a_file_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    folder.write_text("deep/file.txt", "before")
    original = Path.write_text

    def half(path: Path, text: str, **settings: str) -> int:
        original(path, text[: len(text) // 2], **settings)
        raise OSError("disk full")

    def never(path: Path, target: Path) -> Path:
        raise OSError("disk full")

    for method, failing in (("write_text", half), ("replace", never)):
        with monkeypatch.context() as patch:
            patch.setattr(Path, method, failing)
            with pytest.raises(OSError, match="disk full"):
                folder.write_text("deep/file.txt", "afterwards")
        assert (tmp_path / "deep" / "file.txt").read_text() == "before"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_of_a_run_holds_no_nan(tmp_path: Path, value: float) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.write_json("a.json", {"x": value})
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.write_lines("a.jsonl", [{"x": value}])
    assert list(tmp_path.iterdir()) == []


def test_json_is_the_same_bytes_whatever_the_order_of_the_keys(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    first = folder.write_json("a.json", {"x": 1, "a": [1, 2]}).read_bytes()
    assert folder.write_json("b.json", {"a": [1, 2], "x": 1}).read_bytes() == first
    lines = folder.write_lines("c.jsonl", [{"b": 1, "a": 2}, {}]).read_text()
    assert lines == '{"a": 2, "b": 1}\n{}\n'
    assert folder.read_lines("c.jsonl") == [{"a": 2, "b": 1}, {}]
    assert folder.read_json("a.json") == {"a": [1, 2], "x": 1}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"nonsense"])
def test_what_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.json: cannot be read"):
        folder.read_json("a.json")
    if content:
        with pytest.raises(UserError, match=r"a\.json: cannot be read"):
            folder.read_lines("a.json")
    with pytest.raises(UserError, match=r"gone\.jsonl.*may not be finished"):
        folder.read_lines("gone.jsonl")


def test_a_damaged_scenario_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run folder"):
        RunFolder.open(tmp_path)
    (tmp_path / "scenario.json").write_text(json.dumps({"name": "x"}))
    with pytest.raises(UserError, match=r"scenario\.json: nothing is asked"):
        RunFolder.open(tmp_path).scenario()


def test_nesting_too_deep_for_the_stack_is_one_line(tmp_path: Path) -> None:
    """The chain library lifts Python's own limit; the process would crash."""
    import sys

    folder, before = RunFolder(tmp_path), sys.getrecursionlimit()
    folder.file("plan.json").write_text("[" * 100_000)
    sys.setrecursionlimit(100_000)
    try:
        with pytest.raises(UserError, match="nested too deeply"):
            folder.read_json("plan.json")
        assert sys.getrecursionlimit() == 100_000
    finally:
        sys.setrecursionlimit(before)
