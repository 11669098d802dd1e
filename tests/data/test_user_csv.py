"""csv: what the user's table becomes, and one line for everything that can be wrong."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privaudit.data import csv_table
from privaudit.data.dataset import Dataset
from privaudit.data.registry import check_options, load_dataset
from privaudit.errors import UserError
from privaudit.randomness import Seed

TABLE = """age,ward,smokes,outcome,hospital
30,a,yes,good,north
40,,no,bad,south
50,b,?,good,north
60,a,yes,bad,east
"""
SMOKER = {"smoker": {"column": "smokes", "present": "yes", "unknown": ["?"]}}
OPTIONS = {"label": "outcome", "group": "hospital", "properties": SMOKER}


def load(
    folder: Path, text: str | bytes = TABLE, name: str = "mine.csv", **options: Any
) -> Dataset:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_dataset("csv", {"path": str(path), **OPTIONS, **options}, None, Seed(0))


def test_a_table(tmp_path: Path) -> None:
    dataset = load(tmp_path)
    assert dataset.class_names == ("bad", "good")
    assert dataset.labels.tolist() == [1, 0, 1, 0]
    assert dataset.properties["smoker"].tolist() == [1, 0, -1, 1]
    assert dataset.groups is not None
    assert dataset.groups.tolist() == [1, 2, 1, 0]
    assert dataset.group_kind == "hospital"
    # age standardised; ward is one of "", "a", "b"; smokes, outcome and hospital are no inputs
    assert dataset.inputs[:, 0] == pytest.approx(np.array([-3, -1, 1, 3]) / np.sqrt(5))
    assert dataset.inputs[:, 1:].tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert dataset.inputs.dtype == np.float32
    assert dataset.notes == ()


def test_inputs_can_be_chosen(tmp_path: Path) -> None:
    assert load(tmp_path, drop=["ward"]).inputs.shape == (4, 1)
    chosen = load(tmp_path, categorical=["age", "smokes"], drop=["ward"])
    assert chosen.inputs.shape == (4, 4 + 3)
    assert "leak of an input: smoker" in chosen.notes[0]


def test_separators_byte_order_marks_and_compression(tmp_path: Path) -> None:
    plain = load(tmp_path)
    marked = load(tmp_path, "\ufeff" + TABLE.replace(",", ";"), separator=";")
    packed = load(tmp_path, gzip.compress(TABLE.encode()), name="mine.csv.gz")
    for other in (marked, packed):
        assert np.array_equal(other.inputs, plain.inputs)
        assert other.labels.tolist() == plain.labels.tolist()


def test_classes_that_are_numbers_are_in_numeric_order(tmp_path: Path) -> None:
    text = "x,y\n" + "\n".join(f"{i},{label}" for i, label in enumerate((10, 2, 1, 10)))
    dataset = load(tmp_path, text, label="y", group=None, properties={})
    assert dataset.class_names == ("1", "2", "10")
    assert dataset.labels.tolist() == [2, 1, 0, 2]


def test_an_index_column_without_a_name_is_no_input(tmp_path: Path) -> None:
    text = "\n".join(f"{i},{line}" if i else f",{line}" for i, line in enumerate(TABLE.split()))
    assert load(tmp_path, text).inputs.shape == load(tmp_path).inputs.shape


def test_present_may_be_a_number_or_a_list(tmp_path: Path) -> None:
    old = {"old": {"column": "age", "present": 60}}
    assert load(tmp_path, properties=old).properties["old"].tolist() == [0, 0, 0, 1]
    either = {"odd": {"column": "ward", "present": ["b", ""]}}
    assert load(tmp_path, properties=either).properties["odd"].tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            TABLE.replace("40", ""),
            {},
            "column 'age' has 1 missing .*first in record 2.*list it in drop",
        ),
        (TABLE.replace("40", "NaN"), {}, "column 'age' has 1 missing"),
        (
            TABLE.replace("40", "inf"),
            {},
            "column 'age' has 1 cells that are no finite .* 'inf' in line 3",
        ),
        (TABLE.replace("40", "1e200"), {}, "'age' has 1 cells that are no finite .* '1e200'"),
        (TABLE.replace("40", "old"), {"numeric": ["age"]}, "'age' has 1 cells .* 'old' in line 3"),
        (TABLE.replace("bad", ""), {}, "column 'outcome' has 2 missing"),
        (TABLE.replace("bad", "good"), {}, "'outcome' has 1 distinct values"),
        (TABLE.replace("south", ""), {}, "column 'hospital' has 1 missing"),
        (TABLE.replace("yes", "no"), {}, "column 'smokes' never holds yes; it holds no: name"),
        (TABLE.replace("no,", "yes,"), {}, r"'smoker' has one value only \(1\)"),
        (TABLE.replace("ward", "age"), {}, "columns occur twice: age"),
        (TABLE + "70,a\n", {}, "record 5 has 2 cells, the header line 5"),
        (TABLE + "70,a,yes,bad,east,6\n", {}, "record 5 has 6 cells, the header line 5"),
        (TABLE + '70,"a', {}, "is not a table in UTF-8: unexpected end of data"),
        ("age,outcome\n", {}, "no records under the header line"),
        (TABLE, {"label": "outcom"}, "unknown column 'outcom'; did you mean 'outcome'"),
        (TABLE, {"group": "clinic"}, "unknown column 'clinic'.*known: age"),
        (TABLE, {"numeric": ["wage"]}, "unknown column 'wage'; did you mean 'age'"),
        (TABLE, {"drop": ["age", "ward"]}, "0 columns make inputs of 0 numbers"),
        (TABLE, {"drop": ["age"], "numeric": ["age"]}, "column 'age' is listed twice"),
        (TABLE, {"encoding": "klingon"}, "unknown encoding 'klingon'"),
        (TABLE, {"categorical": ["outcome"]}, "the label 'outcome' is among the inputs"),
        (b"\xff\xfe\x00garbage", {}, "is not a table in UTF-8"),
        (b"\x00\x01\x02\n\x03", {}, "is not a table in UTF-8"),
        (b"\n\n\n", {}, "no records under the header line"),
    ],
)
def test_unusable_tables_are_named(
    text: str | bytes, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message) as failure:
        load(tmp_path, text, **options)
    assert "mine.csv" in str(failure.value)
    assert "\n" not in str(failure.value)


def test_too_many_categories_are_refused(tmp_path: Path) -> None:
    rows = "\n".join(f"{i % 90},name{i},yes,{i % 2},x" for i in range(1_001))
    text = f"age,ward,smokes,outcome,hospital\n{rows}\n1,name1,no,1,x\n"
    with pytest.raises(UserError, match=r"'ward' would become 1001 inputs.*more than 100 must be"):
        load(tmp_path, text)
    with pytest.raises(UserError, match="column 'ward' has 1001 categories; at most 1000"):
        load(tmp_path, text, categorical=["ward"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "x.csv"}, "option 'label' is missing"),
        ({"properties": {"p": {"column": "c"}}}, "properties.p.*say either present = .* or each"),
        (
            {"properties": {"p": {"column": "c", "present": "1", "colour": "x"}}},
            "unknown option 'properties.p.colour'",
        ),
        ({"separator": "::"}, "'separator' = '::'.*one character"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    given_options = {"path": "x.csv", "label": "y", **options}
    if message.endswith("'label' is missing"):
        del given_options["label"]
    with pytest.raises(UserError, match=message):
        check_options("csv", given_options)


def test_unusable_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="is empty"):
        load(tmp_path, "")
    packed = gzip.compress(TABLE.encode())
    for broken in (packed[:-9], b"not gzip", packed[:20] + b"\x00" * 30 + packed[50:]):
        with pytest.raises(UserError, match="cannot read"):
            load(tmp_path, broken, name="mine.csv.gz")
    monkeypatch.setattr(csv_table, "TEXT_LIMIT", 50)
    with pytest.raises(UserError, match="more than 50 bytes"):
        load(tmp_path, packed, name="mine.csv.gz")


@given(content=st.text(alphabet='ab1,"\n\r\0é', max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_is_a_table_or_one_line(content: str, tmp_path: Path) -> None:
    try:
        dataset = load(tmp_path, content, label="a", group=None, properties={})
    except UserError:
        return
    assert np.isfinite(dataset.inputs).all()
