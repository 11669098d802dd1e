"""Policies: which are not beaten, which is chosen, and one small measurement from end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from html_check import read_page
from hypothesis import given
from hypothesis import strategies as st
from ledger_runs import run_command

from privaudit.accounting.claims import claim_over, nothing
from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError
from privaudit.evaluation.prices import Price
from privaudit.federation.rewards import VALUED
from privaudit.federation.settling import policy_named
from privaudit.scenario.load import load_scenario
from privaudit.statistics.intervals import Interval
from privaudit.studies.paid import Paid
from privaudit.studies.policies import (
    REWARDS,
    Asked,
    Policies,
    Policy,
    policy_plans,
    read_policies,
)
from privaudit.studies.policies_report import (
    policies_answer,
    policies_json,
    policies_notes,
    policies_table,
    write_policies,
)

SCENARIO = load_scenario("policies-glyphs")
SHARES = st.integers(0, 10).map(lambda n: n / 10)


def interval(value: float, reach: float = 0.02) -> Interval:
    low, high = max(0.0, value - reach), min(1.0, value + reach)
    return Interval(value, low, high, 3, 30, "", 0.95)


def policy(name: str, leak: float | None, accuracy: float | None, reward: str = "equal") -> Policy:
    return Policy(
        defence=name,
        reward=reward,
        participants=5,
        leaks={} if leak is None else {("property", "participant"): interval(leak)},
        attacks={},
        claims={},
        ceilings={},
        price=Price(None if accuracy is None else interval(accuracy), None, None),
    )


def policies(*found: Policy, asked: Asked | None = None) -> Policies:
    return Policies(SCENARIO, asked or Asked(), found, (), ("participant",))


@given(st.lists(st.tuples(SHARES, SHARES), min_size=1, max_size=8))
def test_the_front_is_what_nothing_beats(points: list[tuple[float, float]]) -> None:
    found = policies(*(policy(f"d{n}", *point) for n, point in enumerate(points)))
    front = {p.defence for p in found.front()}
    for number, (leak, accuracy) in enumerate(points):
        told = abs(leak - 0.5)
        better = [(abs(le - 0.5), a) for le, a in points if abs(le - 0.5) <= told and a >= accuracy]
        assert (f"d{number}" in front) == all(one == (told, accuracy) for one in better)


@given(st.lists(st.tuples(SHARES, SHARES), min_size=1, max_size=8), SHARES)
def test_the_choice_keeps_to_the_rule(points: list[tuple[float, float]], least: float) -> None:
    found = policies(*(policy(f"d{n}", *point) for n, point in enumerate(points)))
    fit = [a for leak, a in points if 0.42 <= leak <= 0.58 and a >= least]
    chosen = found.chosen(least)
    assert (chosen is None) == (not fit)
    if chosen is not None:
        assert chosen.accuracy is not None
        assert chosen.accuracy.value == max(fit)


def test_an_auc_far_below_a_half_is_a_leak() -> None:
    assert policies(policy("odd", 0.1, 0.9)).chosen(0.0) is None


def test_what_was_not_measured_is_in_no_choice() -> None:
    found = policies(policy("", 0.9, 0.9), policy("failed", None, 0.9), policy("blind", 0.5, None))
    assert [p.defence for p in found.front()] == [""]
    assert found.least_accuracy == pytest.approx(0.85)
    lines = policies_answer(found)
    assert "none of those measured" in lines[0]
    assert "No policy keeps the leak within these bounds" in lines[1]


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(UserError, match="names 1 defence"):
        policy_plans(load_scenario("quickstart"))
    for wrong in (
        {"rewards": ("equal", "equal")},
        {"rewards": ()},
        {"rewards": ("fair",)},
        {"most_leak": 0.4},
        {"least_accuracy": 2.0},
    ):
        with pytest.raises(UserError):
            Asked(**wrong)


def test_a_server_is_shown_no_hidden_deltas() -> None:
    plans = policy_plans(SCENARIO)
    assert list(plans) == ["participant", "server"]
    assert plans["server"].audit.threat_model == "server"
    assert "secure-aggregation" in plans["participant"].audit.defences
    assert "secure-aggregation" not in plans["server"].audit.defences
    assert list(policy_plans(SCENARIO, server=False)) == ["participant"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("policies") / "out"
    small = (
        "data.records=1500",
        "federation.rounds=1",
        "audit.rounds=6",
        'audit.attacks=["linear"]',
        'audit.defences=["none", "secure-aggregation", "dp-strong"]',
    )
    given = [part for one in small for part in ("--set", one)]
    assert (
        run_command("policies", "policies-glyphs", "--seeds", "2", "--out", str(out), *given) == 0
    )
    return out


def test_every_policy_has_a_row(measured: Path) -> None:
    found = read_policies(measured)
    rows = policies_json(found)
    assert {(r["defence"], r["reward"]) for r in rows} == {
        (d, r)
        for d in ("none", "secure-aggregation", "dp-strong")
        for r in REWARDS
        if d != "secure-aggregation" or policy_named(r).rule not in VALUED
    }
    by_name = {r["defence"]: r for r in rows}
    assert by_name["dp-strong"]["epsilon"] is not None
    assert by_name["none"]["epsilon"] is None
    assert "property_server" in by_name["none"]
    assert "property_server" not in by_name["secure-aggregation"]
    assert by_name["dp-strong"]["property_participant_ceiling"] < 1
    assert "property_server_ceiling" not in by_name["dp-strong"]
    assert by_name["dp-strong"]["unit"] == "participant"
    assert all(0 <= r["accuracy"] <= 1 for r in rows)
    assert by_name["none"]["lost"] is None
    lost, plain = by_name["dp-strong"]["lost"], by_name["none"]["accuracy"]
    assert lost == pytest.approx(plain - by_name["dp-strong"]["accuracy"])
    assert by_name["dp-strong"]["lost_low"] <= lost <= by_name["dp-strong"]["lost_high"]


def test_the_ledger_of_each_policy_has_its_columns(measured: Path) -> None:
    found = read_policies(measured)
    table = policies_table(found)
    columns = ["public ledger, outsider", "verdicts alone", "sizes found", "pay error"]
    columns += ["free rider, random", "free rider, stale"]
    assert not {"not measured", "–"} & {text for name in columns for text in table[name]}
    for policy in found.policies:
        assert policy.paid is not None
        assert policy.paid.leak is not None
        assert policy.leak is not None
        assert policy.leak.value >= policy.paid.leak.value
        assert ("public-ledger", "participant") not in policy.leaks
        assert policy.paid.sizes is not None
        if policy.reward == "samples":
            assert policy.paid.sizes.value == 1
        if policy.reward == "equal":  # nobody is refused here: everybody earns as much
            assert policy.paid.leak.value == 0.5
            assert policy.paid.sizes.value == 0
            assert {rider.value for rider in policy.paid.riders.values()} == {1.0}
    rows = {(row["defence"], row["reward"]): row for row in policies_json(found)}
    assert 0 <= rows["none", "contribution"]["pay_error"] <= 1
    assert "public_ledger_low" in rows["dp-strong", "aligned-novelty-pool-10"]
    page = (measured / "report" / "index.html").read_text(encoding="utf-8")
    assert '<td data-label="accuracy lost">' in page
    assert "leave-one-out" in page


def test_reward_rules_that_differ_in_nothing_share_a_row() -> None:
    found = policies(
        policy("", 0.5, 0.5), policy("", 0.5, 0.5, "samples"), policy("sign", 0.5, 0.5)
    )
    table = policies_table(found)
    assert table["reward rule"].tolist() == ["equal, samples", "equal"]
    assert set(table["ledger's leak, pay error, free rider's share"]) == {"not measured"}
    assert "K" not in table.columns
    assert "Not measured: what the ledger leaks" in " ".join(policies_notes(found))


def test_a_ledger_that_leaks_more_than_the_deltas_is_the_leak() -> None:
    leaky = Paid(interval(0.8), "ledger-pay", None, {})
    one = replace(policy("", 0.5, 0.9), paid=leaky)
    other = policy("", 0.5, 0.9, "equal")
    assert one.leak == interval(0.8)
    assert policies(one, other).chosen(0.0) is other
    assert policies(one, other).front() == [other]


def test_scenarios_without_rounds_to_ask_of_have_no_ledger_to_look_at() -> None:
    plain = load_scenario("policies-glyphs", ["audit.schedule=dataset", "runs=4"])
    assert policy_plans(plain)["participant"].public_ledger is None
    asked = policy_plans(SCENARIO, ("equal",))["participant"].public_ledger
    assert asked is not None
    assert asked.rewards == ["equal"]
    assert policy_plans(SCENARIO)["server"].public_ledger is None


def test_a_promise_is_told_by_game_where_games_differ() -> None:
    member, none = claim_over(8.0, 10, 1e-5, unit="record"), nothing("of a batch")
    one = replace(policy("records", 0.5, 0.5), claims={"property": none, "membership": member})
    assert one.claim is member
    (text,) = policies_table(policies(one))["ε"]
    assert text.startswith("property: none; membership: ")
    assert text.endswith("record)")


def test_what_was_rebuilt_has_a_column_of_its_own() -> None:
    answer = {"participant": (interval(0.8), interval(0.3))}
    found = policies(replace(policy("", 0.5, 0.5), rebuilt=answer), policy("sign", 0.5, 0.5))
    assert policies_table(found)["batch rebuilt, participant"].tolist() == [
        "0.80 [0.78, 0.82] (guess 0.30)",
        "–",
    ]
    assert policies_json(found)[0]["rebuilt_participant"] == 0.8
    alone = policies(replace(policy("", None, 0.5), rebuilt=answer))
    assert policies_answer(alone) == [
        "No leak was measured as an AUC, so that the rule has nothing to choose by."
    ]
    assert "neither the rule nor * looks at it" in " ".join(policies_notes(found))


def test_the_page_is_written_again_to_the_byte(
    measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = measured / "report" / "index.html"
    before = page.read_bytes()
    assert run_command("report", str(measured)) == 0
    assert page.read_bytes() == before
    read_page(before.decode())
    write_policies(RunFolder(measured), read_policies(measured))
    assert page.read_bytes() == before
    capsys.readouterr()
    assert run_command("table", str(measured), "--format", "json") == 0
    assert json.loads(capsys.readouterr().out) == policies_json(read_policies(measured))


def test_one_run_of_it_must_be_named(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("verify", str(measured)) == 2
    assert "policies: several runs" in capsys.readouterr().err
