"""UNIPEN handwriting: isolated letters and digits of 317 writers, 28x28.

Source: Guyon et al., ICPR 1994 (train_r01_v07, categories 1a to 1c), pen strokes drawn as images.

Properties: ``sex`` 1 = female, ``left_handed`` 1 = left; -1 where the corpus does not say (most
rows). Groups are writers. Over the whole set sex goes with the source (the institution and its
tablet): some sources are all male. For a property that is not a tablet in disguise use
``sources = ["ced"]``. The corpus' mark of quality is the same for all rows of a source, so there is
no option for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from privaudit.data import sources
from privaudit.data.archive import read_arrays
from privaudit.data.dataset import UNKNOWN, Dataset
from privaudit.data.files import sha256_of
from privaudit.errors import UserError, unknown_name
from privaudit.options import Options, choice_as_text
from privaudit.randomness import Seed

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CLASSES = {"36": ALPHABET[:36], "digits": ALPHABET[:10], "letters": ALPHABET[10:36], "62": ALPHABET}
ARRAYS = ("images", "label", "writer", "source", "source_names", "sex", "left_handed")
CLEAN_SOURCES = frozenset({"ced", "aga", "imp", "syn"})
"""Sources in which both sexes wrote on the same tablets."""


class UnipenOptions(Options):
    """Options of ``unipen``."""

    task: Annotated[Literal["36", "digits", "letters", "62"], BeforeValidator(choice_as_text)] = (
        Field("36", description="classes: 36 (either case), digits, letters (either case) or 62")
    )
    sources: list[str] = Field([], description='a list of sources, e.g. ["ced"]; empty = all')


OPTIONS = UnipenOptions


def load(options: UnipenOptions, data_dir: Path, seed: Seed) -> Dataset:
    """Read the characters; nothing is random, ``seed`` is not used.

    Returns:
        Inputs [N, 28, 28] uint8, white on black; N = 105,337 under the default options.

    Raises:
        UserError: the file is missing or altered, or an unknown source (nearest match named).
    """
    del seed
    path = sources.UNIPEN.locate(data_dir)
    arrays = read_arrays(path, ARRAYS)
    rows = _select(arrays, options)
    sex = arrays["sex"][rows]
    chosen = set(arrays["source_names"][np.unique(arrays["source"][rows])])
    return Dataset(
        name="unipen",
        kind="image",
        inputs=arrays["images"][rows],
        labels=_labels(arrays["label"][rows].astype(np.int64), options.task),
        class_names=tuple(CLASSES[options.task]),
        properties={
            "sex": np.where(sex == UNKNOWN, UNKNOWN, 1 - sex).astype(np.int8),
            "left_handed": arrays["left_handed"][rows].astype(np.int8),
        },
        groups=arrays["writer"][rows].astype(np.int64),
        group_kind="writer",
        checksum=sha256_of(path),
        notes=_notes(chosen),
    )


def _select(arrays: dict[str, np.ndarray], options: UnipenOptions) -> np.ndarray:
    """Indices of the rows that the options ask for."""
    keep = np.ones(len(arrays["label"]), dtype=bool)
    known = arrays["source_names"].tolist()
    for source in options.sources:
        if source not in known:
            raise unknown_name("source", source, known, where="data set 'unipen'")
    if options.sources:
        keep &= np.isin(arrays["source_names"][arrays["source"]], options.sources)
    if options.task in ("digits", "letters"):
        keep &= (arrays["label"] < 10) == (options.task == "digits")
    rows = np.flatnonzero(keep)
    if not len(rows):
        raise UserError(
            f"the sources {', '.join(options.sources)} have no {options.task}",
            where="data set 'unipen'",
        )
    return rows


def _labels(label: np.ndarray, task: str) -> np.ndarray:
    """Class indices from positions in the alphabet; lower case joins upper case but for "62"."""
    if task == "62":
        return label
    folded = np.where(label >= 36, label - 26, label)
    return folded - 10 if task == "letters" else folded


def _notes(chosen: set[str]) -> tuple[str, ...]:
    confounded = sorted(chosen - CLEAN_SOURCES)
    if not confounded:
        return ()
    return (
        "Sex is confounded with the source (tablet): some sources are all male. A leak of sex may "
        f"be a leak of the tablet; sources beside {', '.join(sorted(CLEAN_SOURCES))}: "
        f"{', '.join(confounded)}.",
    )
