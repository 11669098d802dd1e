"""What targets draw from, taken from the deals: counts, overlap between runs, groups, the label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_data import table

from privaudit.experiment.alikeness import alikeness, intraclass, targets_measured
from privaudit.experiment.holdings import Alikeness, holdings_of, label_agreement
from privaudit.scenario.load import check_scenario
from privaudit.world import World

RECORDS = 600


def world(*, grouped: bool = False, **audit: object) -> World:
    made = check_scenario(
        {
            "name": "held",
            "runs": 3,
            "model": {"name": "mlp"},
            "federation": {
                "participants": 3,
                "partition": "by-group" if grouped else "iid",
            },
            "audit": {
                "properties": ["secret"],
                "participants": [2, 3],
                "batch_size": 4,
                "attacks": ["linear"],
            }
            | audit,
        },
        where="test",
    )
    data = table(RECORDS)
    if grouped:
        data = replace(data, groups=np.arange(RECORDS) // 10, group_kind="writer")
    return World(made, data)


def target(made: World, run: int) -> tuple[set[int], set[int]]:
    own = made.deal(run).largest.clients[1]
    values = made.dataset.properties["secret"][own]
    return set(own[values == 1].tolist()), set(own[values == 0].tolist())


def test_counts_and_overlaps_are_those_of_the_deals() -> None:
    made = world()
    found = holdings_of(made)
    assert set(found) == {(run, "secret", k) for run in range(3) for k in (2, 3)}
    pools = [target(made, run) for run in range(3)]
    for run, (present, absent) in enumerate(pools):
        held = found[run, "secret", 3][0]
        assert (held.present, held.absent) == (len(present), len(absent))
        assert (held.batch, held.others, held.groups) == (4, 1, None)
        shared = []
        for other in (p for number, p in enumerate(pools) if number != run):
            both = [len(a & b) / (len(a) * len(b)) for a, b in zip(pools[run], other, strict=True)]
            own = [sum(1 / len(part) for part in pair) for pair in (pools[run], other)]
            shared.append(sum(both) / np.sqrt(own[0] * own[1]))
        assert held.overlap == pytest.approx(np.mean(shared))
        assert found[run, "secret", 2][0].others == 0


def test_steps_server_and_cohort_change_what_is_summed() -> None:
    several = holdings_of(world(protocol="fedavg", local_steps=3))[0, "secret", 3][0]
    assert several.batch == 12
    alone = holdings_of(world(threat_model="server"))[0, "secret", 3][0]
    assert (alone.others, alone.other_records) == (0, 0.0)
    single = world()
    table_ = single.scenario.model_dump(mode="json")
    table_["runs"] = 1
    one = World(check_scenario(table_, where="test"), single.dataset)
    assert holdings_of(one)[0, "secret", 3][0].overlap == 0.0


def test_groups_that_carry_the_property_weigh_as_groups() -> None:
    made = world(grouped=True)
    values = np.arange(RECORDS) // 10 % 2  # a property of the writer
    data = replace(made.dataset, properties={"secret": values.astype(np.int8)})
    held = holdings_of(World(made.scenario, data))[0, "secret", 3][0]
    assert held.groups is not None
    assert held.group_weight == pytest.approx(1 / held.groups[0] + 1 / held.groups[1])
    within = holdings_of(made)[0, "secret", 3][0]  # of the record: writers are on both sides
    assert within.group_weight is not None
    assert within.group_weight < held.group_weight / 2


def test_a_property_that_is_the_label_is_known_by_it() -> None:
    data = table(RECORDS)
    same = replace(data, properties={"secret": (data.labels == 0).astype(np.int8)})
    assert label_agreement(same, "secret") == 1.0
    coin = np.random.default_rng(0).integers(2, size=RECORDS).astype(np.int8)
    assert label_agreement(replace(data, properties={"secret": coin}), "secret") < 0.6


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_what_groups_explain_is_measured(share: float) -> None:
    rng, groups = np.random.default_rng(0), np.repeat(np.arange(100), 7)
    shared = rng.standard_normal((2, 100))[:, groups]
    values = np.sqrt(share) * shared + np.sqrt(1 - share) * rng.standard_normal((2, 700))
    values[1] += 5.0  # kinds differ; that is no group's doing
    assert intraclass(list(values), [groups, groups]) == pytest.approx(share, abs=0.06)


def test_groups_of_one_record_explain_nothing() -> None:
    values = np.random.default_rng(0).standard_normal(9)
    assert intraclass([values], [np.arange(9)]) == 0.0


def of_first_run(made: World) -> Alikeness:
    return alikeness(made, made.engine(0).initial, (0, "secret", 1))


def test_records_of_a_writer_that_are_alike_show_in_the_gradients() -> None:
    made = world(grouped=True)
    rng = np.random.default_rng(0)
    alike = np.repeat(rng.standard_normal((RECORDS // 10, 4)), 10, axis=0).astype(np.float32)
    labels = np.repeat(rng.integers(2, size=RECORDS // 10), 10)
    same = World(made.scenario, replace(made.dataset, inputs=alike, labels=labels))
    assert of_first_run(same).icc > 0.95
    assert of_first_run(made).icc < 0.3


def test_a_model_that_diverged_leaves_nothing_measured() -> None:
    made = world(grouped=True)
    broken = made.engine(0).initial * float("nan")
    assert alikeness(made, broken, (0, "secret", 1)) == Alikeness(None, 1.0)


def test_what_was_measured_is_put_beside_the_counts() -> None:
    made = world(grouped=True)
    alike = {t: Alikeness(0.1 * t[0], 2.0) for t in targets_measured(made)}
    assert set(alike) == {(run, "secret", 1) for run in range(3)}
    for (run, *_), (held,) in holdings_of(made, alike).items():
        assert (held.icc, held.other_variance) == (0.1 * run, 2.0)
    assert targets_measured(world()) == []


def test_each_honest_client_is_a_target_in_turn() -> None:
    made = world(targets="rotate", participants=[3], rounds=8)
    found = holdings_of(made)
    for run in range(3):
        held = found[run, "secret", 3]
        assert len(held) == 2
        for client, of_client in enumerate(held, start=1):
            own = made.dataset.properties["secret"][made.deal(run).largest.clients[client]]
            assert of_client.present == (own == 1).sum()
            assert of_client.others == 1
    # Pools of a run share nothing, those of two runs a third: 2 of 5 others are of the same run.
    mean = np.mean([of.overlap for held in found.values() for of in held])
    assert mean == pytest.approx(0.85 / 3 * 4 / 5, abs=0.06)
