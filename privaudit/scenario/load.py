"""From a name or a file, plus ``--set a.b=c``, to a checked :class:`Scenario`."""

from __future__ import annotations

import contextlib
import difflib
import math
import os
import reprlib
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from privaudit.defences.registry import KINDS
from privaudit.errors import UserError, unknown_name
from privaudit.scenario.claims import check_budget_of_privacy
from privaudit.scenario.schema import Scenario, table_type

MAX_BYTES = 1 << 20
"""A scenario file larger than this is not a scenario file."""

MAX_DEPTH = 32
"""Tables within tables that an override may name; no setting lies deeper than four."""

NUMBERS = ("int_type", "float_type")
"""How pydantic calls a value that is no number."""
WRITTEN = {
    "list_type": 'a list, such as ["one"] or [1, 2]',
    "dict_type": "a table, such as {name = 1}",
    "bool_type": "true or false, without quotes",
    "int_type": "a whole number, such as 3",
    "float_type": "a number, such as 0.5",
    "string_type": 'a text in quotes, such as "one"',
}
"""How pydantic calls a value of the wrong type, and what to write instead."""

IN_A_SWEEP = {"ledger.enabled": False, "audit.keep_traces": False, "report.devices": []}
"""What every audit of a sweep has in common, whatever the scenario says."""


def bundled() -> dict[str, Path]:
    """Name -> file of every scenario in the package."""
    folder = Path(str(resources.files("privaudit.scenario") / "library"))
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}


def load_scenario(name_or_path: str, overrides: Sequence[str] = ()) -> Scenario:
    """Read a bundled scenario by name, or a ``.toml`` file by path, and apply the overrides.

    A relative ``data.path`` becomes absolute: in a file it starts at the file's folder, in an
    override at the working folder.

    Raises:
        UserError: no such scenario, not TOML, unknown key (with the nearest match), value out of
            range, or an override that is not ``key=value``.
    """
    file = _find(name_or_path)
    table = _read(file)
    _anchor(table, file.parent)
    given = [_apply(table, override) for override in overrides]
    _anchor(table, Path())
    return check_scenario(table, where=file.name, given=given)


def load_sweep(
    name_or_path: str, overrides: Sequence[str] = (), over: str | None = None
) -> Scenario:
    """A scenario with a ``[sweep]``: its own, or the one that ``over`` (``key=v1,v2,...``) names.

    Raises:
        UserError: as :func:`load_scenario` and :func:`variants`; or there is nothing to sweep over.
    """
    scenario = load_scenario(name_or_path, overrides)
    if over is not None:
        key, equals, text = over.partition("=")
        if not equals or not key.strip():
            raise UserError(
                f"'{over}' is not key=v1,v2,...",
                where="--over",
                remedy="e.g. --over federation.rounds=0,5,10",
            )
        values = [parse_value(part) for part in _at_commas(text)]
        table = scenario.model_dump(mode="json")
        table["sweep"] = {"key": key.strip(), "values": values}
        _anchor(table, Path())
        scenario = check_scenario(table, where="--over")
    if scenario.sweep is None:
        raise UserError(
            f"scenario '{scenario.name}' has no [sweep]",
            where="--over",
            remedy="name a key and its values, e.g. --over federation.rounds=0,5,10",
        )
    return scenario


def check_scenario(table: dict[str, Any], *, where: str, given: Sequence[str] = ()) -> Scenario:
    """Validate a parsed scenario, with every value of its sweep; the first problem is one line.

    Args:
        table: as parsed.
        where: the file it is from, for the errors.
        given: the keys that ``--set`` gave: an error in one of them is not the file's.
    """
    try:
        _check_values(table, "", where)
        scenario = Scenario.model_validate(table)
    except ValidationError as error:
        raise _explain(error, where, given) from error
    except RecursionError as error:
        raise UserError("values are nested too deeply", where=where) from error
    check_budget_of_privacy(scenario, where=where)
    if scenario.sweep is not None:
        variants(scenario, where=where)
    return scenario


def variants(scenario: Scenario, *, where: str = "sweep") -> list[Scenario]:
    """One scenario without ``[sweep]`` per value of the sweep, in the order of the values.

    They keep neither a ledger nor traces, and time no devices: a sweep asks about attacks only.

    Args:
        scenario: a scenario with a ``[sweep]``.
        where: where the sweep was written, for the errors.

    Raises:
        UserError: the key is unknown, a table or inside a value; a value is not valid for it; or
            two values give the same scenario.
    """
    assert scenario.sweep is not None
    key, values = scenario.sweep.key, scenario.sweep.values
    if isinstance(_look_up(scenario.model_dump(mode="json"), key), dict):
        remedy = "name one setting in it, e.g. federation.rounds"
        raise UserError(f"sweep.key: '{key}' is a table", where=where, remedy=remedy)
    found: list[Scenario] = []
    for value in values:
        table = scenario.model_dump(mode="json")
        del table["sweep"]
        for name, setting in {**IN_A_SWEEP, key: value}.items():
            _set(table, name, setting, where)
        variant = check_scenario(table, where=f"{where}: sweep")
        if variant in found:
            raise UserError(
                f"sweep.values: {value!r} is there twice, or means the same as another value",
                where=where,
                remedy="give each value once",
            )
        found.append(variant)
    return found


def refuse_sweep(scenario: Scenario) -> None:
    """Refuse a scenario that is several audits where one is asked for."""
    if scenario.sweep is not None:
        raise UserError(
            f"scenario '{scenario.name}' is a sweep over {scenario.sweep.key}, not one audit",
            remedy="use privaudit sweep",
        )


def _look_up(table: Any, key: str) -> Any:
    for part in key.split("."):
        table = table.get(part) if isinstance(table, dict) else None
    return table


def _check_values(value: Any, key: str, where: str) -> None:
    """Refuse what JSON does not hold: a run keeps its scenario as JSON and reads it again."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_values(name, key, where)
            _check_values(inner, f"{key}.{name}" if key else str(name), where)
    elif isinstance(value, list):
        for inner in value:
            _check_values(inner, key, where)
    elif isinstance(value, str):
        if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise UserError(f"{key or 'a key'}: not a text in UTF-8 (got {value!r})", where=where)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise UserError(f"{key}: must be a finite number (got {value})", where=where)
    elif value is not None and not isinstance(value, int):
        raise UserError(f"{key}: dates and times are not settings (got {value})", where=where)


def _find(name_or_path: str) -> Path:
    known = bundled()
    if name_or_path in known:
        return known[name_or_path]
    path = Path(name_or_path)
    if path.suffix == ".toml" or "/" in name_or_path:
        with contextlib.suppress(OSError):  # e.g. a name that is too long
            if path.is_file():
                return path
        raise UserError(f"no scenario file '{name_or_path}'", remedy="check the path")
    raise unknown_name("scenario", name_or_path, known)


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise UserError(f"larger than {MAX_BYTES} bytes", where=str(file))
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except UserError:
        raise
    except (OSError, ValueError, RecursionError) as error:  # bytes, syntax, numbers, nesting
        raise UserError(
            f"not a readable TOML file: {error}", where=str(file), remedy="correct the file"
        ) from error


def _anchor(table: dict[str, Any], folder: Path) -> None:
    """Make a relative path of the data, or of a sweep over data, one from this folder."""
    data, sweep = table.get("data"), table.get("sweep")
    if isinstance(data, dict) and isinstance(data.get("path"), str):
        data["path"] = _absolute(data["path"], folder)
    if isinstance(sweep, dict) and sweep.get("key") == "data.path":
        values = sweep.get("values")
        if isinstance(values, list):
            sweep["values"] = [_absolute(v, folder) if isinstance(v, str) else v for v in values]


def _absolute(path: str, folder: Path) -> str:
    try:
        return os.path.abspath(folder / Path(path).expanduser())
    except (ValueError, RuntimeError):  # no path, or a home nobody has: refused when it is opened
        return path


def _apply(table: dict[str, Any], override: str) -> str:
    """Its key."""
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UserError(
            f"'{override}' is not key=value", where="--set", remedy="e.g. --set audit.rounds=40"
        )
    _set(table, key.strip(), parse_value(text), "--set")
    return key.strip()


def _set(table: dict[str, Any], key: str, value: Any, where: str) -> None:
    """Put a value at a dotted key, with the tables that lead to it."""
    parts = key.split(".")
    if len(parts) > MAX_DEPTH:
        raise UserError(f"'{key[:40]}...' is nested too deeply", where=where)
    node = table
    for part in parts[:-1]:
        child = node.setdefault(part, {})
        if not isinstance(child, dict):
            raise UserError(f"'{part}' of '{key}' is a value, not a table", where=where)
        node = child
    node[parts[-1]] = value


def _at_commas(text: str) -> list[str]:
    """The parts of a list, split at the commas that are in no bracket and no quotes."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        else:
            depth += (character in "[{") - (character in "]}")
        if character == "," and not quote and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def parse_value(text: str) -> Any:
    """A TOML value, ``null``, or else the text itself (so that names need no quotes)."""
    text = text.strip()
    if text in ("null", "none"):
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # not TOML, a number too long, nested too deeply
        return text


def _explain(error: ValidationError, where: str, given: Sequence[str] = ()) -> UserError:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    key = ".".join(location)
    unknown = first["type"] == "extra_forbidden"
    if any(_within(key, own) or (unknown and _within(own, key)) for own in given):
        where = "--set"
    elif any(not key or _within(own, key) for own in given):  # of values beside one another
        where = f"{where} with --set"
    if unknown:
        siblings = _fields_at(location[:-1])
        elsewhere = _elsewhere(location[-1])
        close = difflib.get_close_matches(location[-1], siblings, n=1, cutoff=0.4)
        if elsewhere:
            hint = f"it belongs to {' or '.join(f'[{name}]' for name in elsewhere)}; "
        else:
            hint = f"did you mean '{'.'.join([*location[:-1], close[0]])}'? " if close else ""
        return UserError(
            f"unknown key '{key}'", where=where, remedy=f"{hint}known: {', '.join(siblings)}"
        )
    if first["type"] == "missing":
        return UserError(f"'{key}' is missing", where=where)
    message = first["msg"].removeprefix("Value error, ")
    value = first.get("input")
    shown = f" (got {reprlib.repr(value)})" if not isinstance(value, dict | BaseModel) else ""
    remedy = None
    if first["type"] in NUMBERS and isinstance(value, str) and _is_number(value):
        remedy = "leave out the quotes"
    elif first["type"] in WRITTEN:
        remedy = f"write {WRITTEN[first['type']]}"
    return UserError(f"{key}: {message}{shown}" if key else message, where=where, remedy=remedy)


def _within(key: str, table: str) -> bool:
    return f"{key}.".startswith(f"{table}.")


def _elsewhere(key: str) -> list[str]:
    """Tables that have a key of this name."""
    tables = {name: table_type(field) for name, field in Scenario.model_fields.items()}
    return [name for name, table in tables.items() if table and key in table.model_fields]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _fields_at(location: Sequence[str]) -> list[str]:
    model: type[BaseModel] = Scenario
    if location[:1] == ["defences"]:
        kind = KINDS.get(location[-1])
        return sorted(kind.model_fields) if kind else []
    for part in location:
        field = model.model_fields.get(part)
        found = table_type(field) if field else None
        if found is None:
            return []
        model = found
    return sorted(model.model_fields)
