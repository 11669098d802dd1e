"""A scenario as text says what the scenario says."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.scenario.load import bundled, check_scenario, load_scenario
from privaudit.scenario.schema import FederationSection, Scenario
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


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_explained(name: str) -> None:
    text = commented_toml(load_scenario(name), "my.toml")
    lines = text.splitlines()
    for key in FederationSection.model_fields:
        [at] = [
            i
            for i, line in enumerate(lines[lines.index("[federation]") : lines.index("[audit]")])
            if line.startswith((f"{key} =", f"# {key} ="))
        ]
        assert lines[lines.index("[federation]") + at - 1].startswith("# ")
    assert "# K, the adversary included.\nparticipants = " in text
    assert max(map(len, (line for line in lines if line.startswith("#")))) < 100


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
