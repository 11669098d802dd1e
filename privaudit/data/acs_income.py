"""ACSIncome 2018: census rows of 39 US states, income above 50,000 dollars.

Source: US Census Bureau, ACS PUMS 2018; the task is that of Ding et al., NeurIPS 2021 (folktables).

Properties: ``sex`` 1 = female, ``nonwhite`` 1 = any race but white alone, ``married`` 1 = married.
The three columns stay out of the inputs; ``keep_private = true`` puts them back. Groups are states.

Inputs: age, schooling (the ordered PUMS code) and weekly hours standardised; class of worker and
relationship one-hot. Occupation (over 500 codes) is one-hot over the 25 major groups of the 2018
Census occupation list, place of birth over 8 world regions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from privaudit.data import sources
from privaudit.data.archive import read_arrays
from privaudit.data.dataset import Dataset
from privaudit.data.files import sha256_of
from privaudit.data.tables import one_hot, one_hot_values, standardise
from privaudit.errors import UserError, unknown_name
from privaudit.options import Options
from privaudit.randomness import Seed

NUMBERS = ("AGEP", "SCHL", "WKHP")
PRIVATE = ("SEX", "nonwhite", "MAR")
ARRAYS = (*NUMBERS, "COW", "RELP", "OCCP", "POBP", *PRIVATE)
CLASSES = ("<=50K", ">50K")
WORKER_CLASSES = 8  # COW 1..8
RELATIONSHIPS = 18  # RELP 0..17

OCCUPATION_STARTS = (
    *(10, 500, 800, 1005, 1305, 1600, 2001, 2100, 2205, 2600, 3000, 3601, 3700),
    *(4000, 4200, 4330, 4700, 5000, 6005, 6200, 6800, 7000, 7700, 9005, 9800),
)
"""First OCCP code of each major group, from management to the military."""

BIRTHPLACE_STARTS = (1, 60, 100, 200, 300, 360, 400, 500)
"""First POBP code of: US states, US islands, Europe, Asia, North and Central America, South
America, Africa, Oceania and elsewhere."""


class AcsIncomeOptions(Options):
    """Options of ``acs-income``."""

    states: list[str] = Field([], description='a list of states, e.g. ["NY", "WA"]; empty = all 39')
    records: int | None = Field(
        None,
        ge=1,
        le=977_239,
        description="1 to 977,239 rows, drawn at random; unset = all",
        examples=[50_000],
    )
    keep_private: bool = Field(
        False, description="true or false (the private columns among the inputs or not)"
    )


OPTIONS = AcsIncomeOptions


def load(options: AcsIncomeOptions, data_dir: Path, seed: Seed) -> Dataset:
    """Read and encode the rows; ``seed`` decides which rows ``records`` leaves.

    Returns:
        Inputs [N, F] float32, N = 977,239 under the default options (about 240 MB).

    Raises:
        UserError: the file is missing or altered, an unknown state (nearest match named), or more
            records than the chosen states have.
    """
    path = sources.ACS_INCOME.locate(data_dir)
    place = read_arrays(path, ("state", "state_names"))
    rows = _select(place["state"], place["state_names"].tolist(), options, seed)
    arrays = read_arrays(path, (*ARRAYS, "income_gt_50k"))
    columns = {name: values[rows] for name, values in arrays.items()}
    return Dataset(
        name="acs-income",
        kind="table",
        inputs=_encode(columns, options.keep_private),
        labels=columns["income_gt_50k"].astype(np.int64),
        class_names=CLASSES,
        properties={
            "sex": (columns["SEX"] == 2).astype(np.int8),
            "nonwhite": columns["nonwhite"].astype(np.int8),
            "married": (columns["MAR"] == 1).astype(np.int8),
        },
        groups=place["state"][rows].astype(np.int64),
        group_kind="state",
        checksum=sha256_of(path),
        notes=_notes(options),
    )


def _select(
    state: np.ndarray, names: list[str], options: AcsIncomeOptions, seed: Seed
) -> np.ndarray:
    """Indices of the chosen rows, in the order of the file."""
    for name in options.states:
        if name not in names:
            raise unknown_name("state", name, names, where="data set 'acs-income'")
    chosen = [names.index(name) for name in options.states or names]
    rows = np.flatnonzero(np.isin(state, chosen))
    if options.records is None:
        return rows
    if options.records > len(rows):
        raise UserError(
            f"option 'records' = {options.records}: the chosen states have {len(rows)} rows",
            where="data set 'acs-income'",
        )
    return np.sort(seed.generator("records").choice(rows, options.records, replace=False))


def _encode(columns: dict[str, np.ndarray], keep_private: bool) -> np.ndarray:
    blocks = [standardise(columns[name]) for name in NUMBERS]
    blocks += [
        one_hot(columns["COW"] - 1, WORKER_CLASSES),
        one_hot(columns["RELP"], RELATIONSHIPS),
        one_hot(_bin(columns["OCCP"], OCCUPATION_STARTS), len(OCCUPATION_STARTS)),
        one_hot(_bin(columns["POBP"], BIRTHPLACE_STARTS), len(BIRTHPLACE_STARTS)),
    ]
    if keep_private:
        blocks += [one_hot_values(columns[name]) for name in PRIVATE]
    return np.concatenate(blocks, axis=1)


def _bin(codes: np.ndarray, starts: tuple[int, ...]) -> np.ndarray:
    """Index of the group each code falls into, given the first code of every group."""
    return np.searchsorted(starts, codes, side="right") - 1


def _notes(options: AcsIncomeOptions) -> tuple[str, ...]:
    if options.keep_private:
        return ("The private columns are among the inputs: a leak of them is a leak of an input.",)
    return (
        "Marriage is not among the inputs, but the relationship to the householder (spouse) "
        "tells it for part of the rows.",
    )
