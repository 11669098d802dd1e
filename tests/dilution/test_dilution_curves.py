"""The dilution curves from records whose truth is known, and the plans that lead to them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from measured_folders import dilution_folder
from scipy.stats import norm

from privaudit.accounting.claims import claim_over
from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError
from privaudit.evaluation.records import Record
from privaudit.games.ending import DEFENDED
from privaudit.scenario.load import load_scenario
from privaudit.scenario.schema import Scenario
from privaudit.studies import dilution_prices
from privaudit.studies.dilution import measure_dilution
from privaudit.studies.dilution_curves import Curve, dilution_curves, orders, read_dilution
from privaudit.studies.dilution_prices import price_points
from privaudit.studies.dilution_report import (
    HEADS,
    answers,
    conclusions,
    dilution_json,
    dilution_table,
    limits,
    write_dilution,
)
from privaudit.studies.dilution_words import answer_in_words

ROUNDS = 200


def scenario(runs: int) -> Scenario:
    return load_scenario("glyphs", [f"runs={runs}"])


def scores_of(d_prime: float, present: np.ndarray) -> np.ndarray:
    """Normal quantiles: no luck in them, so the AUC is that of d' up to 1 / rounds."""
    scores = np.empty(len(present))
    for label in (False, True):
        chosen = present == label
        count = int(chosen.sum())
        scores[chosen] = norm.ppf((np.arange(count) + 0.5) / count) + label * d_prime
    return scores


def record(plan: Scenario, run: int, participants: int, d_prime: float) -> Record:
    present = np.arange(ROUNDS) % 2 == 0
    return Record(
        scenario=plan.name,
        configuration=plan.model_dump(mode="json"),
        dataset={"name": "glyphs", "checksum": "0"},
        versions={},
        commit=None,
        run=run,
        seed=1,
        property="serif",
        rule="all",
        fraction=1.0,
        participants=participants,
        attack="linear",
        view="participant",
        status="ok",
        scores=list(scores_of(d_prime, present)),
        present=[bool(p) for p in present],
    )


def measured(folder: Path, d_primes: dict[int, float], runs: int = 6) -> list[Curve]:
    """Curves of a measurement in which K participants leave this d'."""
    plan = scenario(runs)
    run_folder = RunFolder(folder / "single-round")
    run_folder.write_json("scenario.json", plan.model_dump(mode="json"))
    records = [record(plan, run, k, d) for k, d in d_primes.items() for run in range(runs)]
    run_folder.write_lines("records.jsonl", [r.model_dump(mode="json") for r in records])
    return dilution_curves(folder, threshold=0.6)


def inverse_root(d1: float, participants: list[int]) -> dict[int, float]:
    return {k: d1 / np.sqrt(k - 1) for k in participants}


def test_exponent_of_an_inverse_root_law_is_found(tmp_path: Path) -> None:
    (curve,) = measured(tmp_path, inverse_root(2.0, [2, 5, 17, 65]))
    assert curve.honest == (1, 4, 16, 64)
    assert curve.power is not None
    exponent = curve.power.parameter("exponent")
    assert exponent.low < -0.5 < exponent.high
    assert not exponent.low < 0.0 < exponent.high  # it does fall: the fit has power


def test_answer_is_the_first_number_from_which_on_the_limits_are_within(tmp_path: Path) -> None:
    (curve,) = measured(tmp_path, {2: 2.0, 5: 0.0, 9: 1.0, 33: 0.0, 65: 0.0})
    assert curve.answer is not None
    assert curve.answer.measured == 32  # not 4: at 8 honest clients the leak is back
    said = answer_in_words(curve)
    assert "harmless from 32 honest clients up to the 64 measured" in said
    assert "100 % shared" in said
    assert "harmless with 32 to 64 honest clients" in answers([curve], 0.6)[0]


@pytest.mark.parametrize(
    ("d_prime", "runs", "said"),
    [
        (2.0, 6, "not harmless up to 16 honest clients: the AUC is 0.92"),
        (-0.7, 6, "carry information whose direction the adversary does not know"),
        (0.1, 2, "about 3 runs (here 2)"),
    ],
)
def test_what_is_not_shown_to_be_harmless(
    tmp_path: Path, d_prime: float, runs: int, said: str
) -> None:
    """An AUC of 0.32 was called 'below 0.6 from 4 honest clients on'."""
    (curve,) = measured(tmp_path, dict.fromkeys([2, 5, 17], d_prime), runs)
    assert curve.answer is not None
    assert curve.answer.measured is None
    assert said in answer_in_words(curve)
    headline = answers([curve], 0.6)[0]
    assert ("not shown to be" if runs == 2 else "not harmless for 1 of 1") in headline


def test_nothing_is_said_beyond_what_was_measured(tmp_path: Path) -> None:
    curves = measured(tmp_path, inverse_root(3.0, [2, 3, 5, 9]))
    text = " ".join([*answers(curves, 0.6), *conclusions(curves, 0.6), *map(str, curves)])
    assert "xtrapolat" not in text
    assert "fitted_low" not in json.dumps(dilution_json(read_dilution(tmp_path, threshold=0.6)))


def test_what_never_leaked_has_no_exponent(tmp_path: Path) -> None:
    (curve,) = measured(tmp_path, dict.fromkeys([2, 5, 17], 0.0))
    assert curve.power is curve.moment is None
    assert dilution_table([curve])["linear"].iloc[-1] == "–"


def test_attacks_are_ordered_over_the_runs_they_share(tmp_path: Path) -> None:
    plan = scenario(4)
    folder = RunFolder(tmp_path / "single-round")
    folder.write_json("scenario.json", plan.model_dump(mode="json"))
    rng = np.random.default_rng(0)
    rows = []
    for attack, gain in (("weak", 0.0), ("strong", 1.0), ("weak-too", 0.0)):
        for k in (2, 5):
            for run in range(4):
                made = record(plan, run, k, 1 + gain + rng.normal(0, 0.05))
                change = {"attack": attack}
                if (attack, run) == ("strong", 3):
                    change |= {"status": "failed", "reason": "x", "scores": [], "present": []}
                rows.append(made.model_copy(update=change).model_dump(mode="json"))
    folder.write_lines("records.jsonl", rows)
    curves = dilution_curves(tmp_path, threshold=0.6)
    found = {(o.ahead, o.behind): o for o in orders(curves) if o.told}
    assert set(found) == {("strong", "weak"), ("strong", "weak-too")}
    first = found["strong", "weak"].difference
    assert first is not None
    assert first.n_runs == 3
    (line,) = [line for line in conclusions(curves, 0.6) if line.startswith("Order")]
    assert "strong is ahead of weak by" in line
    assert "not in 1 of 3 comparisons" in line
    assert list(dilution_table(curves).columns) == [*HEADS, "weak", "strong", "weak-too"]


def test_whole_run_attacker_adds_up_evidence_of_a_run(tmp_path: Path) -> None:
    plan = load_scenario("glyphs", ["runs=8", "audit.schedule=dataset"])
    folder = RunFolder(tmp_path / "whole-run")
    folder.write_json("scenario.json", plan.model_dump(mode="json"))
    rng = np.random.default_rng(7)
    rows = []
    for participants in (2, 5):
        for run in range(8):
            present = run % 2 == 0
            base = record(plan, run, participants, 0.0)
            scores = rng.normal(0.5 if present else 0.0, 1.0, ROUNDS)  # AUC of one round: 0.64
            update = {"scores": list(scores), "present": [present] * ROUNDS, "pair": run // 2}
            rows.append(base.model_copy(update=update).model_dump(mode="json"))
    folder.write_lines("records.jsonl", rows)
    (curve,) = dilution_curves(tmp_path, threshold=0.6)
    assert curve.attacker == "whole-run"
    assert [interval.n_rounds for interval in curve.aucs] == [8, 8]  # one score a run
    # d' of the sum is 0.5 sqrt(200) = 7: every run with the property above every control.
    assert [interval.value for interval in curve.aucs] == [1.0, 1.0]
    # One whose other state failed is left out, and said to be.
    rows[0] |= {"status": "failed", "reason": "out of luck", "scores": [], "present": []}
    folder.write_lines("records.jsonl", rows)
    (curve,) = dilution_curves(tmp_path, threshold=0.6)
    assert [interval.n_runs for interval in curve.aucs] == [6, 8]


def test_failed_runs_are_counted(tmp_path: Path) -> None:
    plan = scenario(3)
    folder = RunFolder(tmp_path / "single-round")
    folder.write_json("scenario.json", plan.model_dump(mode="json"))
    good = [record(plan, run, k, 1.0) for k in (2, 5) for run in range(3)]
    failed = good[0].model_copy(
        update={"status": "failed", "reason": "out of luck", "scores": [], "present": []}
    )
    rows = [r.model_dump(mode="json") for r in [failed, *good[1:]]]
    folder.write_lines("records.jsonl", rows)
    (curve,) = dilution_curves(tmp_path, threshold=0.6)
    assert curve.failures == ("out of luck",)
    assert curve.aucs[0].n_runs == 2


def test_report_is_the_same_bytes_and_valid_json(tmp_path: Path) -> None:
    curves = measured(tmp_path, inverse_root(2.0, [2, 5, 9]))
    written = []
    for _ in range(2):
        write_dilution(RunFolder(tmp_path), read_dilution(tmp_path, threshold=0.6), threshold=0.6)
        files = sorted((tmp_path / "report").iterdir())
        written.append({file.name: file.read_bytes() for file in files})
    assert written[0] == written[1]
    assert set(written[0]) == {
        "dilution.csv",
        "dilution.json",
        "dilution.md",
        "dilution.svg",
        "index.html",
    }
    (document,) = json.loads(written[0]["dilution.json"])
    assert [point["participants"] for point in document["points"]] == [2, 5, 9]
    table = pd.read_csv(tmp_path / "report" / "dilution.csv")
    assert list(table["level"]) == [0.95] * 3
    assert list(table["told"]) == [test.told for test in curves[0].tests] == [True] * 3
    assert table["p_value"].le(table["q_value"]).all()
    assert all(text.endswith("*") for text in dilution_table(curves)["linear"][:3])
    assert list(dilution_table(curves)["honest clients"][:3]) == ["1", "4", "8"]
    assert any("Power, single-round attacker" in line for line in conclusions(curves, 0.6))


def test_what_is_not_said_fits_the_attackers_on_the_page(tmp_path: Path) -> None:
    """ "An attacker of a property that stays can do better" stood beside that very attacker."""
    both = dilution_curves(dilution_folder(tmp_path), threshold=0.6)
    alone = [curve for curve in both if curve.attacker == "single-round"]
    stays = "for the whole run can add up its rounds"
    assert any(stays in line for line in limits(scenario(2), alone))
    said = limits(scenario(2), both)
    assert not any(stays in line for line in said)
    assert any("whole-run attacker adds up 12 rounds" in line for line in said)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"participants": [2]}, "at least two numbers"),
        ({"participants": [5, 2]}, "must increase"),
        ({"participants": [1, 2]}, "greater than or equal to 2"),
        ({"runs": 1}, "at least 2 runs"),
        ({"whole_runs": 2}, "even number of runs, at least 4"),
        ({"whole_runs": 7}, "even number of runs, at least 4"),
        ({"whole_rounds": 2}, "--whole-rounds: must be at least 4"),
    ],
)
def test_plans_that_cannot_be_measured_are_refused(
    tmp_path: Path, changed: dict[str, object], message: str
) -> None:
    plan = {"participants": [2, 5], "runs": 2, "whole_runs": 4, "whole_rounds": 4} | changed
    with pytest.raises(UserError, match=message):
        measure_dilution(scenario(2), tmp_path / "out", **plan)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("threshold", [0.5, 0.2, 1.01, float("nan")])
def test_threshold_at_or_below_a_blind_guess_is_refused(tmp_path: Path, threshold: float) -> None:
    with pytest.raises(UserError, match="threshold must be in"):
        dilution_curves(tmp_path, threshold=threshold)


def priced(run: int, participants: int, defence: str, accuracy: float) -> Record:
    """A record that says what its defence cost the main task."""
    claim = claim_over(2.0, 10, 1e-5) if defence else None
    made = {"run": run, "defence": defence, "claim": claim, "facts": {DEFENDED: accuracy}}
    return record(scenario(4), run, participants, 0.0).model_copy(update=made)


def test_price_of_a_defence_by_number_of_clients_is_that_of_the_same_runs() -> None:
    """Runs differ by far more than the defence costs; what it costs is seen run by run."""
    plain = {run: 0.5 + 0.1 * run for run in range(4)}
    lost = {5: 0.30, 65: 0.02, 129: 0.01}
    records = [
        priced(run, k, name, accuracy - (lost[k] + 0.001 * run if name else 0.0))
        for k in lost
        for run, accuracy in plain.items()
        for name in ("", "dp")
    ]
    points = price_points(records, parameters=10_000)
    assert [(p.defence, p.participants) for p in points] == [
        *(("", k) for k in lost),
        *(("dp", k) for k in lost),
    ]
    found = [point.price.lost for point in points if point.defence]
    assert [interval.value for interval in found if interval] == pytest.approx(
        [0.3015, 0.0215, 0.0115]
    )
    assert [point.ratio for point in points] == [None] * 3 + [2.0 * 100 / k for k in lost]
    (said,) = dilution_prices.answers(points)
    assert "loses less than 0.05 of its accuracy from 65 clients on" in said
    (dear,) = dilution_prices.answers([p for p in points if p.participants == 5])
    assert "at no number measured" in dear
