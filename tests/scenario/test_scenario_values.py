"""A scenario is kept as JSON and read again: what JSON cannot hold is refused at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privaudit.errors import UserError
from privaudit.scenario.grid import cells_of
from privaudit.scenario.load import load_scenario
from privaudit.scenario.schema import AuditSection, Scenario


def as_json(scenario: Scenario) -> str:
    return json.dumps(scenario.model_dump(mode="json"), allow_nan=False)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("federation.lr=inf", "federation.lr: must be a finite number"),
        ("federation.norm_bound=inf", "federation.norm_bound: must be a finite number"),
        ("attack_options.linear.dimensions=nan", "dimensions: must be a finite number"),
        ("model.hidden=[1, -inf]", "model.hidden: must be a finite number"),
        ("model.hidden=1979-05-27", "model.hidden: dates and times are not settings"),
        ("report.published.bold.abc=0.5", "'abc' is not a fraction in"),
        ("report.published.bold.2=0.5", "'2' is not a fraction in"),
        ('report.published.bold."0.1"=1.5', "published"),
        ("title=\udcff", "title: not a text in UTF-8"),
        ("model.\udcff=1", "not a text in UTF-8"),
        ("seed=" + "9" * 5000, "seed: Input should be a valid integer"),
        ("audit.fractions=" + "[" * 5000, "audit.fractions: Input should be a valid list"),
        ("model" + ".a" * 5000 + "=1", "nested too deeply"),
    ],
)
def test_values_without_a_json_form_are_refused(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_scenario("quickstart", [override])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 or "nested" in message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ('federation.rounds="4"', r"valid integer \(got '4'\); leave out the quotes"),
        ('audit.fractions=["0.1"]', r"valid number \(got '0.1'\); leave out the quotes"),
        ("audit.fractions=[true]", "valid number"),
        ("audit.rounds=4.0", "valid integer"),
        ("runs=true", "valid integer"),
        ("ledger.enabled=1", "valid boolean"),
        ("name=5", "valid string"),
        ("data=3", "data: Input should be a valid dictionary"),
        ("data.name=null", "data.name: Input should be a valid string"),
        ("attack_options=null", "attack_options: Input should be a valid dictionary"),
        ("seed=1.0", "valid integer"),
        ("audit.fractions=[1e-320]", "too close to 0, must be at least 1e-09"),
        ("federation.lr=1e-320", "too close to 0"),
        ("federation.rounds=9223372036854775807", "less than or equal to 1000000"),
        ("audit.rounds=1000000000000", "less than or equal to 1000000"),
        ("audit.shadows=99999999999", "less than or equal to 10000"),
        ("runs=1000000000000", "less than or equal to 10000"),
        ("federation.participants=1000000000000", "less than"),
        ("federation.batch_size=1000000000000", "less than"),
        ("audit.local_steps=1000000000000", "less than"),
    ],
)
def test_no_value_is_taken_for_another_and_none_is_boundless(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_scenario("quickstart", [override])
    assert "\n" not in str(caught.value)


def test_a_grid_without_end_is_refused() -> None:
    with pytest.raises(UserError, match=r"180,000 cells .* more than 100,000"):
        load_scenario("quickstart", ["runs=10000", "audit.participants=[2, 3]"])


def test_whole_numbers_are_numbers() -> None:
    scenario = load_scenario("quickstart", ["audit.fractions=[1]", "federation.lr=1"])
    assert (scenario.audit.fractions, scenario.federation.lr) == ([1.0], 1.0)


def test_the_strongest_attack_is_among_the_default_ones() -> None:
    assert "magnitude-stack" in AuditSection(properties=["bold"]).attacks


@pytest.mark.parametrize(
    "content", ["seed = " + "9" * 5000, "a = " + "[" * 5000, "when = 07:32:00"]
)
def test_files_with_such_values_are_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "odd.toml"
    file.write_text(content)
    with pytest.raises(UserError, match=r"odd\.toml"):
        load_scenario(str(file))


def test_a_name_that_no_file_system_takes() -> None:
    with pytest.raises(UserError, match="no scenario file"):
        load_scenario("x" * 5000 + ".toml")


KEYS = [
    "federation.lr",
    "federation.norm_bound",
    "federation.dirichlet_alpha",
    "audit.lr",
    "audit.property_share",
    "audit.fractions",
    "audit.properties",
    "attack_options.linear.dimensions",
    "data.records",
    "model.hidden",
    "model.name",
    "title",
    "seed",
    "report.published.bold",
    "ledger.budget",
]


@settings(max_examples=300)
@given(
    key=st.sampled_from(KEYS),
    value=st.one_of(
        st.text(max_size=12),
        st.floats().map(repr),
        st.integers().map(str),
        st.sampled_from(["[]", "{}", "[1.0]", "null", "true", "1e400", "00:00:00", '"\\u0000"']),
    ),
)
def test_what_is_accepted_comes_back_from_its_json(key: str, value: str) -> None:
    """Else a run could not be resumed, nor its report written again."""
    try:
        scenario = load_scenario("quickstart", [f"{key}={value}"])
    except UserError:
        return
    assert Scenario.model_validate_json(as_json(scenario)) == scenario
    assert Scenario.model_validate_json(scenario.model_dump_json()) == scenario


@given(st.lists(st.floats(1e-9, 1.0), min_size=2, max_size=6, unique=True))
def test_no_two_cells_share_a_name(fractions: list[float]) -> None:
    scenario = load_scenario("quickstart", [f"audit.fractions={fractions}", "runs=1"])
    cells = cells_of(scenario)
    assert len({cell.name for cell in cells}) == len(cells)


def test_close_fractions_are_two_cells_and_plain_ones_have_plain_names() -> None:
    overrides = ["audit.fractions=[0.1, 0.10000001, 1.0]", 'audit.properties=["bold"]', "runs=1"]
    scenario = load_scenario("quickstart", overrides)
    assert [cell.name for cell in cells_of(scenario)] == [
        "bold_largest_0.1_k5",
        "bold_largest_0.10000001_k5",
        "bold_all_1_k5",
    ]
