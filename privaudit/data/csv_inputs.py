"""What each column of a table becomes, and the inputs of the model that it makes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from privaudit.data import user_checks as checks
from privaudit.data.csv_table import CsvTable
from privaudit.data.dataset import Column, Role
from privaudit.data.tables import one_hot, standardise
from privaudit.data.text import build_vocabulary, encode, tokens_of
from privaudit.errors import UserError

INPUT_LIMIT = 4 * 1024**3
"""Largest size of the encoded inputs, in bytes."""

UNLISTED_CATEGORIES = 100
"""Most values of a column that becomes categories without being listed as such."""

MOSTLY = 0.95
"""A column is one of numbers (of dates) if this share of the cells that state something are."""

FEW_RECORDS = 20
"""With fewer records, that all values of a column differ says nothing."""

FEW_A_VALUE = 5
"""Records of a value, on average: with fewer, that all have one class says nothing."""

LARGEST = float(np.finfo(np.float32).max)

DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ]\d{1,2}:\d{2}.*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}( .*:.*)?"
)


@dataclass(frozen=True)
class Wanted:
    """What the user says of columns; what is not said is seen from their cells."""

    label: str
    group: str | None
    properties: dict[str, str]  # name -> column
    numeric: Sequence[str]
    categorical: Sequence[str]
    text: Sequence[str]
    drop: Sequence[str]


@dataclass(frozen=True, eq=False)
class Inputs:
    """Inputs of N records ([N, F] float32, or [N, L] int32 token ids) and what they are made of."""

    values: np.ndarray
    columns: tuple[Column, ...]
    vocabulary: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())


def read_inputs(table: CsvTable, wanted: Wanted, *, vocabulary: int, length: int) -> Inputs:
    """Decide about every column and encode those that are inputs, numbers first.

    Args:
        table: the cells.
        wanted: what was said of them.
        vocabulary: most token ids of a text.
        length: tokens kept of a text.

    Raises:
        UserError: no inputs, or too many; a column that is nearly numbers, dates or categories but
            not quite (column, line, cell and remedy named); a missing number.
    """
    _check(table, wanted)
    notes: list[str] = []
    decided = _decided(table, wanted, notes)
    by_role = {
        role: [name for name, (found, _) in zip(table.names, decided, strict=True) if found == role]
        for role in ("number", "category", "text")
    }
    if by_role["text"]:
        return _as_text(table, wanted, decided, by_role["text"], vocabulary, length)
    numbers = {name: _numbers(table, name) for name in by_role["number"]}
    codes = {name: _codes(table, name) for name in by_role["category"]}
    widths = dict.fromkeys(numbers, 1) | {name: len(kinds) for name, (kinds, _) in codes.items()}
    if not 0 < sum(widths.values()) * len(table) * 4 <= INPUT_LIMIT:
        raise UserError(
            f"{len(widths)} columns make inputs of {sum(widths.values())} numbers a record",
            where=str(table.path),
            remedy=f"1 number to {INPUT_LIMIT:,} bytes in all are possible",
        )
    blocks = [standardise(values) for values in numbers.values()]
    blocks += [one_hot(codes_of, len(kinds)) for kinds, codes_of in codes.values()]
    columns = tuple(
        Column(name, role, widths.get(name, 0), _join(detail, _used(name, wanted)))
        for name, (role, detail) in zip(table.names, decided, strict=True)
    )
    fed = sorted(name for name, column in wanted.properties.items() if column in widths)
    if fed:
        notes.insert(
            0, f"Among the inputs, so that a leak of it is a leak of an input: {', '.join(fed)}."
        )
    return Inputs(np.concatenate(blocks, axis=1), columns, notes=tuple(notes))


def _check(table: CsvTable, wanted: Wanted) -> None:
    listed = [*wanted.numeric, *wanted.categorical, *wanted.text, *wanted.drop]
    for name in listed:
        table.column(name)
        if listed.count(name) > 1:
            raise UserError(
                f"column '{name}' is listed twice",
                where=str(table.path),
                remedy="list it in one of numeric, categorical, text and drop",
            )
    if wanted.label in listed and wanted.label not in wanted.drop:
        raise UserError(f"the label '{wanted.label}' is among the inputs", where=str(table.path))
    if wanted.text and (wanted.numeric or wanted.categorical):
        raise UserError(
            "text cannot be an input beside numbers or categories",
            where=str(table.path),
            remedy="list text alone, or leave it out",
        )


def _decided(table: CsvTable, wanted: Wanted, notes: list[str]) -> list[tuple[Role, str]]:
    """Of every column; what is wrong with any of them is said in one go."""
    found: list[tuple[Role, str]] = []
    wrong: list[UserError] = []
    for name in table.names:
        try:
            found.append(_decide(table, name, wanted, notes))
        except UserError as error:
            wrong.append(error)
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        said = [f"{error.what}; {error.remedy}" for error in wrong]
        raise UserError(
            f"{len(wrong)} columns cannot be used as they are: {' | '.join(said)}",
            where=str(table.path),
        )
    for name, (role, _) in zip(table.names, found, strict=True):
        if role in ("number", "category") and _tells_the_label(table, name, wanted.label):
            notes.append(
                f"Column '{name}' determines the label '{wanted.label}' (each of its values goes "
                "with one class); if it is a copy of it, list it in drop."
            )
    return found


def _tells_the_label(table: CsvTable, name: str, label: str) -> bool:
    """Whether each value of a column, of which there are few, goes with one class."""
    values, classes = table.column(name), table.column(label)
    distinct = values.nunique()
    if not 1 < distinct <= len(table) / FEW_A_VALUE:
        return False
    return len(set(zip(values, classes, strict=True))) == distinct


def _decide(table: CsvTable, name: str, wanted: Wanted, notes: list[str]) -> tuple[Role, str]:
    """Role and detail of a column; ``notes`` takes what a reader must know of it."""
    listed: dict[Role, Sequence[str]] = {
        "text": wanted.text,
        "number": wanted.numeric,
        "category": wanted.categorical,
    }
    for role, names in listed.items():
        if name in names:
            return _with_values(table, name, role)
    said: dict[str, tuple[Role, str]] = {"": ("dropped", "has no name")}
    said |= dict.fromkeys(wanted.properties.values(), ("property", ""))
    said |= {wanted.group: ("group", "")} if wanted.group else {}
    said |= dict.fromkeys(wanted.drop, ("dropped", "listed in drop"))
    said[wanted.label] = ("label", "")
    if name in said:
        return said[name]
    if wanted.text:
        return "dropped", "text is the only input"
    return _by_its_cells(table, name, notes)


def _with_values(table: CsvTable, name: str, role: Role) -> tuple[Role, str]:
    distinct = len(_codes(table, name)[0]) if role == "category" else 0
    if distinct > checks.CLASS_LIMIT:
        raise UserError(
            f"column '{name}' has {distinct} categories",
            where=str(table.path),
            remedy=f"at most {checks.CLASS_LIMIT} are possible; leave it out with drop",
        )
    missing = int(table.missing(name).sum()) if role == "category" else 0
    note = f", one of them for {missing} cells that state nothing" if missing else ""
    return role, f"{distinct} values{note}" if distinct else ""


def _by_its_cells(table: CsvTable, name: str, notes: list[str]) -> tuple[Role, str]:
    stated = ~table.missing(name)
    cells = table.column(name)[stated]
    if not len(cells):
        return "dropped", "no cell states anything"
    numbers = table.numbers(name)[stated]
    share = float(np.mean(~np.isnan(numbers)))
    if share == 1:
        return _number_or_id(table, name, numbers, notes)
    if share >= MOSTLY:
        bad = stated & np.isnan(table.numbers(name))
        raise UserError(
            f"column '{name}' holds numbers, except in {int(bad.sum())} of {len(cells)} cells: "
            f"{table.cell(name, int(bad.argmax()))}",
            where=str(table.path),
            remedy="correct them, or say what the column is: categorical or drop",
        )
    other = "," if table.decimal == "." else "."
    if np.mean(~np.isnan(table.numbers(name, other)[stated])) >= MOSTLY:
        raise UserError(
            f"column '{name}' holds numbers with another decimal mark: "
            f"{table.cell(name, int((stated & np.isnan(table.numbers(name))).argmax()))}",
            where=str(table.path),
            remedy=f'set decimal = "{other}", or list the column in categorical or drop',
        )
    distinct = cells.nunique()
    if np.mean([DATE.fullmatch(cell) is not None for cell in cells.unique()]) >= MOSTLY:
        notes.append(f"Column '{name}' holds dates and is no input; a number made of them can be.")
        return "dropped", "dates; a number made of them (a year, an age) can be an input"
    if distinct == len(table) >= FEW_RECORDS:
        notes.append(f"Column '{name}' names each record (all values differ) and is no input.")
        return "dropped", "an id: all values differ"
    if distinct > UNLISTED_CATEGORIES:
        raise UserError(
            f"column '{name}' would become {distinct} inputs, one for each of its values",
            where=str(table.path),
            remedy=f"more than {UNLISTED_CATEGORIES} must be asked for: list it in categorical, "
            "text or drop",
        )
    return _with_values(table, name, "category")


def _number_or_id(
    table: CsvTable, name: str, numbers: np.ndarray, notes: list[str]
) -> tuple[Role, str]:
    """A number, unless it counts the records; a remark where it looks like ids or codes."""
    whole = bool(np.all(numbers == np.floor(numbers)))
    distinct = len(np.unique(numbers))
    spread = float(numbers.max() - numbers.min()) + 1
    if whole and distinct == len(table) >= FEW_RECORDS:
        if spread == distinct or re.search(r"(^|[_\W])id$", name.lower()):
            notes.append(f"Column '{name}' numbers the records (all values differ): no input.")
            return "dropped", "an id: all values differ"
        notes.append(
            f"Column '{name}' holds another whole number in each record and is read as a number; "
            "if it is an id, list it in drop."
        )
        return "number", "whole numbers, all differ"
    few = 2 < distinct <= checks.CLASS_LIMIT and distinct * 5 <= len(numbers)
    if whole and few and (distinct <= 12 or distinct < spread / 2):
        notes.append(
            f"Column '{name}' holds {distinct} whole numbers and is read as a number; if they are "
            "codes, list it in categorical."
        )
        return "number", f"{distinct} whole numbers: codes?"
    return "number", "always the same" if distinct == 1 else ""


def _numbers(table: CsvTable, name: str) -> np.ndarray:
    numbers = table.numbers(name)
    missing = table.missing(name)
    bad = ~(np.abs(numbers) <= LARGEST)
    if (bad & ~missing).any():
        raise UserError(
            f"column '{name}' has {int((bad & ~missing).sum())} cells that are no finite number, "
            f"e.g. {table.cell(name, int((bad & ~missing).argmax()))}",
            where=str(table.path),
            remedy="correct them, or list the column in categorical or drop",
        )
    checks.refuse_missing(
        bad, name, table.path, remedy="fill them in, leave these records out, or list it in drop"
    )
    return numbers


def _codes(table: CsvTable, name: str) -> tuple[list[str], np.ndarray]:
    """Values in sorted order, and which each record has; all that state nothing are one."""
    cells = table.column(name).mask(table.missing(name), "").to_numpy(str)
    values, codes = np.unique(cells, return_inverse=True)
    return values.tolist(), codes


def _as_text(
    table: CsvTable,
    wanted: Wanted,
    decided: list[tuple[Role, str]],
    names: list[str],
    vocabulary: int,
    length: int,
) -> Inputs:
    joined = table.cells[names].agg(" ".join, axis=1)
    texts = [tokens_of(text) for text in joined]
    words = build_vocabulary(texts, vocabulary)
    values = encode(texts, words, length)
    if len(words) <= 2:
        raise UserError(f"column '{names[0]}' holds no words", where=str(table.path))
    cut = sum(len(text) > length for text in texts)
    columns = tuple(
        Column(
            name,
            role,
            length if name == names[0] else 0,
            _join(f"{length} tokens" if role == "text" else detail, _used(name, wanted)),
        )
        for name, (role, detail) in zip(table.names, decided, strict=True)
    )
    note = f"Texts: a vocabulary of {len(words)} ids; {cut} of {len(texts)} were cut after {length}"
    return Inputs(values, columns, words, (f"{note} tokens.",))


def _used(name: str, wanted: Wanted) -> str:
    """Which properties stand in this column."""
    held = sorted(key for key, column in wanted.properties.items() if column == name)
    return f"property {', '.join(held)}" if held else ""


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
