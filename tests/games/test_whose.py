"""The game whose: with a list of who took part sums tell whose it is, without one nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from privaudit.attack.apart import packed, unpacked
from privaudit.attack.protocol import make_attack
from privaudit.attack.registry import load_attack
from privaudit.attack.whose import Reading, WhoseAttack
from privaudit.audit import run_audit
from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.errors import UserError
from privaudit.evaluation.records import parse_records
from privaudit.games import GAMES
from privaudit.games.whose import published
from privaudit.observation.public import SummedRound
from privaudit.observation.trace import Trace
from privaudit.observation.views import Observation, ParticipantView, SumView
from privaudit.randomness import Seed
from privaudit.scenario.grid import cells_of
from privaudit.scenario.load import load_scenario
from privaudit.scenario.schema import Scenario
from privaudit.verify.run import verify_run
from privaudit.world import load_world

ATTACKS = ("whose-contrast", "whose-least-squares")
CLIENTS, COHORT, ROUNDS = 31, 8, 200

SMALL = (
    "runs=2",
    "data.records=1200",
    "federation.participants=9",
    "federation.cohort=4",
    "federation.adversary_share=0.2",
    "model.channels=[3]",
    "model.hidden=6",
    "audit.rounds=12",
    "audit.batch_size=8",
    "audit.shadows=4",
    "audit.keep_traces=true",
    'whose.ledgers=["listed", "claims-4", "unlisted"]',
)


def small(*more: str) -> Scenario:
    return load_scenario("whose", [*SMALL, *more])


class Made:
    """Stands in for what the game gives, with a reading that is made up."""

    def __init__(self, sums: np.ndarray, contributors: np.ndarray) -> None:
        self.clients, self._reading = CLIENTS, Reading(sums, contributors)

    def reading(self) -> Reading:
        return self._reading


def scores(
    name: str, holds: np.ndarray, says: str, *, effect: float, seed: int, drift: float = 0.0
) -> np.ndarray:
    """Sums to which a holder adds ``effect``, in units of what a delta's batch adds."""
    rng = np.random.default_rng(seed)
    rounds = [list(np.sort(rng.choice(CLIENTS, COHORT, replace=False))) for _ in range(ROUNDS)]
    others = [[c for c in cohort if c] for cohort in rounds]
    sums = np.array([effect * sum(holds[c - 1] for c in cohort) for cohort in others])
    counts = np.array([len(cohort) for cohort in others])
    sums = sums + np.sqrt(counts) * rng.standard_normal(ROUNDS)
    sums = sums + drift * counts * (1 + np.arange(ROUNDS) / ROUNDS)
    attack, given = make_attack(load_attack(name), {}, Seed(1)), Made(sums, counts)
    assert isinstance(attack, WhoseAttack)
    for said in published([[int(c) for c in cohort] for cohort in rounds], says):
        took_part = {int(client): times for client, times in said.items()}
        attack.listen(SummedRound(None, took_part), given)  # type: ignore[arg-type]
    return attack.answer()


def areas(name: str, says: str, effect: float, drift: float = 0.0, seeds: int = 6) -> list[float]:
    found = []
    for seed in range(seeds):
        rng = np.random.default_rng(100 + seed)
        holds = rng.permutation(np.arange(CLIENTS - 1) % 2 == 0)
        read = scores(name, holds, says, effect=effect, seed=seed, drift=drift)
        found.append(float(roc_auc_score(holds, read)))
    return found


@pytest.mark.parametrize("name", ATTACKS)
def test_with_the_list_sums_tell_whose_it_is(name: str) -> None:
    assert np.mean(areas(name, "listed", effect=2.0)) > 0.95


@pytest.mark.parametrize("name", ATTACKS)
def test_where_no_client_differs_nothing_is_told(name: str) -> None:
    found = areas(name, "listed", effect=0.0, seeds=20)
    assert abs(np.mean(found) - 0.5) < 4.5 * np.sqrt(31 / (12 * 15**2) / 20)


@pytest.mark.parametrize("name", ATTACKS)
def test_claims_tell_less_the_rarer_they_are_and_no_list_tells_nothing(name: str) -> None:
    each, some = (np.mean(areas(name, says, effect=2.0)) for says in ("listed", "claims-10"))
    assert each - some > 0.1
    assert areas(name, "unlisted", effect=5.0) == [0.5] * 6
    assert areas(name, f"claims-{ROUNDS}", effect=5.0) == [0.5] * 6


@pytest.mark.parametrize("name", ATTACKS)
def test_what_drifts_over_the_rounds_is_taken_out(name: str) -> None:
    plain, drifting = (np.mean(areas(name, "listed", 2.0, drift)) for drift in (0.0, 20.0))
    assert drifting > plain - 0.05


def test_all_at_once_is_ahead_of_one_by_one_where_sums_are_clear() -> None:
    """Others in the sum are noise to who looks at one client, and none to who looks at all."""
    one, all_ = (np.mean(areas(name, "listed", effect=1.0, seeds=12)) for name in ATTACKS)
    assert all_ > one - 0.005


@pytest.mark.parametrize("says", ["listed", "claims-3", "claims-7", "unlisted"])
def test_what_is_published_adds_up_to_who_took_part(says: str) -> None:
    rounds = [[0, 1], [1, 2], [2], [], [0, 2], [1], [1, 2], [0]]
    rows = list(published(rounds, says))
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row)
    true = Counter(str(client) for cohort in rounds for client in cohort)
    assert len(rows) == len(rounds)
    assert total == (Counter() if says == "unlisted" else true)
    said = [number for number, row in enumerate(rows, 1) if row]
    every = {"listed": 1, "claims-3": 3, "claims-7": 7}.get(says)
    assert all(number % every == 0 or number == 8 for number in said if every)


def test_rounds_reach_the_process_for_attacks_whole() -> None:
    seen = Observation(3, torch.zeros(2), torch.ones(2), torch.zeros(2), 0.0, 4)
    again = unpacked(packed(SummedRound(seen, {1: 2})))
    assert isinstance(again, SummedRound)
    assert (again.took_part, again.seen.round, again.seen.participants) == ({1: 2}, 3, 4)
    assert torch.equal(again.seen.global_delta, seen.global_delta)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_audit(small(), tmp_path_factory.mktemp("whose") / "run", workers=1)


def test_a_run_has_records_over_clients_and_verifies(finished: RunFolder) -> None:
    records = parse_records(finished.read_lines("records.jsonl"), where="")
    assert {(r.game, r.view, r.status) for r in records} == {("whose", "sum", "ok")}
    assert {len(r.scores) for r in records} == {8}
    by_run: Mapping[int, Sequence[bool]] = {r.run: r.present for r in records}
    assert all(sum(present) == 4 for present in by_run.values())
    assert all(r.present == by_run[r.run] for r in records)
    assert all(np.ptp(r.scores) == 0 for r in records if r.property.endswith("unlisted"))
    assert not [one for one in verify_run(finished.path).checks if one.problems]
    page = finished.file("report", "report.md").read_text(encoding="utf-8")
    assert "clients whose records have the property" in page


def test_the_trace_holds_sums_and_no_list_and_ledgers_are_of_one_federation(
    finished: RunFolder,
) -> None:
    cells = [cell for cell in cells_of(small()) if cell.run == 0]
    traces = [list(Trace.open(trace_folder(finished, cell))) for cell in cells]
    for rounds in zip(*traces, strict=True):
        assert all(torch.equal(rounds[0].global_delta, one.global_delta) for one in rounds)
        assert all(not one.client_deltas for one in rounds)
        assert {one.participants for one in rounds} == {4}
    told = {cell.property: list(GAMES["whose"].view(finished, cell)) for cell in cells}
    assert all(sum(one.took_part.values()) == 4 for one in told["whose-bold-listed"])
    assert not any(one.took_part for one in told["whose-bold-unlisted"])


def test_a_holder_trains_on_records_with_the_property_and_others_do_not() -> None:
    from privaudit.games.whose import _plan, _seed

    world = load_world(small().model_dump_json(), None)
    cell = cells_of(small())[0]
    phase = world.audited_phase(cell.rule, cell.fraction, cell.participants)
    plan, bold = _plan(world, cell, phase, _seed(world, cell)), world.dataset.properties["bold"]
    holds = world.presence(cell)
    for number in range(12):
        work = plan(number)
        assert len(work) == 4
        for item in (one for one in work if one.client):
            assert set(bold[np.concatenate(item.batches)]) == {int(holds[item.client - 1])}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("federation.participants=4", "federation.cohort=2"), "at least 5 participants"),
        (('audit.threat_model="server"',), "need not ask"),
        (('whose.ledgers=["claims-200"]',), "smaller N"),
        (('whose.ledgers=["claims-1"]',), "claims-50"),
        (('whose.ledgers=["never"]',), "claims-50"),
        (('audit.schedule="episodes"', "runs=4"), "single-batch"),
        (("audit.colluders=1", "federation.cohort=null"), "alone"),
        (('whose.attacks=["whose-contrast"]', "attack_options.linear.dimensions=5"), "linear"),
    ],
)
def test_what_cannot_be_asked_is_refused(settings: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_scenario("whose", list(settings))


def test_attacks_need_sums_alone() -> None:
    assert {load_attack(name).view for name in ATTACKS} == {SumView}
    assert issubclass(ParticipantView, SumView)


def test_an_unknown_property_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"whose\.properties"):
        run_audit(small('whose.properties=["blue"]'), tmp_path / "run", workers=1)
