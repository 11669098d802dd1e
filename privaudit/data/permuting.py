"""A data set whose properties are put on other records: what the audit finds there is chance.

Where every record of a group has the same value, groups are permuted (a writer keeps one hand),
else records. Who states a property stays: only stated values change places. All of a permuted data
set is drawn from the root seed and the number of the permutation, its checksum too, so that
schedules and attackers are fresh draws.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from math import comb

import numpy as np

from privaudit.data.dataset import UNKNOWN, Dataset
from privaudit.errors import UserError
from privaudit.randomness import Seed

MOST = 999
"""Repetitions: a p-value of 0.001 is more than any table asks for."""
OPTION = "--permute-all"


def permuted_dataset(dataset: Dataset, number: int, seed: Seed) -> Dataset:
    """The data set with every property permuted on its own, the ``number``-th time."""
    text = f"privaudit.permuted.v1\0{dataset.checksum}\0{number}"
    return replace(
        dataset,
        properties={
            name: _permuted(values, _of_groups(dataset, name), seed.generator(name, number))
            for name, values in dataset.properties.items()
        },
        checksum=hashlib.sha256(text.encode()).hexdigest(),
    )


def check_permutations(dataset: Dataset, properties: list[str], count: int) -> None:
    """Refuse a number of repetitions that makes no sense here.

    Raises:
        UserError: ``count`` outside 1 to 999, or there are fewer ways to put a property than that.
    """
    if not 1 <= count <= MOST:
        raise UserError(
            f"must be from 1 to {MOST}, got {count}",
            where=OPTION,
            remedy="19 repetitions give p-values from 0.05 on",
        )
    for name in properties:
        groups = _of_groups(dataset, name)
        values = dataset.properties[name]
        stated = values != UNKNOWN
        if groups is None:
            units, present = int(stated.sum()), int((values == 1).sum())
            what = "records"
        else:
            units = len(np.unique(groups[stated]))
            present = len(np.unique(groups[values == 1]))
            what = f"{dataset.group_kind or 'group'}s"
        ways = comb(units, present)
        if ways < count + 1:
            raise UserError(
                f"property '{name}' is on {present} of {units} {what}: {ways} ways to put it, "
                f"fewer than {count} repetitions and the audit itself",
                where=OPTION,
                remedy=f"use at most {ways - 1}" if ways > 1 else "leave it out",
            )


def _of_groups(dataset: Dataset, name: str) -> np.ndarray | None:
    """The groups, if the property belongs to them: all of a group that state it say the same."""
    values, groups = dataset.properties[name], dataset.groups
    if groups is None:
        return None
    stated = values != UNKNOWN
    pairs = np.unique(np.stack([groups[stated], values[stated].astype(np.int64)]), axis=1)
    alone = pairs.shape[1] == len(np.unique(groups[stated]))
    # A group of one record each is no group.
    return groups if alone and len(np.unique(groups[stated])) < stated.sum() else None


def _permuted(
    values: np.ndarray, groups: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    stated = values != UNKNOWN
    made = values.copy()
    if groups is None:
        made[stated] = rng.permutation(values[stated])
        return made
    _, first, where = np.unique(groups[stated], return_index=True, return_inverse=True)
    made[stated] = rng.permutation(values[stated][first])[where]
    return made
