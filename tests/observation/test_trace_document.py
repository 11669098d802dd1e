"""docs/trace.md is true: its example runs, and its tables name what is in the files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from privaudit.engine.layout import Layout
from privaudit.observation.manifest import Manifest
from privaudit.observation.trace import Trace, TraceWriter

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "trace.md").read_text()
WRITE, READ = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the example leaves behind, in the file system and in its variables."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(200, 8)).astype(np.float32)
    np.savez("mine.npz", inputs=inputs, labels=rng.integers(0, 2, 200))
    variables: dict[str, object] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        exec(compile(WRITE, "docs/trace.md", "exec"), variables)
    return variables


def test_the_example_is_short() -> None:
    assert len(WRITE.splitlines()) <= 24


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
    assert first_column("| key | value |") == list(Manifest.model_fields)
    assert [key for key in Manifest.model_fields if key in manifest] == list(manifest)
    with safe_open("my-trace/round-000000.safetensors", "pt") as file:
        assert list(file.metadata()) == ["round"]
        facts = json.loads(file.metadata()["round"])
        always = DOCUMENT.split("| key | what |")[1].split("\n\n")[0]
        always = "\n".join(row for row in always.splitlines() if "| from 2:" not in row)
        assert re.findall(r"^\| `([^`]+)`", always, re.MULTILINE) == [
            "own_weight",
            "participants",
            "client_weights",
        ]
        assert set(facts) == {"own_weight", "participants", "client_weights"}
        assert set(file.keys()) <= set(first_column("| name | what |"))


def test_a_round_may_state_all_that_the_table_names(tmp_path: Path) -> None:
    layout, zero, buffers = Layout.of([("w", [3])]), torch.zeros(3), {"mean": torch.ones(2)}
    writer = TraceWriter(tmp_path / "t", zero, layout, quantum=0.5, buffers=buffers)
    writer.append(
        zero,
        zero,
        own_weight=0.5,
        participants=2,
        told={"clip": 1.0},
        before=zero,
        after=zero + 1,
        server_round=7,
        span=2,
        own_weight_known=False,
        buffers=buffers,
        own_buffers=buffers,
    )
    with safe_open(tmp_path / "t" / "round-000000.safetensors", "pt") as file:
        facts = json.loads(file.metadata()["round"])
        named = {name for row in first_rows("| name | what |") for name in row}
        assert {key.split("/")[0] for key in file.keys()} <= named  # noqa: SIM118
    assert sorted(first_column("| key | what |")) == sorted(facts)


def first_rows(header: str) -> list[list[str]]:
    """All names in the first cell of each row."""
    table = DOCUMENT.split(header)[1].split("\n\n")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.count("|") > 2]
    return [re.findall(r"`([^`]+)`", cell) for cell in cells]
