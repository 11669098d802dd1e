"""``properties = {race = {column = "race", each = true}}``: from one name to one per value.

The data know the values, so this happens between loading a scenario and running it; the run keeps
the names that came out.
"""

from __future__ import annotations

from pathlib import Path

from privaudit.data.files import default_data_dir
from privaudit.errors import UserError
from privaudit.scenario.load import check_scenario
from privaudit.scenario.schema import Scenario
from privaudit.world import World, load_world


def with_each_value(scenario: Scenario, data_dir: Path | None = None) -> Scenario:
    """The scenario, a name in ``audit.properties`` that stands for each value of a column replaced.

    Values too rare for the roles to hold a batch of are left out (the dry run and the report name
    them, with their counts).

    Raises:
        UserError: the data cannot be read, or no value can be dealt.
    """
    found: list[str] = []
    for name in scenario.audit.properties:
        found += (
            _values_of(name, scenario, data_dir) if _stands_for_each(name, scenario) else [name]
        )
    if found == scenario.audit.properties:
        return scenario
    table = scenario.model_dump(mode="json")
    table["audit"]["properties"] = found
    return check_scenario(table, where="audit.properties")


def _stands_for_each(name: str, scenario: Scenario) -> bool:
    described = scenario.data.options.get("properties")
    one = described.get(name) if isinstance(described, dict) else None
    return isinstance(one, dict) and one.get("each") is True


def _values_of(name: str, scenario: Scenario, data_dir: Path | None) -> list[str]:
    single = scenario.model_copy(update={"sweep": None})
    world = load_world(single.model_dump_json(), data_dir or default_data_dir())
    values = [key for key in world.dataset.properties if key.startswith(f"{name}=")]
    reasons = {value: why_not_dealt(world, value) for value in values}
    dealt = [value for value, reason in reasons.items() if not reason]
    if not dealt:
        raise UserError(
            f"no value of '{name}' can be audited: {next(iter(reasons.values()))}",
            where="audit.properties",
            remedy="use a smaller audit.batch_size, fewer participants or more data",
        )
    return dealt


def why_not_dealt(world: World, name: str) -> str:
    """Why the roles of some run hold too few records of a property; empty where they do not."""
    try:
        for run in range(world.scenario.runs):
            world.deal_for(run, [name])
    except UserError as reason:
        return reason.what
    return ""
