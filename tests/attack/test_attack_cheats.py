"""Cheats stay at chance: nothing an attack is handed, or can find, leads to the truth.

The world (``cheats.toml``) is one where nothing can be inferred: whatever scores off 0.5 has
cheated. ``benchmarks/attacks/cheats.py`` measures the same with intervals.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import privaudit_process
from sklearn.metrics import roc_auc_score

from privaudit.attack.scoring import in_step, score_in_step
from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.experiment.attacking import attack_cells
from privaudit.experiment.training import train_run
from privaudit.games.property import observe_cells
from privaudit.observation.trace import Trace
from privaudit.randomness import Seed
from privaudit.scenario.grid import cells_of
from privaudit.scenario.load import load_scenario
from privaudit.world import World, load_world

PLUGINS = Path(__file__).resolve().parents[1] / "support" / "plugins"
SCENARIO = PLUGINS / "cheats.toml"
CHEATS = ("peek", "guess", "frames", "collector", "files", "memory", "commands")
LOOK_AROUND = ("frames", "collector", "files")
RUNS, ROUNDS = 3, 40
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "threat-model.md"
DEVIATIONS = 4.5
"""Standard errors an AUC may be away from chance: 7e-6 of a false alarm."""
CHANCE_ERROR = math.sqrt((ROUNDS + 1) / (12 * (ROUNDS / 2) ** 2) / RUNS)
"""Of the mean AUC of runs whose scores say nothing (Mann-Whitney); less where scores are tied."""


def aucs(folder: Path) -> dict[str, list[float]]:
    """Attack -> the AUC in each run."""
    found: dict[str, list[float]] = {}
    for line in (folder / "records.jsonl").read_text().splitlines():
        record = json.loads(line)
        assert record["status"] == "ok", record["reason"]
        auc = float(roc_auc_score(record["present"], record["scores"]))
        found.setdefault(record["attack"], []).append(auc)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="files are refused on Linux only")
def test_cheats_stay_at_chance(tmp_path: Path) -> None:
    """As a user runs them, in a folder where another run of the same scenario has ended."""
    if not _can_confine():
        pytest.skip("this system has no Landlock")
    shutil.copy(SCENARIO, tmp_path)
    for name in ("first", "second"):
        out = str(tmp_path / "runs" / name)
        done = privaudit_process(
            *("run", str(tmp_path / "cheats.toml"), "--out", out, "--quiet"),
            cwd=tmp_path,
            PYTHONPATH=str(PLUGINS),
        )
        # There are scores; the noise drowns the model as well, which is said, and exit code 1.
        assert (done.code, "every federation diverged" in done.err) == (1, True), done.err
    found = aucs(tmp_path / "runs" / "second")
    assert set(found) == set(CHEATS)
    for cheat, values in found.items():
        assert len(values) == RUNS
        assert abs(np.mean(values) - 0.5) < DEVIATIONS * CHANCE_ERROR, (cheat, values)


def test_the_document_says_what_each_cheat_finds_and_whom_one_trusts() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\| `(\w+)` +\| 0\.\d\d \[", text, flags=re.MULTILINE)) == CHEATS
    said = " ".join(text.split())
    assert "**Plug-ins and models are trusted code.** They are Python that you installed" in said


def _can_confine() -> bool:
    """Tried in a process of its own, as it is for good."""
    import subprocess

    program = "from privaudit.attack.confine import Readable, confine\n"
    program += "raise SystemExit(not confine(Readable(('/',))))"
    return subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, RunFolder]:
    """The same world, observed and not attacked yet."""
    place = tmp_path_factory.mktemp("cheats")
    changes = ["runs=1", f"audit.attacks={json.dumps(LOOK_AROUND)}"]
    scenario = load_scenario(str(SCENARIO), changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PLUGINS))
        made = load_world(scenario.model_dump_json(), None)
        folder = RunFolder(place / "run")
        folder.write_json("scenario.json", scenario.model_dump(mode="json"))
        train_run(made, folder, 0)
        observe_cells(made, folder, cells_of(scenario))
    return made, folder


def test_the_cheats_would_find_it_in_the_process_that_observed(
    observed: tuple[World, RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else their staying at chance would say nothing."""
    made, folder = observed
    monkeypatch.syspath_prepend(str(PLUGINS))
    monkeypatch.chdir(folder.path)
    monkeypatch.setattr(
        "privaudit.experiment.attacking.score_apart",
        lambda hearings, views, **_: score_in_step(hearings, in_step(views)),
    )
    (cell,) = cells_of(made.scenario)
    truth = np.where(made.presence(cell), 1.0, -1.0)
    for cheat, scores in attack_cells(made, folder, [cell])[cell].scores.items():
        assert np.array_equal(scores, truth), cheat


def test_the_noise_of_others_is_not_that_of_a_guessed_seed(
    observed: tuple[World, RunFolder],
) -> None:
    """An attacker that could recompute it would subtract it: its own shows whether it guessed."""
    made, folder = observed
    (cell,) = cells_of(made.scenario)
    seen = next(iter(Trace.open(trace_folder(folder, cell))))
    size = len(seen.own_delta)
    for root in (made.scenario.seed, *range(20)):
        for secret in (None, "", "glyphs"):
            node = Seed(root).child("run", 0).child("audit", "bold")
            stream = node if secret is None else node.opaque(secret)
            drawn = stream.child("client", 0, "round", 0).torch_generator("noise")
            noise = np.asarray(_normal(size, drawn))
            alike = np.corrcoef(noise, seen.own_delta.numpy())[0, 1]
            assert abs(alike) < DEVIATIONS / math.sqrt(size)


def _normal(size: int, generator: object) -> object:
    import torch

    return torch.randn(size, generator=generator)  # type: ignore[call-overload]
