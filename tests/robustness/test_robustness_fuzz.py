"""Any bytes: read, or refused in one line; never anything else."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from privaudit.engine.layout import Layout
from privaudit.errors import UserError
from privaudit.observation.trace import Trace, TraceWriter
from privaudit.scenario.load import bundled, load_scenario

FRAGMENTS = [line for file in bundled().values() for line in file.read_text().splitlines()]
lines = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=30), max_size=25)


def one_line(error: UserError) -> None:
    assert len(str(error).splitlines()) == 1


def load(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mine.toml"
        file.write_bytes(content)
        try:
            load_scenario(str(file))
        except UserError as error:
            one_line(error)


@settings(max_examples=150)
@given(st.binary(max_size=300))
def test_any_bytes_as_a_scenario(content: bytes) -> None:
    load(content)


@settings(max_examples=150)
@given(lines)
def test_lines_of_scenarios_shuffled(chosen: list[str]) -> None:
    load("\n".join(chosen).encode("utf-8", "surrogatepass"))


keys = st.sampled_from(["audit", "audit.rounds", "data.x", "model.name", "sweep", "name", "runs"])


@settings(max_examples=150)
@given(keys | st.text(max_size=10), st.text(max_size=20))
def test_any_override(key: str, value: str) -> None:
    try:
        load_scenario("quickstart", [f"{key}={value}"])
    except UserError as error:
        one_line(error)


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz") / "trace"
    with TraceWriter(path, torch.zeros(8), Layout.of([("w", (2, 4))])) as writer:
        for number in range(2):
            delta = torch.full((8,), number + 1.0)
            writer.append(delta, delta, own_weight=0.5, participants=2)
    return path


NAMES = ["manifest.json", "initial.safetensors", "round-000000.safetensors"]


@settings(max_examples=150)
@given(name=st.sampled_from(NAMES), content=st.binary(max_size=200), prefix=st.integers(0, 60))
def test_any_bytes_as_a_file_of_a_trace(
    trace: Path, name: str, content: bytes, prefix: int
) -> None:
    """Whole rubbish, and rubbish behind a good beginning."""
    file = trace / name
    original = file.read_bytes()
    file.write_bytes(original[:prefix] + content)
    try:
        opened = Trace.open(trace)
        opened.check_digests()
        list(opened)
    except UserError as error:
        one_line(error)
    finally:
        file.write_bytes(original)
