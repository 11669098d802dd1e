"""What the command line says when an attack fails, ends its process, or is not what it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import TINY, Finished, privaudit_process

PLUGINS = Path(__file__).resolve().parents[1] / "support" / "plugins"


def run(*arguments: str, cwd: Path) -> Finished:
    return privaudit_process(*arguments, cwd=cwd, PYTHONPATH=str(PLUGINS))


def attacks(*names: str, **options: str) -> list[str]:
    chosen = ["--set", f"audit.attacks={json.dumps(names)}", "--set", "ledger.enabled=false"]
    for name, value in options.items():
        chosen += ["--set", f"attack_options.boom.{name}={value}"]
    return chosen


@pytest.mark.parametrize("kind", ["KeyError", "osexit"])
def test_one_attack_fails_and_the_other_is_scored(tmp_path: Path, kind: str) -> None:
    done = run("run", *TINY, *attacks("boom", "linear", kind=kind), "--out", "run", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "failed: attack 'boom' failed: " in done.out
    rows = [json.loads(row) for row in (tmp_path / "run/records.jsonl").read_text().splitlines()]
    assert [(row["attack"], row["status"]) for row in rows] == [
        ("boom", "failed"),
        ("linear", "ok"),
    ]


def test_without_any_scores_the_exit_code_is_1(tmp_path: Path) -> None:
    kind = "SystemExit"
    done = run("run", *TINY, *attacks("boom", kind=kind), "--out", "run", cwd=tmp_path)
    assert done.code == 1
    assert "failed: attack 'boom' failed: SystemExit: from a plugin" in done.out
    assert "no cell has scores; tracebacks: run/failures" in done.err
    (file,) = (tmp_path / "run" / "failures").rglob("*.txt")
    assert "misbehaving.py" in file.read_text()


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the trace of a finished run, whose rules are no defaults, and own records."""
    place = tmp_path_factory.mktemp("trace")
    rules = ["federation.clip_norm=0.5", "federation.noise=0.001", "federation.norm_bound=100.0"]
    rules += ["audit.property_share=0.5", "audit.others=natural", "audit.lr=0.05"]
    sets = [part for rule in rules for part in ("--set", rule)]
    done = run("run", *TINY, *attacks("linear"), *sets, "--out", "run", cwd=place)
    assert done.code == 0, done.err
    rng = np.random.default_rng(3)
    np.savez(
        place / "mine.npz",
        inputs=rng.integers(0, 256, (60, 28, 28), dtype=np.uint8),
        labels=rng.integers(0, 10, 60),
        bold=np.arange(60) % 2,
    )
    return place


def attack(trace: Path, *more: str) -> Finished:
    (folder,) = (trace / "run" / "traces" / "run-0").iterdir()
    # These are not the records that the adversary trained on.
    return run("attack", str(folder), "--auxiliary", "mine.npz", "--force", *more, cwd=trace)


def test_a_trace_of_the_simulator_states_every_rule(trace: Path) -> None:
    """Model included: nothing has to be said, and nothing is assumed."""
    done = attack(trace, "--attack", "linear")
    assert done.code == 0, done.err
    said = done.out.split("who stated them: ")[1].splitlines()[0]
    for rule in (
        "model cnn (trace)",
        "clip_norm 0.5 (trace)",
        "noise 0.001 (trace)",
        "norm_bound 100.0 (trace)",
        "property_share 0.5 (trace)",
        "others natural (trace)",
        "persistent False (trace)",
        "lr 0.05 (trace)",
    ):
        assert rule in said
    assert "(default)" not in said
    assert "lr 0.2 (option)" in attack(trace, "--attack", "linear", "--set", "lr=0.2").out


@pytest.mark.parametrize("name", ["boom", "moody"])
def test_an_attack_that_fails_on_a_trace_is_one_line(trace: Path, name: str) -> None:
    done = attack(trace, "--attack", name)
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert f"attack '{name}' failed: " in line
