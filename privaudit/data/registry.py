"""The data sets by name: what each offers, whether its files are here, and how to load it.

Importing this module imports no loader, so that ``privaudit list`` stays quick.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from privaudit.data import sources
from privaudit.data.dataset import Dataset
from privaudit.data.files import SourceFile, default_data_dir
from privaudit.errors import unknown_name
from privaudit.options import Options, parse_options
from privaudit.randomness import Seed

Availability = Callable[[Path], tuple[bool, str]]


@dataclass(frozen=True)
class DatasetInfo:
    """One line of ``privaudit list``, and the module that loads the data set.

    Attributes:
        name: as in a scenario, e.g. ``"mnist-writers"``.
        description: one line.
        task: main task, with its options where there are several.
        properties: names of the private properties under the default options.
        group_kind: what a group is (``"writer"``), or empty.
        licence: of the data.
        obtain: where the data come from.
        module: below ``privaudit.data``; holds ``OPTIONS`` (their type) and ``load``.
        check: cheap answer to "is it here?", given the data folder.
    """

    name: str
    description: str
    task: str
    properties: tuple[str, ...]
    group_kind: str
    licence: str
    obtain: str
    module: str
    check: Availability

    def available(self, data_dir: Path | None = None) -> tuple[bool, str]:
        """Whether the data are on this machine, and a phrase saying where or what is wrong.

        Looks at file names and sizes only; :func:`load_dataset` verifies the checksum.
        """
        return self.check(default_data_dir() if data_dir is None else data_dir)


def _always(phrase: str) -> Availability:
    return lambda _data_dir: (True, phrase)


def _from_file(
    name: str,
    description: str,
    source: SourceFile,
    **fields: Any,
) -> DatasetInfo:
    return DatasetInfo(
        name=name,
        description=description,
        obtain=source.obtain,
        check=source.available,
        **fields,
    )


_ALL = (
    DatasetInfo(
        name="glyphs",
        description="letters and digits 28x28 drawn from 20 typefaces",
        task="character (36 classes, digits or letters)",
        properties=("bold", "italic", "serif"),
        group_kind="",
        licence="generated; typefaces: DejaVu, STIX, Computer Modern",
        obtain="part of the package",
        module="glyphs",
        check=_always("generated, needs no files"),
    ),
    DatasetInfo(
        name="coloured-glyphs",
        description="letters and digits 28x28 in colour, drawn from 20 typefaces",
        task="character (36 classes, digits or letters)",
        properties=("warm", "bold", "italic", "serif"),
        group_kind="",
        licence="generated; typefaces: DejaVu, STIX, Computer Modern",
        obtain="part of the package",
        module="coloured_glyphs",
        check=_always("generated, needs no files"),
    ),
    _from_file(
        "csi",
        "1,298 Dutch reviews by 590 students (CLiPS Stylometry Investigation)",
        sources.CSI,
        task="sentiment (or veracity, category)",
        properties=("gender", "region", "veracity"),
        group_kind="author",
        licence="CC BY-NC-SA 3.0",
        module="csi",
    ),
    _from_file(
        "unipen",
        "105,337 handwritten letters and digits 28x28 by 317 writers",
        sources.UNIPEN,
        task="character (36 classes, digits, letters or 62)",
        properties=("sex", "left_handed"),
        group_kind="writer",
        licence="CC BY 4.0",
        module="unipen",
    ),
    _from_file(
        "mnist-writers",
        "63,000 MNIST digits with the ids of their 788 writers",
        sources.MNIST_WRITERS,
        task="digit",
        properties=("student",),
        group_kind="writer",
        licence="CC BY-SA 3.0",
        module="mnist_writers",
    ),
    _from_file(
        "adult",
        "48,842 rows of the 1994 US census (UCI Adult)",
        sources.ADULT,
        task="income above 50,000 dollars",
        properties=("sex", "race"),
        group_kind="",
        licence="CC BY 4.0",
        module="adult",
    ),
    _from_file(
        "acs-income",
        "977,239 rows of the 2018 US census survey, 39 states",
        sources.ACS_INCOME,
        task="income above 50,000 dollars",
        properties=("sex", "nonwhite", "married"),
        group_kind="state",
        licence="public domain",
        module="acs_income",
    ),
    DatasetInfo(
        name="emnist",
        description="handwritten letters and digits 28x28 (EMNIST, through torchvision)",
        task="character (splits of 10 to 62 classes)",
        properties=(),
        group_kind="",
        licence="US government work (NIST Special Database 19)",
        obtain=sources.EMNIST_OBTAIN,
        module="emnist",
        check=sources.emnist_available,
    ),
    DatasetInfo(
        name="npz",
        description="your own arrays in an .npz file",
        task="the array you name",
        properties=(),
        group_kind="group",
        licence="yours",
        obtain="name the file with the option path",
        module="user_npz",
        check=_always("your own file"),
    ),
    DatasetInfo(
        name="csv",
        description="your own table in a .csv file (or .csv.gz)",
        task="the column you name",
        properties=(),
        group_kind="group",
        licence="yours",
        obtain="name the file with the option path",
        module="user_csv",
        check=_always("your own file"),
    ),
)

DATASETS: dict[str, DatasetInfo] = {info.name: info for info in _ALL}
"""Every data set by name, in the order ``privaudit list`` shows them."""


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Check a data set's name and options without reading any data.

    Raises:
        UserError: unknown name or option (nearest match named), or a value outside its range.
    """
    _prepare(name, options)


def load_dataset(
    name: str, options: Mapping[str, Any], data_dir: Path | None, seed: Seed
) -> Dataset:
    """Load a data set.

    Args:
        name: a key of :data:`DATASETS`.
        options: as the type ``OPTIONS`` of its loader; ``{}`` for the defaults.
        data_dir: folder with the files; None for :func:`default_data_dir`.
        seed: source of all randomness (generation, subsampling); same seed, same bytes.

    Raises:
        UserError: unknown name or option, value outside its range, file missing or altered,
            unusable content.
    """
    module, parsed = _prepare(name, options)
    folder = default_data_dir() if data_dir is None else data_dir
    dataset: Dataset = module.load(parsed, folder, seed.child("data", name))
    return dataset


def _prepare(name: str, options: Mapping[str, Any]) -> tuple[Any, Options]:
    if name not in DATASETS:
        raise unknown_name("data set", name, DATASETS)
    return _module(name), parse_options(options_type(name), options, where=f"data set '{name}'")


def options_type(name: str) -> type[Options]:
    """The type of the options of a data set; its loader is imported."""
    found: type[Options] = _module(name).OPTIONS
    return found


def _module(name: str) -> Any:
    return importlib.import_module(f"privaudit.data.{DATASETS[name].module}")
