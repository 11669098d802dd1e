"""docs/examples/lora, typed as its README says."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
from ledger_runs import run_command
from sklearn.metrics import roc_auc_score

from privaudit.attack.explaining import explain
from privaudit.attack.replicas import BRIEF

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "lora"
ROUNDS = 60
GIVEN = ("my-trace", "--auxiliary", "mine.npz", "--model", "tiny_lora:adapted")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the example left its files."""
    folder = tmp_path_factory.mktemp("lora")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(EXAMPLE)
        importlib.import_module("train").main(ROUNDS)
        importlib.import_module("tiny_lora").save_base("other.pt")
    return folder


@pytest.fixture(autouse=True)
def there(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    monkeypatch.syspath_prepend(EXAMPLE)
    # What is wrong here is plain to see: as closely as before an attack is enough, and a fifth of
    # the time of `check`.
    monkeypatch.setattr(explain, "__defaults__", (BRIEF,))


def test_only_what_is_trained_is_in_the_layout() -> None:
    manifest = json.loads(Path("my-trace/manifest.json").read_text())
    names = [row["name"] for row in manifest["layout"]]
    assert names == ["query.A", "query.B", "value.A", "value.B", "head.weight", "head.bias"]


def test_the_rules_explain_it_and_the_attack_finds_the_dialect(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command("check", *GIVEN) == 0
    capsys.readouterr()
    assert run_command("attack", *GIVEN, "--attack", "linear", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    (scores,) = (row["scores"] for row in answer["scores"])
    error = math.sqrt((ROUNDS + 1) / (3 * ROUNDS**2))  # of an AUC without difference
    assert roc_auc_score(np.load("truth.npy"), scores) > 0.5 + 4 * error


def test_other_rules_and_another_base_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = [*GIVEN, "--set", "local.optimiser=sgd", "--set", "lr=0.1"]
    assert run_command("check", *wrong) == 1
    assert "local.optimiser=adam" in capsys.readouterr().out
    assert run_command("check", *GIVEN, "--option", "checkpoint=other.pt") == 2
    assert "another base model" in capsys.readouterr().err
    assert run_command("check", *GIVEN, "--option", "checkpoint=nowhere.pt") == 2
    said = capsys.readouterr().err
    assert "cannot be built" in said
    assert said.count("\n") == 1
