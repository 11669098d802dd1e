"""docs/trace.md is true: its example runs, and its tables name what is in the files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from privaudit.observation.manifest import Manifest
from privaudit.observation.trace import Trace

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "trace.md").read_text()
WRITE, READ = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the example leaves behind, in the file system and in its variables."""
    monkeypatch.chdir(tmp_path)
    variables: dict[str, object] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        exec(compile(WRITE, "docs/trace.md", "exec"), variables)
    return variables


def test_the_example_is_short() -> None:
    assert len(WRITE.splitlines()) <= 20


def test_the_example_writes_what_its_loop_did(written: dict[str, object]) -> None:
    trace = Trace.open("my-trace")
    assert trace.whole
    assert trace.manifest.stated == {"lr": 0.1}
    *_, last = trace
    assert last.round == 4
    assert last.after.numpy().tobytes() == written["weights"].numpy().tobytes()
    honest = sum(written["deltas"][1:])
    torch.testing.assert_close(last.signal, honest)
    assert last.signal.norm() > 0


@pytest.mark.usefixtures("written")
def test_the_reader_prints_every_round(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(READ, "docs/trace.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1", "2", "3", "4"]


def first_column(header: str) -> list[str]:
    """Names in the first column of the table with this header row."""
    table = DOCUMENT.split(header)[1].split("\n\n")[0]
    return re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)


@pytest.mark.usefixtures("written")
def test_the_tables_name_every_key_and_no_other() -> None:
    manifest = json.loads(Path("my-trace/manifest.json").read_text())
    assert first_column("| key | value |") == list(manifest) == list(Manifest.model_fields)
    with safe_open("my-trace/round-000000.safetensors", "pt") as file:
        assert list(file.metadata()) == ["round"]
        facts = json.loads(file.metadata()["round"])
        assert sorted(first_column("| key | what |")) == sorted(facts)
        assert set(file.keys()) <= set(first_column("| name | what |"))
