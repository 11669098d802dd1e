"""npz: what the user's arrays become, and one line for everything that can be wrong."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privaudit.data import archive
from privaudit.data.dataset import Dataset
from privaudit.data.registry import load_dataset
from privaudit.errors import UserError
from privaudit.randomness import Seed

RECORDS = 12
OPTIONS = {"kind": "image", "properties": {"bold": "is_bold"}, "groups": "writer"}


def arrays() -> dict[str, Any]:
    steps = np.arange(RECORDS)
    return {
        "inputs": np.broadcast_to(steps[:, None, None], (RECORDS, 4, 4)).astype(np.uint8),
        "labels": steps % 3,
        "is_bold": np.array([1, 0, -1] * 4),
        "writer": np.array(["ann", "bob"] * 6),
    }


def load(path: Path, **options: Any) -> Dataset:
    return load_dataset("npz", {"path": str(path), **OPTIONS, **options}, None, Seed(0))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write_file(**changed: Any) -> Path:
        content = {k: v for k, v in {**arrays(), **changed}.items() if v is not None}
        np.savez_compressed(tmp_path / "mine.npz", **content)
        return tmp_path / "mine.npz"

    return write_file


def test_images(write: Callable[..., Path]) -> None:
    dataset = load(write())
    assert dataset.kind == "image"
    assert np.array_equal(dataset.inputs, arrays()["inputs"])
    assert dataset.class_names == ("0", "1", "2")
    assert dataset.properties["bold"].tolist() == [1, 0, -1] * 4
    assert dataset.unknown("bold") == 4
    assert dataset.groups is not None
    assert dataset.groups.tolist() == [0, 1] * 6
    assert dataset.group_kind == "writer"


def test_tables_and_string_labels(write: Callable[..., Path]) -> None:
    path = write(inputs=np.ones((RECORDS, 3)), labels=np.array(["no", "yes"] * 6))
    dataset = load(path, kind="table", groups=None, properties={})
    assert dataset.inputs.dtype == np.float32
    assert dataset.class_names == ("no", "yes")
    assert dataset.groups is None
    assert dataset.properties == {}


def test_text(write: Callable[..., Path]) -> None:
    dataset = load(write(inputs=np.arange(RECORDS * 2).reshape(RECORDS, 2)), kind="text")
    assert dataset.inputs.dtype == np.int32
    assert len(dataset.vocabulary) == 24


def test_booleans_and_floats_are_properties_too(write: Callable[..., Path]) -> None:
    known = np.array([True, False] * 6)
    assert load(write(is_bold=known)).properties["bold"].tolist() == [1, 0] * 6
    assert load(write(is_bold=known.astype(float))).properties["bold"].tolist() == [1, 0] * 6


@pytest.mark.parametrize(
    "values",
    [
        [1.0, 0.0, np.nan] * 4,
        ["1", "0", "NA"] * 4,
        [" true", "False ", ""] * 4,
        ["1.0", "0.0", "?"] * 4,
    ],
)
def test_what_states_nothing_is_unknown(values: list[Any], write: Callable[..., Path]) -> None:
    assert load(write(is_bold=np.array(values))).properties["bold"].tolist() == [1, 0, -1] * 4


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3)])
def test_images_of_every_shape(shape: tuple[int, ...], write: Callable[..., Path]) -> None:
    pictures = np.arange(RECORDS * np.prod(shape)).reshape(RECORDS, *shape).astype(np.uint8)
    dataset = load(write(inputs=pictures))
    assert np.array_equal(dataset.inputs, pictures)
    [image] = [column for column in dataset.columns if column.role == "image"]
    assert (image.name, image.inputs) == ("inputs", np.prod(shape))
    assert {c.name: c.role for c in dataset.columns} == {
        "inputs": "image",
        "labels": "label",
        "is_bold": "property",
        "writer": "group",
    }


WITH_NAN = np.ones((RECORDS, 3))
WITH_NAN[2, 1] = np.nan
WITH_NAN[5, 1] = np.inf


@pytest.mark.parametrize(
    ("changed", "options", "message"),
    [
        ({"labels": None}, {}, "no array 'labels'; arrays in it: inputs, is_bold, writer"),
        ({"labels": np.zeros(11, int)}, {}, r"'labels' has shape \[11\], expected \[12\]"),
        ({"labels": np.zeros(RECORDS, int)}, {}, "'labels' has 1 distinct values"),
        ({"labels": np.full(RECORDS, 0.5)}, {}, "'labels' holds float64, not whole numbers"),
        ({"labels": WITH_NAN[:, 1]}, {}, "column 'labels' has 2 missing or non-finite values"),
        ({"labels": np.array([None] * RECORDS)}, {}, "'labels' of .* holds Python objects"),
        ({"inputs": np.zeros((RECORDS, 4))}, {}, r"shape \[12, 4\], expected \[N, H, W\]"),
        ({"inputs": np.zeros((0, 4, 4))}, {}, r"shape \[0, 4, 4\]"),
        ({"inputs": np.zeros((RECORDS, 4, 4))}, {}, "holds float64, kind 'image' needs uint8"),
        (
            {"inputs": WITH_NAN},
            {"kind": "table"},
            r"column 'inputs\[:, 1\]' has 2 missing or non-finite .*first in record 3",
        ),
        ({"inputs": np.full((RECORDS, 1), 1e300)}, {"kind": "table"}, "has 12 missing or non-f"),
        ({"inputs": np.full((RECORDS, 1), "x")}, {"kind": "table"}, "needs numbers"),
        ({"inputs": np.full((RECORDS, 1), -1)}, {"kind": "text"}, "token ids from -1 to -1"),
        ({"is_bold": np.arange(RECORDS)}, {}, "'is_bold' is not binary: 10 values such as 2"),
        ({"is_bold": np.ones(RECORDS, int)}, {}, r"'is_bold' has one value only \(1\)"),
        ({"is_bold": np.full(RECORDS, -1)}, {}, r"'is_bold' has one value only \(unknown\)"),
        ({"is_bold": WITH_NAN[:, 1]}, {}, "'is_bold' is not binary: 1 values such as inf"),
        ({"is_bold": np.array(["y", "n"] * 6)}, {}, "'is_bold' is not binary: 12 values such as y"),
        ({"labels": np.array(["no", "N/A"] * 6)}, {}, "'labels' has 6 missing"),
        ({"writer": np.array(["ann", " ? "] * 6)}, {}, "'writer' has 6 missing"),
        ({"inputs": np.zeros((RECORDS, 4, 4, 2), np.uint8)}, {}, r"expected .* C 1 or 3"),
        ({"writer": WITH_NAN[:, 1]}, {}, "'writer' has 2 missing"),
    ],
)
def test_unusable_content_is_named(
    changed: dict[str, Any], options: dict[str, Any], message: str, write: Callable[..., Path]
) -> None:
    with pytest.raises(UserError, match=message) as failure:
        load(write(**changed), **options)
    assert "mine.npz" in str(failure.value)


def test_unusable_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    with pytest.raises(UserError, match=r"no file .*mine\.npz"):
        load(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="is empty"):
        load(path)
    path.write_bytes(b"garbage" * 100)
    with pytest.raises(UserError, match=r"not a whole \.npz archive"):
        load(path)
    with pytest.raises(UserError, match="is a folder"):
        load(tmp_path)


def saved() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays())
    return stream.getvalue()


@given(cut=st.integers(1, len(saved()) - 1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_cut_off_archive_is_always_one_line(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "cut.npz"
    path.write_bytes(saved()[:cut])
    with pytest.raises(UserError):
        load(path)


@given(place=st.integers(0, len(saved()) - 1), value=st.integers(0, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_damaged_archive_is_one_line_or_unharmed(place: int, value: int, tmp_path: Path) -> None:
    content = bytearray(saved())
    content[place] = value
    path = tmp_path / "damaged.npz"
    path.write_bytes(bytes(content))
    try:
        dataset = load(path)
    except UserError:
        return
    assert np.array_equal(dataset.inputs, arrays()["inputs"])
    assert dataset.labels.tolist() == arrays()["labels"].tolist()


def test_what_unpacks_to_too_much_is_refused(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "LIMIT", 500)
    with pytest.raises(UserError, match=r"unpacks to .* bytes; at most 500 are accepted"):
        load(write())


def test_a_header_that_announces_too_much_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**15, 4, 4)}
    np.lib.format.write_array_header_1_0(stream, header)
    with zipfile.ZipFile(tmp_path / "liar.npz", "w") as file:
        file.writestr("inputs.npy", stream.getvalue() + bytes(16))
    with pytest.raises(UserError, match="header does not fit"):
        archive.read_arrays(tmp_path / "liar.npz", ["inputs"])
