"""When a property appears: from the scenario to the page, planted, absent and defended."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from audited_world import DEFENCE, audit
from scipy.stats import binomtest

from privaudit.attack.protocol import make_attack
from privaudit.attack.registry import load_attack
from privaudit.audit import run_audit
from privaudit.custody.folder import RunFolder
from privaudit.defences.transforms import Transforms
from privaudit.errors import UserError
from privaudit.evaluation.appearing import appearing
from privaudit.randomness import Seed
from privaudit.report.content import read_content
from privaudit.scenario.grid import cells_of
from privaudit.scenario.load import load_scenario
from privaudit.scenario.truth import presence
from privaudit.statistics.appearing import Appearance, appearance
from privaudit.verify.run import verify_run

SMALL = (
    "runs=4",
    "data.records=1600",
    "federation.rounds=1",
    "federation.participants=3",
    'audit.properties=["italic"]',
    "audit.rounds=16",
    'audit.attacks=["linear"]',
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    place = tmp_path_factory.mktemp("episodes") / "run"
    return run_audit(load_scenario("episodes", SMALL), place, workers=1)


def test_half_of_the_runs_hold_one_stretch() -> None:
    chosen = load_scenario("episodes", [*SMALL, "runs=40", "audit.episode=5"])
    truths = [presence(chosen, "0" * 64, cell) for cell in cells_of(chosen)]
    counts = [int(present.sum()) for present in truths]
    assert sorted(counts) == [0] * 20 + [5] * 20
    assert len({present.tobytes() for present in truths}) > 4


def test_the_run_says_when_and_verifies(finished: RunFolder) -> None:
    content = read_content(finished)
    (found,) = content.appearing
    assert (len(found.appeared), len(found.never)) == (2, 2)
    (cell,) = content.cells
    assert (cell.runs, cell.failures, cell.rounds) == (2, (), 32)  # runs without it have no AUC
    document = json.loads(finished.file("report/report.json").read_text())
    (row,) = document["appearing"]
    assert [run["run"] for run in row["runs"]] == [0, 1, 2, 3]
    for run, record in zip(row["runs"], content.records, strict=True):
        said = appearance(np.array(record.scores), record.seed)
        assert [run[key] for key in ("p_value", "start", "end", "alarm")] == [
            said.p_value,
            said.start,
            said.end,
            said.alarm,
        ]
    page = finished.file("report/index.html").read_text()
    for wanted in ("When it appears", "Of 2 runs in which &#39;italic&#39; appeared", "<svg"):
        assert wanted in page
    assert finished.file("report/figures/scores_by_round.svg").is_file()
    assert verify_run(finished.path).holds


def test_what_is_said_comes_from_scores_alone(finished: RunFolder) -> None:
    records = read_content(finished).records
    turned = [r.model_copy(update={"present": r.present[::-1]}) for r in records]
    said = [[run.said for run in one.runs] for one in appearing(records)]
    assert said == [[run.said for run in one.runs] for one in appearing(turned)]


def heard(place: Path, number: int, attack: str, start: int | None, **world: object) -> Appearance:
    """What an attack on one federation of 40 rounds says; ``start`` None = it never appears."""
    present = np.arange(40) >= (40 if start is None else start)
    made = audit(place / f"{number}", seed=number, presence=present, **world)  # type: ignore[arg-type]
    fitted = make_attack(load_attack(attack), {}, Seed(number))
    fitted.fit(made.trace.view(), made.adversary)
    return appearance(fitted.score(), 1)


def test_a_planted_appearance_is_found_and_dated(tmp_path: Path) -> None:
    found = [heard(tmp_path, n, "magnitude-stack", 14 + n) for n in range(3)]
    assert all(one.found for one in found)
    assert all(abs(one.start - 14 - n) <= 2 for n, one in enumerate(found))
    assert all(one.alarm is not None and 14 + n <= one.alarm for n, one in enumerate(found))


@pytest.mark.parametrize(
    ("start", "shift", "transforms"), [(None, 3.0, None), (20, 0.0, None), (20, 3.0, DEFENCE)]
)
def test_where_nothing_is_to_be_seen_nothing_is_found(
    tmp_path: Path, start: int | None, shift: float, transforms: Transforms | None
) -> None:
    """It never appears; it is a coin; the deltas drown in noise."""
    found = [
        heard(tmp_path, n, "linear", start, shift=shift, transforms=transforms).found
        for n in range(8)
    ]
    assert binomtest(sum(found), len(found), 0.05, alternative="greater").pvalue > 0.001


def test_what_does_not_go_with_episodes_is_refused() -> None:
    for override, what in (
        ("audit.targets=rotate", "one stretch of rounds"),
        ("audit.episode=9", "at most half of the 16 rounds, got 9"),
        ("audit.episode=3", "greater than or equal to 4"),
        ("runs=3", "at least 4 runs"),
    ):
        with pytest.raises(UserError, match=what):
            load_scenario("episodes", [*SMALL, override])
