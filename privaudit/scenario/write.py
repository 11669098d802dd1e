"""A scenario as TOML text: as it was resolved, or with every setting explained."""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from typing import Any

from pydantic import BaseModel

from privaudit.scenario.schema import Scenario

WIDTH = 96
HEAD = """\
# A scenario of privaudit, with every setting and what it means.
#
#   privaudit run {file} --dry-run     says what it would take
#   privaudit run {file}
#
# Delete what you leave as it is: a missing setting has its default.
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
    return _document(scenario, explain=False)


def commented_toml(scenario: Scenario, file: str) -> str:
    """The same, each setting under the sentence that documents it."""
    return f"{HEAD.format(file=file)}\n{_document(scenario, explain=True)}"


def _document(scenario: Scenario, *, explain: bool) -> str:
    table = scenario.model_dump(mode="json")
    sections = {k: getattr(scenario, k) for k in table if isinstance(table[k], dict)}
    plain = {k: v for k, v in table.items() if k not in sections}
    parts = [_settings(scenario, plain, explain)]
    for name, section in sections.items():
        values = table[name]
        lines = [f"[{name}]"]
        if explain and isinstance(section, BaseModel):
            summary = (inspect.getdoc(type(section)) or "").split("\n\n")[0]
            about = re.sub(r"^\[\w+\]:?\s*", "", _plain(summary))
            lines = [*_comment(about[:1].upper() + about[1:]), *lines]
        parts.append("\n".join([*lines, _settings(section, values, explain)]).rstrip())
    return "\n\n".join(part for part in parts if part) + "\n"


def _settings(section: Any, values: dict[str, Any], explain: bool) -> str:
    about = _attributes(type(section)) if explain else {}
    lines = []
    for key, value in values.items():
        if key in about:
            lines += _comment(about[key])
        if value is not None:
            lines.append(f"{_key(key)} = {_value(value)}")
        elif explain:
            lines.append(f"# {_key(key)} =")
    return "\n".join(lines)


def _attributes(model: type) -> dict[str, str]:
    """Field -> its sentence, from the ``Attributes:`` of the docstring."""
    _, _, text = (inspect.getdoc(model) or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    name = ""
    for line in textwrap.dedent(text).splitlines():
        start = re.match(r"(\w+): (.*)", line)
        if start:
            name, found[start[1]] = start[1], start[2]
        elif line.strip() and found:
            found[name] += f" {line.strip()}"
    return {key: _plain(sentence) for key, sentence in found.items()}


def _plain(text: str) -> str:
    """Without the marks of a docstring."""
    return re.sub(r":\w+:", "", " ".join(text.split())).replace("`", "")


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, WIDTH)]


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _string(key)


def _value(value: Any) -> str:
    """In one line; tables within a section are inline tables."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, dict):
        pairs = (f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(v) for v in value if v is not None) + "]"
    return repr(value)


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
