"""emnist: read from torchvision's raw layout, upright; the import shim."""

from __future__ import annotations

import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest

from privaudit.data.dataset import Dataset
from privaudit.data.registry import DATASETS, load_dataset
from privaudit.data.torchvision_shim import import_torchvision
from privaudit.errors import UserError
from privaudit.randomness import Seed


def write_idx(path: Path, values: np.ndarray) -> None:
    header = struct.pack(f">I{values.ndim}I", 0x0800 + values.ndim, *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def write_split(data_dir: Path, split: str, labels: dict[str, list[int]]) -> None:
    """Files of one split; each image holds its label in row 2, column 20 when upright."""
    folder = data_dir / "EMNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for part, values in labels.items():
        images = np.zeros((len(values), 28, 28), dtype=np.uint8)
        images[:, 20, 2] = values  # as stored: transposed
        write_idx(folder / f"emnist-{split}-{part}-images-idx3-ubyte", images)
        write_idx(folder / f"emnist-{split}-{part}-labels-idx1-ubyte", np.array(values))


def load(data_dir: Path, **options: Any) -> Dataset:
    return load_dataset("emnist", options, data_dir, Seed(0))


def test_both_parts_are_joined_and_images_upright(tmp_path: Path) -> None:
    write_split(tmp_path, "balanced", {"train": [0, 10, 46], "test": [36]})
    dataset = load(tmp_path)
    assert dataset.inputs.shape == (4, 28, 28)
    assert dataset.inputs.flags.c_contiguous
    assert dataset.inputs[:, 2, 20].tolist() == [0, 10, 46, 36]
    assert [dataset.class_names[i] for i in dataset.labels] == ["0", "A", "t", "a"]
    assert dataset.num_classes == 47
    assert dataset.properties == {}


def test_letters_count_from_one(tmp_path: Path) -> None:
    write_split(tmp_path, "letters", {"train": [1, 26], "test": [2]})
    dataset = load(tmp_path, split="letters")
    assert [dataset.class_names[i] for i in dataset.labels] == ["a", "z", "b"]
    assert dataset.num_classes == 26


def test_records_are_drawn_reproducibly(tmp_path: Path) -> None:
    write_split(tmp_path, "digits", {"train": list(range(10)) * 9, "test": list(range(10))})
    first = load(tmp_path, split="digits", records=50)
    assert len(first) == 50
    assert first.checksum == load(tmp_path, split="digits", records=50).checksum
    assert np.array_equal(first.inputs[:, 2, 20], first.labels)
    with pytest.raises(UserError, match="'records' = 101: split 'digits' has 100 images"):
        load(tmp_path, split="digits", records=101)


def test_availability(tmp_path: Path) -> None:
    assert not DATASETS["emnist"].available(tmp_path)[0]
    write_split(tmp_path, "digits", {"train": [1], "test": [2]})
    here, phrase = DATASETS["emnist"].available(tmp_path)
    assert here
    assert phrase.endswith("digits")


def test_missing_files_say_where_and_where_from(tmp_path: Path) -> None:
    with pytest.raises(UserError) as failure:
        load(tmp_path)
    for part in ("emnist-balanced-train-images-idx3-ubyte", str(tmp_path), "download = true"):
        assert part in str(failure.value)


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "label", "fewer"])
def test_damaged_files_are_one_line(damage: str, tmp_path: Path) -> None:
    write_split(tmp_path, "digits", {"train": [1, 2, 3], "test": [4]})
    folder = tmp_path / "EMNIST" / "raw"
    images = folder / "emnist-digits-train-images-idx3-ubyte"
    labels = folder / "emnist-digits-train-labels-idx1-ubyte"
    if damage == "cut":
        images.write_bytes(images.read_bytes()[:-5])
    elif damage == "garbage":
        images.write_bytes(b"garbage" * 99)
    elif damage == "empty":
        images.write_bytes(b"")
    elif damage == "label":
        write_idx(labels, np.array([1, 2, 99]))
    else:
        write_idx(labels, np.array([1, 2]))
    with pytest.raises(UserError, match="damaged"):
        load(tmp_path, split="digits")


def test_without_a_network_the_download_fails_in_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = import_torchvision("datasets").EMNIST

    def no_network(self: Any) -> None:
        Path(self.raw_folder).mkdir(parents=True)
        (Path(self.raw_folder) / "gzip.zip").write_bytes(b"half")
        raise URLError("no network")

    monkeypatch.setattr(reader, "download", no_network)
    with pytest.raises(UserError, match=r"could not be downloaded .*no network"):
        load(tmp_path / "new", download=True)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [".emnist.lock"]


def test_a_download_lands_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = import_torchvision("datasets").EMNIST

    def fetch(self: Any) -> None:
        write_split(Path(self.root), "digits", {"train": [1, 2], "test": [3]})

    monkeypatch.setattr(reader, "download", fetch)
    assert load(tmp_path, split="digits", download=True).labels.tolist() == [1, 2, 3]
    assert load(tmp_path, split="digits").labels.tolist() == [1, 2, 3]


def test_two_that_load_at_once_download_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = import_torchvision("datasets").EMNIST
    both, fetched = Barrier(2), []

    def fetch(self: Any) -> None:
        fetched.append(self.root)
        write_split(Path(self.root), "digits", {"train": [1, 2], "test": [3]})

    def here(*_: object) -> Dataset:
        both.wait()
        return load(tmp_path, split="digits", download=True)

    monkeypatch.setattr(reader, "download", fetch)
    with ThreadPoolExecutor(2) as two:
        assert [found.labels.tolist() for found in two.map(here, range(2))] == [[1, 2, 3]] * 2
    assert len(fetched) == 1


def test_torchvision_imports_from_several_threads_and_twice() -> None:
    code = (
        "from concurrent.futures import ThreadPoolExecutor as T\n"
        "from privaudit.data.torchvision_shim import import_torchvision as f\n"
        "with T(4) as pool: names = [m.__name__ for m in pool.map(f, ['datasets', ''] * 4)]\n"
        "print(*sorted(set(names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["torchvision", "torchvision.datasets"]
