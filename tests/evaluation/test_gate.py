"""A gate that silence does not open."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from measured_folders import dilution_folder
from report_content import record, scenario

from privaudit.canaries import Canaries
from privaudit.cli.gate import pass_or_leave
from privaudit.errors import UserError
from privaudit.evaluation.cells import table_cells
from privaudit.evaluation.gate import Gate, gate_of_run, refuse_gate
from privaudit.evaluation.records import Record
from privaudit.randomness import Seed
from privaudit.statistics.laws import d_prime
from privaudit.studies.dilution_curves import dilution_curves
from privaudit.studies.gates import gate_of_canaries, gate_of_dilution


def records(auc: float, *, runs: int = 10, rounds: int = 60, seed: int = 0) -> list[Record]:
    """Of an audit whose attack has this AUC."""
    made = scenario(runs=runs, audit={"rounds": rounds})
    rng = Seed(seed).generator("gate", str(auc))
    present = np.arange(rounds) % 2 == 1
    shift = float(d_prime(auc))
    found = []
    for run in range(runs):
        scores = rng.standard_normal(rounds) + shift * present
        one = record(made, run, "bold", "all", 1.0, 5, "linear")
        found.append(one.model_copy(update={"scores": scores.tolist()}))
    return found


def gate(of: list[Record], threshold: float = 0.6, **troubles: list[str]) -> Gate:
    return gate_of_run(of, table_cells(of), threshold, troubles)


def test_a_leak_above_it_is_found() -> None:
    found = gate(records(0.8))
    assert (found.outcome, found.passed) == ("found", False)
    assert "'bold' by linear, K = 5, 100 % shared: 0.8" in found.line


def test_a_small_leak_is_not_excluded_by_a_few_rounds() -> None:
    found = gate(records(0.5, runs=2, rounds=12))
    assert found.outcome == "not excluded"
    assert "of a blind attack about --seeds" in found.line


def test_a_blind_attack_on_enough_rounds_passes() -> None:
    found = gate(records(0.5))
    assert found.outcome == "excluded"
    assert json.loads(json.dumps(found.as_json()))["passed"]


def test_scores_that_point_the_wrong_way_do_not_pass() -> None:
    found = gate(records(0.44, runs=20))
    assert found.outcome == "not excluded"
    assert "scores turned round carry information" in found.line


def test_a_run_in_trouble_or_with_failures_does_not_pass() -> None:
    blind = records(0.5)
    assert gate(blind, bold=["the training diverged"]).line.endswith("the training diverged")
    failed = blind[0].model_copy(
        update={"status": "failed", "reason": "x", "scores": [], "present": []}
    )
    found = gate([failed, *blind[1:]])
    assert found.outcome == "not excluded"
    assert "runs failed" in found.line


@pytest.mark.parametrize("auc", [0.6, 0.4])
def test_at_the_threshold_it_opens_in_5_of_100_at_most(auc: float) -> None:
    repeats = 8  # benchmarks/statistics_dilution.py tries thousands
    passed = sum(gate(records(auc, seed=seed)).passed for seed in range(repeats))
    assert passed <= repeats * 0.05 + 3 * math.sqrt(repeats * 0.05 * 0.95)


@pytest.mark.parametrize("threshold", [0.5, 0.4, 1.01, math.nan])
def test_no_gate_at_a_blind_guess(threshold: float) -> None:
    with pytest.raises(UserError, match="is an AUC in"):
        refuse_gate(scenario(), threshold)


def test_no_gate_that_looks_away_from_rebuilt_records() -> None:
    both = scenario(reconstruction={"batch_sizes": [4]})
    with pytest.raises(UserError, match="rebuilt records"):
        refuse_gate(both, 0.6)


def test_of_a_dilution_measurement(tmp_path: Path) -> None:
    curves = dilution_curves(dilution_folder(tmp_path / "dilution"), threshold=0.6)
    found = gate_of_dilution(curves, 0.6)
    assert found.outcome == "found"
    assert "not harmless up to 16 honest clients" in found.line
    assert gate_of_dilution(curves, 1.0).outcome == "not excluded"  # what is told is never blind
    assert gate_of_dilution([], 0.6).outcome == "not excluded"
    lost = [replace(curve, failures=("out of memory",)) for curve in curves]
    assert "has failed runs (out of memory)" in gate_of_dilution(lost, 1.0).line


@pytest.mark.parametrize(
    ("claimed", "noise", "outcome"),
    [(3.0, 16.0, "excluded"), (1.0, 4.0, "not excluded"), (1.0, 1.0, "found"), (None, 4.0, "not")],
)
def test_of_canaries(claimed: float | None, noise: float, outcome: str) -> None:
    """ε = 1 is a multiplier of 4.1 for one round."""
    size = 2000
    canaries = Canaries(
        size, clip_norm=1.0, seed=1, count=400, claimed_epsilon=claimed, delta=1e-5, clients=5
    )
    stream = Seed(1).generator("noise")
    drawn = canaries.total(0).new_tensor(stream.standard_normal(size))
    canaries.hear(0, canaries.total(0) + noise * drawn)
    found = gate_of_canaries([canaries.result()])
    assert found.outcome.startswith(outcome), found.line


def test_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    import typer

    pass_or_leave(None)
    pass_or_leave(Gate("excluded", "nothing above it."))
    with pytest.raises(typer.Exit) as left:
        pass_or_leave(Gate("not excluded", "too few rounds"))
    assert left.value.exit_code == 1
    assert capsys.readouterr().err == "gate: nothing above it\ngate: too few rounds\n"
