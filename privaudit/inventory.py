"""What is on this machine: scenarios, data sets, attacks, models, and what can be set of each."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tabulate import tabulate

from privaudit.attack.registry import load_attack, owner, registered
from privaudit.data.files import default_data_dir
from privaudit.data.registry import DATASETS
from privaudit.errors import UserError, unknown_name
from privaudit.models.build import MODELS
from privaudit.options import Setting
from privaudit.scenario.load import bundled
from privaudit.scenario.named import attack_settings, data_settings, model_settings
from privaudit.scenario.write import toml_value

Rows = list[dict[str, Any]]

SETTINGS: dict[str, tuple[str, Callable[[str], list[Setting]]]] = {
    "data sets": ("data", data_settings),
    "attacks": ("attack_options.{name}", attack_settings),
    "models": ("model", model_settings),
}
"""Kind -> the table of a scenario that takes the options, and what they are."""

KINDS = {"scenarios": "scenarios", "data": "data sets", "attacks": "attacks", "models": "models"}
"""What can be typed -> the kind."""

WIDTH = 72
"""Of a description, in characters."""


def inventory(data_dir: Path | None) -> dict[str, Rows]:
    """Scenarios, data sets, attacks and models as rows."""
    where = data_dir or default_data_dir()
    return {
        "scenarios": [_scenario_row(name, file) for name, file in bundled().items()],
        "data sets": [_dataset_row(info, where) for info in DATASETS.values()],
        "attacks": [_attack_row(name) for name in registered()],
        "models": [
            {
                "name": name,
                "data": " or ".join(model.kinds),
                "class": f"{model.model.__module__}:{model.model.__name__}",
            }
            for name, model in MODELS.items()
        ],
    }


def chosen(found: dict[str, Rows], name: str) -> dict[str, Rows]:
    """The part of an inventory that is one kind, or is called so: a name may be of several kinds.

    Raises:
        UserError: there is no such kind or name (nearest match named).
    """
    if name in KINDS:
        return {KINDS[name]: found[KINDS[name]]}
    rows = {kind: [row for row in found[kind] if row["name"] == name] for kind in found}
    if not any(rows.values()):
        names = [row["name"] for all_rows in found.values() for row in all_rows]
        raise unknown_name("name", name, {*KINDS, *names})
    return {kind: some for kind, some in rows.items() if some}


def with_options(found: dict[str, Rows]) -> dict[str, Rows]:
    """The same, each row with ``options`` and what else is told of one; loaders are imported."""
    return {kind: [_detailed(kind, row) for row in rows] for kind, rows in found.items()}


def inventory_text(found: dict[str, Rows]) -> str:
    """The inventory as tables."""
    parts = [f"{kind}\n{tabulate(rows, headers='keys')}" for kind, rows in found.items()]
    return "\n\n".join(parts)


def options_text(found: dict[str, Rows]) -> str:
    """One thing after the other with its options, of :func:`with_options`."""
    return "\n\n".join(_one_text(kind, row) for kind, rows in found.items() for row in rows)


def _one_text(kind: str, row: dict[str, Any]) -> str:
    facts = {key: value for key, value in row.items() if key not in ("name", "options") and value}
    lines = [f"{kind.removesuffix('s')} {row['name']}"]
    facts_table = tabulate(facts.items(), tablefmt="plain", disable_numparse=True)
    lines += [f"  {line}" for line in facts_table.splitlines()]
    if row.get("options"):
        table = SETTINGS[kind][0].format(name=row["name"])
        options = [
            (f"{table}.{option['name']}", _default(option), option["description"] or "-")
            for option in row["options"]
        ]
        lines += tabulate(
            options,
            headers=["option", "default", "what"],
            maxcolwidths=[None, None, WIDTH],
            disable_numparse=True,
        ).splitlines()
    else:
        start = f"privaudit new my.toml --from {row['name']}"
        lines.append("  no options" if kind in SETTINGS else f"  start from it: {start}")
    return "\n".join(lines)


def _default(option: dict[str, Any]) -> str:
    if option["required"]:
        return "(required)"
    return "(unset)" if option["default"] is None else toml_value(option["default"])


def _detailed(kind: str, row: dict[str, Any]) -> dict[str, Any]:
    if kind not in SETTINGS:
        return row
    more: dict[str, Any] = {}
    if kind == "data sets":
        info = DATASETS[row["name"]]
        more = {"what": info.description, "licence": info.licence, "obtain": info.obtain}
    options = [
        {
            "name": option.name,
            "required": option.required,
            "default": option.default,
            "description": option.description,
        }
        for option in SETTINGS[kind][1](row["name"])
    ]
    return row | more | {"options": options}


def _scenario_row(name: str, file: Path) -> dict[str, Any]:
    table = tomllib.loads(file.read_text())
    return {"name": name, "data": table["data"]["name"], "title": table.get("title", "")}


def _dataset_row(info: Any, data_dir: Path) -> dict[str, Any]:
    here, detail = info.available(data_dir)
    return {
        "name": info.name,
        "here": "yes" if here else "no",
        "properties": ", ".join(info.properties),
        "groups": info.group_kind,
        "task": info.task,
        "where": detail,
    }


def _attack_row(name: str) -> dict[str, Any]:
    row = {
        "name": name,
        "game": "-",
        "from": ", ".join(owner(point) for point in registered()[name]),
    }
    try:
        attack = load_attack(name)
    except UserError as error:
        return row | {"view": "-", "source": f"broken: {error}"}
    return row | {"game": attack.game, "view": attack.view.name, "source": attack.source}
