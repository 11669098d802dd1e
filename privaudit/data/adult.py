"""UCI Adult: 48,842 rows of the 1994 US census, income above 50,000 dollars.

Source: Becker & Kohavi 1996, UCI Machine Learning Repository (adult.data and adult.test).

Properties: ``sex`` 1 = female (16,192 rows), ``race`` 1 = any but white (7,080 rows). Both columns
stay out of the inputs, so that what leaks is not simply fed in; ``keep_private = true`` puts them
back. ``fnlwgt`` (a sampling weight) and ``education`` (the words for ``education_num``) are
dropped. Numbers are standardised, the two capital columns after log(1 + x), as they are mostly 0
with a long tail; a missing category is a category of its own. There are no groups.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from privaudit.data import sources
from privaudit.data.dataset import Dataset
from privaudit.data.files import sha256_of
from privaudit.data.tables import one_hot_values, standardise
from privaudit.options import Options
from privaudit.randomness import Seed

NUMBERS = ("age", "education_num", "hours_per_week")
LONG_TAILED = ("capital_gain", "capital_loss")
CATEGORIES = ("workclass", "marital_status", "occupation", "relationship", "native_country")
PRIVATE = ("sex", "race")
CLASSES = ("<=50K", ">50K")


class AdultOptions(Options):
    """Options of ``adult``."""

    keep_private: bool = Field(
        False, description="true or false (sex and race among the inputs or not)"
    )


OPTIONS = AdultOptions


def load(options: AdultOptions, data_dir: Path, seed: Seed) -> Dataset:
    """Read and encode the table; nothing is random, ``seed`` is not used.

    Returns:
        Inputs [48842, F] float32; the published split into train and test is not kept.

    Raises:
        UserError: the file is missing or altered.
    """
    del seed
    path = sources.ADULT.locate(data_dir)
    table = pd.read_csv(path, keep_default_na=False)
    categories = CATEGORIES + (PRIVATE if options.keep_private else ())
    columns = [standardise(table[name].to_numpy()) for name in NUMBERS]
    columns += [standardise(np.log1p(table[name].to_numpy())) for name in LONG_TAILED]
    columns += [one_hot_values(table[name].to_numpy(str)) for name in categories]
    return Dataset(
        name="adult",
        kind="table",
        inputs=np.concatenate(columns, axis=1),
        labels=table["income"].map(CLASSES.index).to_numpy(np.int64),
        class_names=CLASSES,
        properties={
            "sex": (table["sex"] == "Female").to_numpy(np.int8),
            "race": (table["race"] != "White").to_numpy(np.int8),
        },
        groups=None,
        group_kind="",
        checksum=sha256_of(path),
        notes=_notes(options),
    )


def _notes(options: AdultOptions) -> tuple[str, ...]:
    if options.keep_private:
        return ("Sex and race are among the inputs: a leak of them is a leak of an input.",)
    return (
        "Sex and race are not among the inputs, but the relationship of husbands and wives "
        "(45 % of the rows) tells their sex.",
    )
