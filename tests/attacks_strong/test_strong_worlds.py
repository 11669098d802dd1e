"""The whole attack: null, planted and synthetic worlds, few coordinates, many rounds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from audited_world import AuditedWorld, audit
from calibration import brier_score, calibration_p_value
from scipy.special import expit

from privaudit.attack.protocol import make_attack
from privaudit.errors import UserError
from privaudit.randomness import Seed
from privaudit.selftest.audits import audit as audit_of
from privaudit.selftest.optima import Change, Kind, OptimumWorld, best_in
from privaudit.statistics.laws import d_prime
from privaudit.statistics.roc import auc
from privaudit_attacks.magnitude_stack import MagnitudeStack


def world(folder: Path, name: str, **settings: object) -> AuditedWorld:
    return audit(folder / name, **settings)  # type: ignore[arg-type]


def probabilities(audited: AuditedWorld, **options: object) -> np.ndarray:
    attack = MagnitudeStack(seed=Seed(1), trees=30, **options)  # type: ignore[arg-type]
    return np.asarray(expit(attack.fit(audited.trace.view(), audited.adversary).score()))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> list[AuditedWorld]:
    """Weak leaks under seven honest clients: no round is beyond doubt."""
    folder = tmp_path_factory.mktemp("planted")
    return [world(folder, str(s), seed=s, shift=1.0, participants=5) for s in range(4)]


@pytest.fixture(scope="module")
def null(tmp_path_factory: pytest.TempPathFactory) -> list[AuditedWorld]:
    folder = tmp_path_factory.mktemp("null")
    return [world(folder, str(s), seed=s, shift=0.0, participants=5) for s in range(4)]


def pooled(worlds: list[AuditedWorld]) -> tuple[np.ndarray, np.ndarray]:
    said = np.concatenate([probabilities(w) for w in worlds])
    return said, np.concatenate([w.present for w in worlds])


def test_probabilities_mean_what_they_say_where_there_is_a_leak(
    planted: list[AuditedWorld],
) -> None:
    said, present = pooled(planted)
    assert brier_score(said, present) < 0.22
    assert calibration_p_value(said, present, np.random.default_rng(1), n_bins=5) > 0.001


def test_probabilities_stay_near_one_half_where_there_is_none(null: list[AuditedWorld]) -> None:
    said, present = pooled(null)
    assert brier_score(said, present) < 0.28
    assert np.abs(said - 0.5).mean() < 0.15
    error = math.sqrt((len(present) + 1) / (3 * len(present) ** 2))
    assert abs(auc(said, present) - 0.5) < 4.5 * error


def test_few_coordinates_and_few_rows_still_find_it(planted: list[AuditedWorld]) -> None:
    audited = planted[0]
    said = probabilities(audited, coordinates=60, rows=64)
    assert auc(said, audited.present) > 0.65


def test_scoring_twice_says_the_same(planted: list[AuditedWorld]) -> None:
    attack = MagnitudeStack(seed=Seed(1), trees=10)
    attack.fit(planted[0].trace.view(), planted[0].adversary)
    assert attack.score().tobytes() == attack.score().tobytes()


def test_stand_ins_are_thinned_and_stay_balanced(planted: list[AuditedWorld]) -> None:
    attack = MagnitudeStack(seed=Seed(1), rows=100, trees=5)
    attack.fit(planted[0].trace.view(), planted[0].adversary)
    attack.score()
    kept = attack._learned
    assert 32 <= sum(len(block.present) for block in kept) <= 100
    assert all(block.present.mean() == 0.5 for block in kept)
    assert {half for block in kept for half in block.halves} == {0, 1}


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_a_known_share_is_kept(planted: list[AuditedWorld], share: float) -> None:
    assert probabilities(planted[0], share=share).mean() == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize("share", [-0.1, 1.0, 1, "half", None])
def test_an_impossible_share_is_refused(share: object) -> None:
    with pytest.raises(UserError, match=r"option 'share' = .*; allowed: .* in \(0, 1\)"):
        make_attack(MagnitudeStack, {"share": share}, Seed(1))


@pytest.mark.parametrize(
    ("change", "model", "participants"),
    [("mean", "hidden", 2), ("variance", "linear", 2), ("mixture", "hidden", 4)],
)
def test_it_is_near_the_optimum_where_that_is_known(
    change: Change, model: Kind, participants: int
) -> None:
    """On the very rounds attacked: not above it but by chance, and most of the d' is reached."""
    size = 3.0 if change == "variance" else 0.7
    world = OptimumWorld(change, model, participants, rounds=80, size=size, records=2000)
    best, own = best_in(world)
    done = audit_of(world, Seed(3), [best, own, MagnitudeStack])
    found = {one.attack: auc(np.array(one.scores), np.array(one.present)) for one in done.scored}
    error = math.sqrt(81 / (3 * 80**2))
    assert found[best.name] > 0.65
    assert found[MagnitudeStack.name] < found[best.name] + 1.5 * error  # paired: much closer
    assert d_prime(found[own.name]) > 0.6 * d_prime(found[best.name])
    assert d_prime(found[MagnitudeStack.name]) > 0.7 * d_prime(found[best.name])


def test_a_property_that_stays_is_told_from_the_sum_over_a_run(tmp_path: Path) -> None:
    """Runs with it against control runs: by chance 5 and 5 are parted in 1 of 252."""
    totals = {
        always: [
            MagnitudeStack(seed=Seed(1), trees=20).fit(w.trace.view(), w.adversary).score().sum()
            for seed in range(5)
            for w in [
                world(
                    tmp_path,
                    f"{always}-{seed}",
                    seed=seed + 10 * always,
                    participants=3,
                    rounds=12,
                    always=always,
                )
            ]
        ]
        for always in (True, False)
    }
    assert min(totals[True]) > max(totals[False])
