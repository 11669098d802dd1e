"""MNIST digits with the writers that QMNIST gives back to them, 28x28.

Source: LeCun, Cortes & Burges (MNIST); Yadav & Bottou, NeurIPS 2019 (QMNIST labels).

Property: ``student`` 1 = high-school student, 0 = employee of the census bureau; it is constant
within a writer. Groups are the 788 writers, under their NIST numbers. The 60,000 training digits
and the first 3,000 test digits are one set here, as the project splits by writer or record itself;
no writer is in both parts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from privaudit.data import sources
from privaudit.data.archive import read_arrays
from privaudit.data.dataset import Dataset
from privaudit.data.files import sha256_of
from privaudit.options import Options
from privaudit.randomness import Seed


class MnistWritersOptions(Options):
    """``mnist-writers`` has no options."""


OPTIONS = MnistWritersOptions


def load(options: MnistWritersOptions, data_dir: Path, seed: Seed) -> Dataset:
    """Read the digits; nothing is random, ``options`` and ``seed`` are not used.

    Returns:
        Inputs [63000, 28, 28] uint8, white on black.

    Raises:
        UserError: the file is missing or altered.
    """
    del options, seed
    path = sources.MNIST_WRITERS.locate(data_dir)
    arrays = read_arrays(path, ("images", "label", "writer", "student"))
    return Dataset(
        name="mnist-writers",
        kind="image",
        inputs=arrays["images"],
        labels=arrays["label"].astype(np.int64),
        class_names=tuple("0123456789"),
        properties={"student": arrays["student"].astype(np.int8)},
        groups=arrays["writer"].astype(np.int64),
        group_kind="writer",
        checksum=sha256_of(path),
    )
