"""EMNIST through torchvision: handwritten letters and digits, 28x28.

Source: Cohen, Afshar, Tapson & van Schaik, IJCNN 2017. The files state neither the writer nor any
private property, so this data set has a main task only.

The files are those of torchvision, in ``EMNIST/raw`` below the data folder; its published training
and test parts are joined here, as the project splits by itself. EMNIST stores its images
transposed; they are turned upright.
"""

from __future__ import annotations

import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock
from pydantic import Field

from privaudit.data.dataset import Dataset
from privaudit.data.files import DATA_VARIABLE, sha256_of_arrays
from privaudit.data.sources import EMNIST_FOLDER, EMNIST_OBTAIN
from privaudit.data.torchvision_shim import import_torchvision
from privaudit.errors import UserError
from privaudit.options import Options
from privaudit.randomness import Seed

UNREADABLE = (OSError, RuntimeError, ValueError, TypeError, KeyError, AssertionError)
"""What torchvision's reader raises on a damaged file."""


class EmnistOptions(Options):
    """Options of ``emnist``."""

    split: Literal["balanced", "byclass", "bymerge", "letters", "digits", "mnist"] = Field(
        "balanced",
        description="which: balanced, byclass, bymerge, letters, digits or mnist",
    )
    records: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="1 to 1,000,000 images, drawn at random; unset = all",
        examples=[50_000],
    )
    download: bool = Field(False, description="true or false (fetch the files if missing)")


OPTIONS = EmnistOptions


def load(options: EmnistOptions, data_dir: Path, seed: Seed) -> Dataset:
    """Read both parts of a split; ``seed`` decides which images ``records`` leaves.

    Returns:
        Inputs [N, 28, 28] uint8, white on black, upright.

    Raises:
        UserError: files missing or damaged, download failed, more records than the split has.
    """
    reader = import_torchvision("datasets").EMNIST
    _ensure_files(reader, options, data_dir)
    train = _read(reader, data_dir, options.split, train=True)
    test = _read(reader, data_dir, options.split, train=False)
    labels = np.concatenate([train.targets.numpy(), test.targets.numpy()])
    rows = _select(len(labels), options, seed)
    images = np.concatenate([train.data.numpy(), test.data.numpy()])[rows]
    images = np.ascontiguousarray(images.transpose(0, 2, 1))
    first = 1 if options.split == "letters" else 0  # that split counts its classes from 1
    labels = labels[rows].astype(np.int64) - first
    classes = tuple(train.classes[first:])
    if labels.min(initial=0) < 0 or labels.max(initial=0) >= len(classes):
        raise UserError(f"the label file of split '{options.split}' in {data_dir} is damaged")
    return Dataset(
        name="emnist",
        kind="image",
        inputs=images,
        labels=labels,
        class_names=classes,
        properties={},
        groups=None,
        group_kind="",
        checksum=sha256_of_arrays(images, labels),
        notes=("The files of EMNIST state no private property and no writer.",),
    )


def _ensure_files(reader: Any, options: EmnistOptions, data_dir: Path) -> None:
    missing = _missing(options.split, data_dir)
    if not missing:
        return
    if not options.download:
        raise UserError(
            f"no file {missing[0]} in {data_dir / EMNIST_FOLDER}",
            where="data set 'emnist'",
            remedy=f"{EMNIST_OBTAIN}; name the data folder with --data-dir or {DATA_VARIABLE}",
        )
    _download(reader, options.split, data_dir)


def _missing(split: str, data_dir: Path) -> list[str]:
    """Files of a split that are not there."""
    return [
        name
        for part in ("train", "test")
        for kind in ("images-idx3", "labels-idx1")
        if not (
            data_dir / EMNIST_FOLDER / (name := f"emnist-{split}-{part}-{kind}-ubyte")
        ).is_file()
    ]


def _download(reader: Any, split: str, data_dir: Path) -> None:
    """Fetch into a temporary folder first, so that no half-written files stay behind.

    Processes of one command load at the same time: the first one fetches, the others find it there.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with (
            FileLock(data_dir / ".emnist.lock"),
            tempfile.TemporaryDirectory(dir=data_dir, prefix="emnist.partial.") as staging,
        ):
            if not _missing(split, data_dir):
                return
            reader(staging, split=split, train=True, download=True)
            target = data_dir / EMNIST_FOLDER
            target.mkdir(parents=True, exist_ok=True)
            for path in (Path(staging) / EMNIST_FOLDER).glob("*-ubyte"):
                path.replace(target / path.name)
    except (OSError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as problem:
        raise UserError(
            f"EMNIST could not be downloaded into {data_dir}: {problem}",
            where="data set 'emnist'",
            remedy=f"without a network, {EMNIST_OBTAIN}",
        ) from None


def _read(reader: Any, data_dir: Path, split: str, *, train: bool) -> Any:
    part = "train" if train else "test"
    damaged = UserError(
        f"the {part} files of split '{split}' in {data_dir / EMNIST_FOLDER} are damaged",
        where="data set 'emnist'",
        remedy=f"remove them; {EMNIST_OBTAIN}",
    )
    try:
        data = reader(str(data_dir), split=split, train=train, download=False)
    except UNREADABLE:
        raise damaged from None
    if len(data.data) != len(data.targets) or data.data.shape[1:] != (28, 28):
        raise damaged
    return data


def _select(total: int, options: EmnistOptions, seed: Seed) -> np.ndarray:
    if options.records is None:
        return np.arange(total)
    if options.records > total:
        raise UserError(
            f"option 'records' = {options.records}: split '{options.split}' has {total} images",
            where="data set 'emnist'",
        )
    return np.sort(seed.generator("records").choice(total, options.records, replace=False))
