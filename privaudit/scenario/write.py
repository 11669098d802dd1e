"""A scenario as TOML text: as it was resolved, or with every setting explained."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from privaudit.options import Setting, settings_of
from privaudit.scenario.named import attack_settings, data_settings, model_settings
from privaudit.scenario.schema import Scenario, table_type

WIDTH = 96
NAMED = "# Name and steps of a defence"
HEAD = """\
# A scenario of privaudit, with every setting and what it means.
#
#   privaudit run {file} --dry-run     says what it would take
#   privaudit run {file}
#
# Delete what you leave as it is: a missing setting has its default. Lines that begin with a # and
# no blank are settings that are not set: take the # away to set them.
"""


def resolved_toml(scenario: Scenario) -> str:
    """The file a run keeps, whatever it was started from, so that it can be started again."""
    verb = "run" if scenario.sweep is None else "sweep"
    head = (
        f"# What this {verb} was made from, every setting included: privaudit {verb} scenario.toml"
    )
    return f"{head}\n\n{as_toml(scenario)}"


def as_toml(scenario: Scenario) -> str:
    """The scenario with all its values; what is not set is left out, as TOML has no null."""
    table = scenario.model_dump(mode="json")
    tables = {name: value for name, value in table.items() if isinstance(value, dict)}
    parts = [_lines({name: value for name, value in table.items() if name not in tables})]
    parts += [[f"[{name}]", *_lines(values)] for name, values in tables.items()]
    return _joined(parts)


def commented_toml(scenario: Scenario, file: str) -> str:
    """The same, each setting under its description, and those that are not set as comments."""
    table = scenario.model_dump(mode="json")
    settings = {setting.name: setting for setting in settings_of(Scenario)}
    plain = [s for name, s in settings.items() if not _is_table(name)]
    parts = [_explained(plain, {s.name: table[s.name] for s in plain})]
    for name, setting in settings.items():
        if name == "attack_options":
            parts += _attack_options(scenario, setting)
        elif name == "defences":
            parts.append(_defences(scenario, setting))
        elif _is_table(name):
            head = _comment(setting.description)
            parts.append([*head, *_table(name, _keys(scenario, name), table.get(name))])
    return f"{HEAD.format(file=file)}\n{_joined(parts)}"


def _is_table(name: str) -> bool:
    return (
        name in ("attack_options", "defences")
        or table_type(Scenario.model_fields[name]) is not None
    )


def _keys(scenario: Scenario, table: str) -> list[Setting]:
    """What can be set in a table; of data and model also what depends on their names."""
    model = table_type(Scenario.model_fields[table])
    assert model is not None
    more = {"data": data_settings, "model": model_settings}
    named = more[table](getattr(scenario, table).name) if table in more else []
    return [*settings_of(model), *named]


def _defences(scenario: Scenario, setting: Setting) -> list[str]:
    """Their table, or an example of one as a comment."""
    given = scenario.model_dump(mode="json").get("defences")
    mark = "" if given else "#"
    lines = [line for one in _lines(given or setting.example) for line in (NAMED, mark + one)]
    return [*_comment(setting.description), f"{mark}[defences]", *lines]


def _attack_options(scenario: Scenario, setting: Setting) -> list[list[str]]:
    """A table per attack that has options, under one heading."""
    tables = []
    for attack in scenario.attacks:
        given, known = scenario.attack_options.get(attack), attack_settings(attack)
        if known or given is not None:
            tables.append(_table(f"attack_options.{_key(attack)}", known, given))
    if tables:
        tables[0] = [*_comment(setting.description), *tables[0]]
    return tables


def _table(name: str, known: Iterable[Setting], values: Mapping[str, Any] | None) -> list[str]:
    """A table with its heading; one that is not there as a comment."""
    return [f"{'#' if values is None else ''}[{name}]", *_explained(known, values or {})]


def _explained(known: Iterable[Setting], values: Mapping[str, Any]) -> list[str]:
    lines, left = [], dict(values)
    for setting in known:
        lines += _comment(setting.description)
        value = left.pop(setting.name, None)
        if value is not None:
            lines.append(_line(setting.name, value))
        else:
            start = setting.example if setting.default is None else setting.default
            lines.append(f"#{_line(setting.name, start)}")
    return [*lines, *_lines(left)]


def _lines(values: Mapping[str, Any]) -> list[str]:
    return [_line(key, value) for key, value in values.items() if value is not None]


def _line(key: str, value: Any) -> str:
    return f"{_key(key)} = {'' if value is None else toml_value(value)}".rstrip()


def _joined(parts: Iterable[list[str]]) -> str:
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, WIDTH)]


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _string(key)


def toml_value(value: Any) -> str:
    """In one line, a table as an inline table."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        pairs = (f"{_key(k)} = {toml_value(v)}" for k, v in value.items() if v is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(v) for v in value if v is not None) + "]"
    return " ".join(repr(value).split())  # a default of somebody else's attack may be anything


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
