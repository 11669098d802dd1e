"""CLiPS Stylometry Investigation corpus: Dutch reviews, with their authors' gender and region.

Source: Verhoeven & Daelemans, LREC 2014; used by Melis et al., IEEE S&P 2019 (1,412 reviews; the
release that can be had holds 1,298 by 590 authors).

Tokens and vocabulary: :mod:`privaudit.data.text`; the tag ``*PROPNAME*`` of the column without
product names so becomes ``propname``. A text is cut after ``length`` tokens or padded at its end.
Length 300 is that of Melis et al.; tokenisation and vocabulary size are not stated there and are
ours.

Properties: ``gender`` 1 = female; ``region`` 1 = Antwerpen (856 of 1,298 reviews); ``veracity``
1 = truthful; ``sentiment`` 1 = positive, only where it is not the task.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from privaudit.data import sources
from privaudit.data.dataset import Dataset
from privaudit.data.files import sha256_of
from privaudit.data.text import build_vocabulary, encode, tokens_of
from privaudit.options import Options
from privaudit.randomness import Seed

PRESENT = {
    "gender": "Female",
    "region": "Antwerpen",
    "veracity": "truthful",
    "sentiment": "positive",
}
"""Column -> the value that counts as the property being present."""

CLASSES = {
    "sentiment": ("negative", "positive"),
    "veracity": ("deceptive", "truthful"),
    "category": ("Boeken", "Eten/drank Ketens", "Films", "Muzikanten", "Smartphones"),
}


class CsiOptions(Options):
    """Options of ``csi``."""

    text: Literal["text", "text_propname"] = Field(
        "text",
        description="the column that is read: text, or text_propname (product names replaced by a "
        "tag)",
    )
    task: Literal["sentiment", "veracity", "category"] = Field(
        "sentiment", description="classes: sentiment, veracity or category"
    )
    vocabulary: int = Field(
        4_000, ge=10, le=20_000, description="10 to 20,000 ids, padding and unknown included"
    )
    length: int = Field(300, ge=5, le=1_000, description="5 to 1,000 tokens of a review")


OPTIONS = CsiOptions


def load(options: CsiOptions, data_dir: Path, seed: Seed) -> Dataset:
    """Read the corpus; nothing is random, ``seed`` is not used.

    Returns:
        Inputs [1298, length] int32; groups are the 590 authors, numbered in the order of their
        pseudonyms.

    Raises:
        UserError: the file is missing or altered.
    """
    del seed
    path = sources.CSI.locate(data_dir)
    table = pd.read_csv(path, keep_default_na=False, dtype=str)
    texts = [tokens_of(text) for text in table[options.text]]
    vocabulary = build_vocabulary(texts, options.vocabulary)
    classes = CLASSES[options.task]
    return Dataset(
        name="csi",
        kind="text",
        inputs=encode(texts, vocabulary, options.length),
        labels=table[options.task].map(classes.index).to_numpy(np.int64),
        class_names=classes,
        properties={
            name: (table[name] == value).to_numpy(np.int8)
            for name, value in PRESENT.items()
            if name != options.task
        },
        groups=np.unique(table["author_id"], return_inverse=True)[1].astype(np.int64),
        group_kind="author",
        checksum=sha256_of(path),
        vocabulary=vocabulary,
        notes=_notes(options, texts),
    )


def _notes(options: CsiOptions, texts: list[list[str]]) -> tuple[str, ...]:
    cut = sum(len(text) > options.length for text in texts)
    notes = [
        "1,298 reviews by 590 authors (Melis et al.: 1,412 reviews); nearly every author wrote "
        "two, so a split by review puts the same author on both sides.",
        f"{cut} reviews were cut after {options.length} tokens.",
    ]
    if options.text == "text":
        notes.append(
            "Deceptive reviews name made-up products, so product names alone tell veracity; "
            "the option text = 'text_propname' hides them."
        )
    return tuple(notes)
