"""The tables of settings in docs/, from the types that check them.

``python tests/support/setting_tables.py`` writes them anew between their marks; a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from privaudit.attack.registry import registered
from privaudit.data.registry import DATASETS
from privaudit.defences.registry import KINDS
from privaudit.models.build import MODELS
from privaudit.observation.rules import Rules
from privaudit.options import Options, Setting, settings_of
from privaudit.scenario.named import attack_settings, data_settings, model_settings
from privaudit.scenario.schema import Scenario, table_type
from privaudit.scenario.write import toml_value

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(
    r"(<!-- python tests/support/setting_tables\.py: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL
)


def rows(settings: Iterable[Setting], word: str = "key") -> str:
    """A Markdown table."""
    lines = [f"| {word} | default | what |", "|---|---|---|"]
    for setting in settings:
        default = "unset" if setting.default is None else f"`{_written(setting.default)}`"
        what = setting.description.replace("|", "\\|")
        lines.append(f"| `{setting.name}` | {'-' if setting.required else default} | {what} |")
    return "\n".join(lines) + "\n"


def _written(default: Any) -> str:
    """A value as in a scenario; a table with nothing in it where it is one of its own."""
    return "{}" if isinstance(default, Options) else toml_value(default)


def scenario() -> str:
    """The keys above all tables, then table by table."""
    tables = {
        name: found
        for name, field in Scenario.model_fields.items()
        if (found := table_type(field)) is not None
    }
    plain = [
        s for s in settings_of(Scenario) if s.name not in (*tables, "attack_options", "defences")
    ]
    parts = [rows(plain)]
    for name, table in tables.items():
        about = Scenario.model_fields[name].description
        parts.append(f"### `[{name}]`\n\n{about}.\n\n{rows(settings_of(table))}")
    about = Scenario.model_fields["defences"].description
    parts.append(f"### `[defences]`\n\n{about}. Their steps: [defences.md](defences.md).\n")
    return "\n".join(parts)


def named(names: Iterable[str], settings: Callable[[str], list[Setting]]) -> str:
    """A table for each that has options, then the names of those that have none."""
    found = {name: settings(name) for name in names}
    parts = [f"### `{name}`\n\n{rows(some, 'option')}" for name, some in found.items() if some]
    without = [f"`{name}`" for name, some in found.items() if not some]
    return "\n".join(parts) + (f"\nWithout options: {', '.join(without)}.\n" if without else "")


def of_defences() -> str:
    """A table for each kind of step."""
    return "\n".join(
        f"### `{kind}`\n\n{rows([s for s in settings_of(step) if s.name != 'kind'])}"
        for kind, step in KINDS.items()
    )


TABLES: dict[str, Callable[[], str]] = {
    "defences": of_defences,
    "scenario": scenario,
    "data": lambda: named(DATASETS, data_settings),
    "models": lambda: named(MODELS, model_settings),
    "attacks": lambda: named(
        [n for n, (point, *_) in registered().items() if point.module.startswith("privaudit_")],
        attack_settings,
    ),
    "rules": lambda: rows(settings_of(Rules), "rule"),
}


def documents() -> list[Path]:
    """Those with such tables."""
    return [file for file in sorted(DOCS.glob("*.md")) if BLOCK.search(file.read_text("utf-8"))]


def with_tables(text: str) -> str:
    """A document, its tables made anew."""
    return BLOCK.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}{found[3]}", text)


if __name__ == "__main__":
    for document in documents():
        document.write_text(with_tables(document.read_text("utf-8")), "utf-8")
