"""A scenario as text says what the scenario says."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from privaudit.attack.protocol import options_of_attack
from privaudit.attack.registry import load_attack, registered
from privaudit.data.registry import DATASETS, options_type
from privaudit.models.build import MODELS
from privaudit.options import Setting, settings_of
from privaudit.scenario.load import bundled, check_scenario, load_scenario
from privaudit.scenario.named import attack_settings
from privaudit.scenario.schema import Scenario, table_type
from privaudit.scenario.write import as_toml, commented_toml

NAMES = sorted(bundled())


def back(text: str) -> Scenario:
    return check_scenario(tomllib.loads(text), where="text")


@pytest.mark.parametrize("name", NAMES)
def test_both_texts_say_what_the_scenario_says(name: str) -> None:
    scenario = load_scenario(name)
    assert back(as_toml(scenario)) == scenario
    assert back(commented_toml(scenario, "my.toml")) == scenario
    assert "#" not in as_toml(scenario).replace('"#', "")


TABLES = {
    name: found
    for name, field in Scenario.model_fields.items()
    if (found := table_type(field)) is not None
}
SETTINGS = {
    **TABLES,
    **{f"data {name}": options_type(name) for name in DATASETS},
    **{f"model {name}": bundled.options for name, bundled in MODELS.items()},
    **{f"attack {name}": load_attack(name).Options for name in registered()},
}


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_there_and_explained(name: str) -> None:
    """Those that are not set, too: without the # before them they are a scenario's keys."""
    text = commented_toml(load_scenario(name), "my.toml")
    lines = text.splitlines()
    assert max(map(len, (line for line in lines if line.startswith("#")))) < 100
    for before, line in pairwise(lines):
        if re.match(r"#?\w+ =", line):
            assert before.startswith("# "), line
    everything = tomllib.loads(re.sub(r"^#(?! )", "", text, flags=re.MULTILINE))
    assert everything.keys() | {"attack_options"} == Scenario.model_fields.keys()
    for table, model in TABLES.items():
        assert everything[table].keys() >= model.model_fields.keys()
    scenario = load_scenario(name)
    data, model = scenario.data.name, scenario.model.name
    assert everything["data"].keys() == {"name", *options_type(data).model_fields}
    assert everything["model"].keys() == {"name", *MODELS[model].options.model_fields}
    options = {a: options_of_attack(load_attack(a)) for a in scenario.attacks}
    named = {a: {option.name for option in taken} for a, taken in options.items() if taken}
    assert {a: set(table) for a, table in everything.get("attack_options", {}).items()} == named


@pytest.mark.parametrize(
    "override",
    [
        "data.records=null",
        "attack_options.magnitude-stack.share=null",
        'data.properties={a = {column = "a", each = true}}',
        "federation.cohort=null",
    ],
)
def test_null_unsets_what_then_is_not_written(override: str) -> None:
    """TOML has no null: whatever a scenario holds can be written, and is the same again."""
    scenario = load_scenario("quickstart", [override])
    assert back(as_toml(scenario)) == scenario
    assert back(commented_toml(scenario, "my.toml")) == scenario
    key = override.partition("=")[0].split(".")[-1]
    assert (f"\n{key} = " in commented_toml(scenario, "my.toml")) == ("null" not in override)


def test_a_setting_stands_under_its_sentence() -> None:
    text = commented_toml(load_scenario("quickstart"), "my.toml")
    assert "# K, the adversary included\nparticipants = 5\n" in text
    assert "# rounds that the property is there for" in text
    assert "\n# dotted key of a setting\n#key = " in text


@pytest.mark.parametrize("where", SETTINGS)
def test_what_is_offered_to_start_from_is_in_range(where: str) -> None:
    for setting in settings_of(SETTINGS[where]):
        assert setting.description, setting
        if setting.default is None:
            assert setting.example is not None, setting
            try:
                SETTINGS[where].model_validate({setting.name: setting.example})
            except ValidationError as error:
                wrong = {found["loc"][:1] for found in error.errors() if found["type"] != "missing"}
                assert (setting.name,) not in wrong, error


def test_an_attack_that_cannot_be_loaded_and_a_default_of_any_kind_do_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    odd = [Setting("odd", False, type("Odd", (), {"__repr__": lambda self: "two\nlines"})())]
    monkeypatch.setattr("privaudit.scenario.write.attack_settings", lambda name: odd)
    scenario = load_scenario("quickstart", ['audit.attacks=["not-installed"]'])
    assert attack_settings("not-installed") == []
    text = commented_toml(scenario, "my.toml")
    assert "#[attack_options.not-installed]\n#odd = two lines\n" in text
    assert back(text) == scenario


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(texts, st.dictionaries(texts.filter(lambda key: key != "name"), values, max_size=4))
def test_any_text_and_any_option_comes_back(title: str, options: dict[str, Any]) -> None:
    table: dict[str, Any] = {
        "name": "mine",
        "title": title,
        "data": {"name": "csv", **options},
        "audit": {"properties": ["bold"]},
    }
    scenario = check_scenario(table, where="table")
    assert back(as_toml(scenario)) == scenario
    assert back(commented_toml(scenario, "my.toml")) == scenario
