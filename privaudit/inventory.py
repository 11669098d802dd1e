"""What is on this machine: scenarios, data sets, attacks, models."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from tabulate import tabulate

from privaudit.attack.registry import load_attack, owner, registered
from privaudit.data.files import default_data_dir
from privaudit.data.registry import DATASETS
from privaudit.errors import UserError
from privaudit.models.build import MODELS
from privaudit.scenario.load import bundled


def inventory(data_dir: Path | None) -> dict[str, list[dict[str, Any]]]:
    """Scenarios, data sets, attacks and models as rows."""
    where = data_dir or default_data_dir()
    return {
        "scenarios": [
            {"name": name, "title": tomllib.loads(file.read_text()).get("title", "")}
            for name, file in bundled().items()
        ],
        "data sets": [_dataset_row(info, where) for info in DATASETS.values()],
        "attacks": [_attack_row(name) for name in registered()],
        "models": [
            {
                "name": name,
                "data": bundled.kind,
                "class": f"{bundled.model.__module__}:{bundled.model.__name__}",
            }
            for name, bundled in MODELS.items()
        ],
    }


def inventory_text(found: dict[str, list[dict[str, Any]]]) -> str:
    """The inventory as tables."""
    parts = []
    for title, rows in found.items():
        parts.append(f"{title}\n{tabulate(rows, headers='keys', tablefmt='simple')}")
    return "\n\n".join(parts)


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
