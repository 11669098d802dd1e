"""A run whose clients share running statistics: the adversary is sent them, and all else stays."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ledger_runs import run_command
from safetensors.torch import load_file

from privaudit.audit import run_audit
from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.observation.trace import Trace
from privaudit.scenario.grid import cells_of
from privaudit.scenario.load import load_scenario

TINY = (
    "runs=1",
    "data.records=900",
    "model.channels=[4]",
    "federation.participants=3",
    "federation.rounds=1",
    'audit.properties=["warm"]',
    "audit.rounds=6",
    "audit.batch_size=16",
    "audit.shadows=2",
    'audit.attacks=["linear"]',
    'audit.trajectory="own"',
    "report.devices=[]",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunFolder]:
    place = tmp_path_factory.mktemp("statistics")
    return {
        name: run_audit(
            load_scenario("resnet", [*TINY, f'local.statistics="{name}"']), place / name, workers=1
        )
        for name in ("kept", "shared")
    }


def trace_of(folder: RunFolder) -> Trace:
    (cell,) = cells_of(folder.scenario())
    return Trace.open(trace_folder(folder, cell))


def test_the_trace_has_what_the_adversary_was_sent(runs: dict[str, RunFolder]) -> None:
    trace = trace_of(runs["shared"])
    names = [row.name for row in trace.manifest.buffers]
    assert names[:3] == ["stem.1.running_mean", "stem.1.running_var", "stem.1.num_batches_tracked"]
    trained = load_file(runs["shared"].file("training", "run-0.safetensors"))["buffers"]
    handed_out = trained
    for seen in trace:
        assert seen.buffers_before is not None
        assert seen.buffers is not None
        assert seen.own_buffers is not None
        assert torch.equal(seen.buffers_before, handed_out)
        assert not torch.equal(seen.buffers, seen.own_buffers)
        handed_out = seen.buffers
    assert not trace_of(runs["kept"]).manifest.buffers


def test_deltas_and_scores_are_those_of_statistics_that_are_kept(
    runs: dict[str, RunFolder],
) -> None:
    """Training normalises by the batch either way: whoever looks at deltas sees no difference."""
    pairs = zip(*(trace_of(runs[name]) for name in ("kept", "shared")), strict=True)
    for kept, shared in pairs:
        assert torch.equal(kept.global_delta, shared.global_delta)
        assert torch.equal(kept.before, shared.before)
    rows = [runs[name].read_lines("records.jsonl") for name in ("kept", "shared")]
    assert rows[0][0]["scores"] == rows[1][0]["scores"]
    told = [runs[name].read_lines("training/run-0.jsonl")[0] for name in ("kept", "shared")]
    assert told[0]["test_loss"] != told[1]["test_loss"], "tested by other statistics"


def test_it_is_verified_and_the_report_says_so(
    runs: dict[str, RunFolder], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run_command("verify", str(runs["shared"].path)) == 0, capsys.readouterr().out
    (remark,) = runs["shared"].read_json("remarks.json")
    assert "averaged and handed out" in remark
