"""Ground truth: in which rounds the target's records hold the property, and who draws what.

Melis et al. 2019, section VI-B: ``single-batch`` - half of the target's batches hold only records
with the property, the others none (m = 2). Section VII-A: among the honest clients only the target
has records with the property (``others = "without"``); ``natural`` drops that assumption.
``dataset`` asks about a persistent property: it is there in every round of a run, or in none, and
each federation is run in both of these states. ``episodes`` asks when it appears (section VI-D):
in half of the runs it is there for one stretch of rounds, in the others never.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from privaudit.data.dataset import Dataset
from privaudit.errors import UserError
from privaudit.federation.partition import ADVERSARY, TARGET, Partition, UnevenDealError

Others = Literal["without", "natural"]
Schedule = Literal["single-batch", "dataset", "episodes"]

FEWEST_ROUNDS, MOST_ROUNDS, LEAST_STRETCH = 16, 500, 4
"""Rounds of a federation in which a property may appear, and those it is there for at least: what
:mod:`privaudit.statistics.appearing` can look through."""


@dataclass(frozen=True)
class PropertyPools:
    """For each client the records it draws from: [with the property, without it, any]."""

    present: tuple[np.ndarray, ...]
    absent: tuple[np.ndarray, ...]
    every: tuple[np.ndarray, ...]


def targets_of(rounds: int, participants: int, *, rotate: bool) -> np.ndarray:
    """[rounds] client whose records a round is about: the target, or one honest client in turn."""
    numbers = np.arange(rounds)
    return TARGET + numbers % (participants - 1) if rotate else np.full(rounds, TARGET)


def property_pools(
    dataset: Dataset,
    partition: Partition,
    name: str,
    batch_size: int,
    others: Others,
    *,
    rotate: bool = False,
) -> PropertyPools:
    """Split each client's records by the property; records that do not state it are left out.

    Raises:
        UserError: a value is missing.
        UnevenDealError: adversary, a target (``rotate``: every honest client is one) or (``others =
            "without"``) a bystander holds too few records of it for one batch.
    """
    values = dataset.properties[name]
    known = values[values >= 0]
    if len(np.unique(known)) < 2:
        only = "no record states it" if not len(known) else f"every known value is {known[0]}"
        raise UserError(
            f"property '{name}' of '{dataset.name}' has one value only ({only})",
            where="audit.properties",
            remedy="choose a property with both values",
        )
    present = tuple(part[values[part] == 1] for part in partition.clients)
    absent = tuple(part[values[part] == 0] for part in partition.clients)
    targets = range(TARGET, len(partition.clients) if rotate else TARGET + 1)
    for client, role in ((ADVERSARY, "adversary"), *((client, "target") for client in targets)):
        for pool, what in ((present, "with"), (absent, "without")):
            _need(len(pool[client]), batch_size, f"the {role} (client {client})", what, name)
    if others == "without":
        for client in range(2, len(partition.clients)):
            _need(len(absent[client]), batch_size, f"client {client}", "without", name)
    return PropertyPools(present, absent, partition.clients)


def _need(held: int, batch_size: int, who: str, what: str, name: str) -> None:
    if held < batch_size:
        raise UnevenDealError(
            f"{who} holds {held} records {what} property '{name}', one batch needs {batch_size}",
            where="audit",
            remedy="use a smaller audit.batch_size, fewer participants or more data",
        )


def balanced_presence(rounds: int, rng: np.random.Generator) -> np.ndarray:
    """[rounds] bool: half of the rounds present (the odd one by a coin), in random order."""
    extra = int(rng.integers(2)) if rounds % 2 else 0
    return rng.permutation(np.arange(rounds) < rounds // 2 + extra)


def stretches(rounds: int, length: int | None) -> np.ndarray:
    """[S, rounds] bool: every stretch that the property may be there for, each as likely.

    None begins in the first quarter of the rounds. With ``length`` it is there for so many, else to
    the end, of which the last quarter is left.
    """
    quarter, numbers = rounds // 4, np.arange(rounds)
    starts = np.arange(quarter, rounds - (length or quarter) + 1)[:, None]
    found: np.ndarray = (numbers >= starts) & (numbers < starts + (length or rounds))
    return found


def draw(
    pools: PropertyPools,
    client: int,
    present: bool,
    *,
    size: int,
    share: float,
    others: Others,
    rng: np.random.Generator,
    target: int = TARGET,
) -> np.ndarray:
    """The records one client trains on in one audited round, [size] indices.

    The target draws ``round(share * size)`` records with the property when ``present``, none
    otherwise. The adversary is an ordinary client: it draws from all its records.
    """
    if client == ADVERSARY or (client != target and others == "natural"):
        return draw_any(pools.every[client], size, rng)
    with_property = round(share * size) if client == target and present else 0
    chosen = [
        draw_any(pools.present[client], with_property, rng),
        draw_any(pools.absent[client], size - with_property, rng),
    ]
    return rng.permutation(np.concatenate(chosen))


def draw_any(pool: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """``size`` records: without replacement where the pool is large enough, with it otherwise."""
    if not size:
        return np.empty(0, dtype=np.int64)
    return rng.choice(pool, size, replace=size > len(pool))


def as_batches(records: np.ndarray, batch_size: int) -> Sequence[np.ndarray]:
    """Consecutive batches; a rest shorter than ``batch_size`` is a batch of its own."""
    return [records[i : i + batch_size] for i in range(0, len(records), batch_size)]
