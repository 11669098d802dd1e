"""The files of the data sets that are not part of the package: size, checksum, origin.

Every file is derived from a public source (rows joined, strokes drawn, columns named); the read-me
beside each file says how.
"""

from __future__ import annotations

from pathlib import Path

from privaudit.data.files import SourceFile


def _obtain(folder: str, origin: str) -> str:
    return f"put the folder {folder} of the project's data there (derived from {origin})"


CSI = SourceFile(
    "csi_nl/reviews.csv.gz",
    527_674,
    "b3d3e082c68d37586914f5019bada2666381197082264cdf899bf5068ba58dfb",
    _obtain("csi_nl", "the CLiPS Stylometry Investigation corpus 1.4.0, Zenodo record 4639616"),
)
UNIPEN = SourceFile(
    "unipen_chars/unipen_chars_28x28.npz",
    11_642_503,
    "ffcdabddb088006e26e15a359d3d95d03620cf8c91055dcf76b19f2bee57cdb5",
    _obtain("unipen_chars", "UNIPEN train_r01_v07, Zenodo record 1195803"),
)
MNIST_WRITERS = SourceFile(
    "mnist_writers/mnist_writers_28x28.npz",
    10_392_265,
    "3a8587b032a3a0758bb26a5557baf2d58bb72ccd01d335c2b8e44c7a82454142",
    _obtain("mnist_writers", "MNIST and the QMNIST labels of facebookresearch/qmnist"),
)
ADULT = SourceFile(
    "adult/adult.csv.gz",
    600_190,
    "cfee74f9482f599a0afa30fe70b3ec84f18210dd301dd4c216697315d886cb25",
    _obtain("adult", "the UCI data set 'Adult', adult.data and adult.test"),
)
ACS_INCOME = SourceFile(
    "acs_income_2018/acs_income_2018_39states.npz",
    5_113_090,
    "57c7dd4748c27d3fd015d6b8737f91b98b8d870a43470a0497818f2017378879",
    _obtain("acs_income_2018", "the US census ACS PUMS 2018, task ACSIncome of folktables"),
)

EMNIST_FOLDER = "EMNIST/raw"
EMNIST_OBTAIN = (
    "set the option download = true, or unpack the files of NIST's EMNIST (gzip.zip, idx format) "
    f"into {EMNIST_FOLDER}"
)


def emnist_available(data_dir: Path) -> tuple[bool, str]:
    """Whether any split of EMNIST is there, and a phrase about it."""
    folder = data_dir / EMNIST_FOLDER
    found = sorted(path.name.split("-")[1] for path in folder.glob("emnist-*-train-images-*-ubyte"))
    if not found:
        return False, f"no EMNIST files in {folder}"
    return True, f"{folder}: {', '.join(found)}"
