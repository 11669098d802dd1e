"""Scenario files: the bundled ones are sound, and whatever a user writes gets one clear line."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privaudit.attack.registry import registered
from privaudit.data.registry import DATASETS, check_options
from privaudit.errors import UserError
from privaudit.models.build import check_model
from privaudit.scenario.grid import cells_of
from privaudit.scenario.load import bundled, check_scenario, load_scenario

MINIMAL = '[audit]\nproperties = ["bold"]\n'


def written(folder: Path, text: str) -> str:
    file = folder / "mine.toml"
    file.write_text(f'name = "mine"\n{text}', encoding="utf-8")
    return str(file)


@pytest.mark.parametrize("name", bundled())
def test_bundled_scenarios_name_what_exists(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.title
    info = DATASETS[scenario.data.name]
    check_options(scenario.data.name, scenario.data.options)
    assert set(scenario.audit.properties) <= set(info.properties)
    assert set(scenario.audit.attacks) <= set(registered())
    kinds = {
        "glyphs": "image",
        "coloured-glyphs": "image",
        "unipen": "image",
        "mnist-writers": "image",
        "csi": "text",
    }
    check_model(scenario.model.name, kinds.get(info.name, "table"))


def test_issue_scenarios_are_there() -> None:
    assert {"quickstart", "letters", "table1", "income"} <= set(bundled())


def test_published_numbers_are_those_of_the_seed_paper() -> None:
    published = load_scenario("table1").report.published
    assert published["region"] == {"0.1": 0.84, "0.5": 0.86, "1.0": 0.93}
    assert published["gender"] == {"0.1": 0.90, "0.5": 0.91, "1.0": 0.93}
    assert published["veracity"] == {"0.1": 0.94, "0.5": 0.99, "1.0": 0.99}


def test_overrides_take_toml_values_bare_names_and_null(tmp_path: Path) -> None:
    file = written(tmp_path, MINIMAL)
    scenario = load_scenario(
        file,
        [
            "runs=7",
            "audit.fractions=[0.25, 1.0]",
            "federation.partition=dirichlet",
            "federation.norm_bound=null",
            "model.hidden=9",
        ],
    )
    assert scenario.runs == 7
    assert scenario.audit.fractions == [0.25, 1.0]
    assert scenario.federation.partition == "dirichlet"
    assert scenario.federation.norm_bound is None
    assert scenario.model.options == {"hidden": 9}


def test_resolved_scenario_survives_json() -> None:
    for name in bundled():
        scenario = load_scenario(name)
        assert check_scenario(scenario.model_dump(mode="json"), where="x") == scenario


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ("audit.roundz=3", "--set"),
        ("nosuch.key=3", "--set"),
        ("audit.rounds=3", "--set"),
        ("federation.cohort=9", "quickstart.toml with --set"),
    ],
)
def test_an_error_in_an_override_is_not_blamed_on_the_file(override: str, where: str) -> None:
    with pytest.raises(UserError) as raised:
        load_scenario("quickstart", [override])
    assert raised.value.where == where


def test_an_error_in_the_file_is_not_blamed_on_an_override(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\n[data]\nname = "glyphs"\n[audit]\nrounds = 3\n')
    with pytest.raises(UserError) as raised:
        load_scenario(str(file), ["seed=2"])
    assert raised.value.where == "mine.toml"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("audit.roundz=3", "did you mean 'audit.rounds'"),
        ("federation.particpants=3", "did you mean 'federation.participants'"),
        ("sed=3", "did you mean 'seed'"),
        ("audit.fractions=[0.0]", "greater than 0"),
        ("audit.fractions=[1.5]", "less than or equal to 1"),
        ("audit.fractions=[]", "at least 1 item"),
        ("audit.fractions=[0.5, 0.5]", "names a value twice"),
        ("audit.rules=[largst]", "audit.rules"),
        ('audit.rules=["largst"]', "did you mean 'largest'"),
        ("federation.participants=1", "greater than or equal to 2"),
        ("audit.participants=[5, 3]", "must increase"),
        ("federation.cohort=9", "cohort 9 is larger than participants 5"),
        ("federation.lr=-1", "greater than 0"),
        ("federation.momentum=1", "less than 1"),
        ("audit.rounds=3", "greater than or equal to 4"),
        ("runs=0", "greater than or equal to 1"),
        ("name=No Spaces", "name"),
        ("audit.property_share=0.001", "of 32 records is none"),
        ("audit.schedule=dataset", "at least 4 runs"),
        ("audit.schedule=episodes", "takes 16 to 500 rounds, got 8"),
        ("audit.episode=4", "goes with schedule 'episodes'"),
        ("audit.threat_model=god", "audit.threat_model"),
        ("attack_options.nobody.x=1", "not among the attacks"),
        ("seed", "is not key=value"),
        ("audit.rounds.x=1", "is a value, not a table"),
        ("=1", "is not key=value"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, override: str, message: str) -> None:
    file = written(tmp_path, f"runs = 3\n{MINIMAL}rounds = 8\n")
    with pytest.raises(UserError) as caught:
        load_scenario(file, [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_both_states_of_every_federation_are_run(tmp_path: Path) -> None:
    file = written(tmp_path, f"runs = 3\n{MINIMAL}rounds = 8\n")
    with pytest.raises(UserError, match="runs must be even, got 5"):
        load_scenario(file, ["runs=5", "audit.schedule=dataset"])


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        (["audit.schedule=dataset", "runs=4"], "labels on runs"),
        (["federation.target_share=0.2"], "federation.target_share"),
        (["audit.auxiliary_overlap=0.5"], "audit.auxiliary_overlap"),
        (["audit.threat_model=server"], "a server"),
        (["audit.participants=[2, 5]"], "2 participants"),
        (["federation.participants=2"], "2 participants"),
        (["federation.participants=6"], "8 rounds, where 5 targets need 2 each: 10"),
    ],
)
def test_targets_that_are_not_alike_do_not_rotate(
    tmp_path: Path, changed: list[str], what: str
) -> None:
    file = written(tmp_path, f"runs = 3\n{MINIMAL}rounds = 8\n")
    assert load_scenario(file, ["audit.targets=rotate"]).audit.targets == "rotate"
    with pytest.raises(UserError, match="'rotate' does not go with") as caught:
        load_scenario(file, ["audit.targets=rotate", *changed])
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_protocols_do_not_contradict_themselves(tmp_path: Path) -> None:
    file = written(tmp_path, MINIMAL)
    for override in (
        ["audit.local_steps=2"],
        ["federation.protocol=fedsgd", "federation.momentum=0.5"],
    ):
        with pytest.raises(UserError, match="fedsgd takes one plain step"):
            load_scenario(file, override)


@pytest.mark.parametrize("name", ["quikstart", "nothing-like-it", "./missing.toml", "/"])
def test_unknown_scenarios(name: str) -> None:
    with pytest.raises(UserError, match="scenario"):
        load_scenario(name)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"[audit", b"a = 1\na = 2", b"[" * 5000, b"x" * (2 << 20)]
)
def test_files_that_are_not_scenarios(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_scenario(str(file))
    assert "\n" not in str(caught.value)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60), override=st.text(max_size=30))
def test_any_text_is_a_scenario_or_one_line(tmp_path: Path, text: str, override: str) -> None:
    file = tmp_path / "fuzz.toml"
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
    try:
        load_scenario(str(file), [override])
    except UserError as error:
        assert "\n" not in str(error)


KEYS = sorted({"audit", "federation", "data", "model", "report", "ledger", "name", "runs", "seed"})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=200)
@given(table=st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_any_table_is_a_scenario_or_one_line(table: dict[str, object]) -> None:
    try:
        check_scenario(table, where="fuzz")
    except UserError as error:
        assert "\n" not in str(error)


def test_cells_share_the_federation_of_fraction_one(tmp_path: Path) -> None:
    file = written(tmp_path, MINIMAL)
    rules = 'audit.rules=["random", "largest"]'
    scenario = load_scenario(file, ["runs=2", rules, "audit.fractions=[0.1, 1.0]"])
    cells = cells_of(scenario)
    assert len(cells) == 2 * (2 * 1 + 1)
    assert len({(cell.run, cell.name) for cell in cells}) == len(cells)
    assert {cell.rule for cell in cells if cell.fraction == 1.0} == {"all"}


def test_toml_of_the_library_is_commented() -> None:
    for file in bundled().values():
        text = file.read_text(encoding="utf-8")
        assert text.startswith("#"), file.name
        tomllib.loads(text)
