"""What the second version of the format adds; the first is read as before."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from privaudit.engine.layout import Layout
from privaudit.errors import UserError
from privaudit.observation.manifest import Manifest, read_manifest
from privaudit.observation.trace import Trace, TraceWriter
from privaudit.observation.views import Observation

LAYOUT = Layout.of([("w", [5])])


def vector(seed: int) -> Tensor:
    return torch.randn(5, generator=torch.Generator().manual_seed(seed))


def add(writer: TraceWriter, number: int, **more: object) -> None:
    writer.append(vector(number), vector(-number), own_weight=0.5, participants=2, **more)  # type: ignore[arg-type]


def test_parameters_come_back_bit_for_bit_and_gaps_are_not_filled(tmp_path: Path) -> None:
    """Of random vectors, before + (after - before) is not after in every coordinate."""
    with TraceWriter(tmp_path / "t", vector(0), LAYOUT) as writer:
        add(writer, 1, after=vector(10) * 1e3, server_round=4)
        add(writer, 2, before=vector(11), after=vector(12), server_round=9, own_weight_known=False)
    first, second = Trace.open(tmp_path / "t")
    assert torch.equal(first.before, vector(0))
    assert torch.equal(first.after, vector(10) * 1e3)
    assert torch.equal(second.before, vector(11))
    assert torch.equal(second.after, vector(12))
    assert (first.server_round, second.server_round) == (4, 9)
    assert (first.own_weight_known, second.own_weight_known) == (True, False)


def test_buffers_come_back_and_must_stay_the_same_ones(tmp_path: Path) -> None:
    buffers = {"bn.mean": torch.ones(2), "bn.var": torch.full((2, 1), 3.0)}
    writer = TraceWriter(tmp_path / "t", vector(0), LAYOUT, buffers=buffers)
    add(writer, 1, buffers=buffers, own_buffers={n: 2 * b for n, b in buffers.items()})
    with pytest.raises(UserError, match="'buffers' has other names or shapes"):
        add(writer, 2, buffers={"bn.mean": torch.ones(2)})
    writer.close()
    [seen] = Trace.open(tmp_path / "t")
    assert seen.buffers is not None
    assert seen.own_buffers is not None
    assert seen.buffers.tolist() == [1, 1, 3, 3]
    assert seen.own_buffers.tolist() == [2, 2, 6, 6]


def test_what_was_rounded_is_not_taken_for_something() -> None:
    seen = Observation(0, vector(0), vector(1), vector(2), own_weight=0.25, participants=4)
    rounded = replace(seen, quantum=0.1)
    torch.testing.assert_close(rounded.rounding - seen.rounding, torch.full((5,), 0.4))


@pytest.mark.parametrize("torn", [False, True])
def test_a_writer_that_was_killed_goes_on_with_the_same_bytes(tmp_path: Path, torn: bool) -> None:
    with TraceWriter(tmp_path / "whole", vector(0), LAYOUT) as writer:
        for number in range(4):
            add(writer, number)
    killed = TraceWriter(tmp_path / "killed", vector(0), LAYOUT)
    for number in range(3 if torn else 2):
        add(killed, number)
    if torn:
        (tmp_path / "killed" / "round-000002.safetensors").write_bytes(b"half")
    with TraceWriter.resume(tmp_path / "killed") as writer:
        assert len(writer) == 2
        for number in range(2, 4):
            add(writer, number)
    files = {file.name: file.read_bytes() for file in (tmp_path / "whole").iterdir()}
    again = {file.name: file.read_bytes() for file in (tmp_path / "killed").iterdir()}
    assert {n: files[n] for n in files if n != "manifest.json"} == {
        n: again[n] for n in again if n != "manifest.json"
    }
    assert read_manifest(tmp_path / "whole").sha256 == read_manifest(tmp_path / "killed").sha256
    with pytest.raises(UserError, match="the trace is closed"):
        TraceWriter.resume(tmp_path / "whole")


def test_version_1_is_read(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t", vector(0), LAYOUT) as writer:
        add(writer, 1)
    file = tmp_path / "t" / "manifest.json"
    table = json.loads(file.read_text())
    assert table["version"] == 2
    file.write_text(json.dumps(table | {"version": 1}))
    [seen] = Trace.open(tmp_path / "t")
    assert torch.equal(seen.global_delta, vector(1))
    with pytest.raises(ValueError, match="version 1 has neither"):
        Manifest.model_validate(table | {"version": 1, "quantum": 0.5})
