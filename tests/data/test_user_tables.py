"""The same table in the ways people write it: read as what it is, or refused by line and cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clinic_tables import RECORDS, clinic, write_tables
from hypothesis import given
from hypothesis import strategies as st

from privaudit.data.dataset import Dataset
from privaudit.data.missing import MARKS, states_nothing
from privaudit.data.registry import load_dataset
from privaudit.errors import UserError
from privaudit.randomness import Seed

SMOKER: dict[str, Any] = {"column": "smokes", "present": "yes"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tables")
    write_tables(place)
    return place


def load(folder: Path, name: str, smoker: dict[str, Any] | None = None, **options: Any) -> Dataset:
    described = {
        "path": str(folder / f"{name}.csv"),
        "label": "outcome",
        "properties": {"smoker": SMOKER | (smoker or {})},
    }
    return load_dataset("csv", described | options, None, Seed(0))


def counts(dataset: Dataset, name: str = "smoker") -> tuple[int, int, int]:
    """Present, absent, unknown."""
    values = dataset.properties[name]
    return int((values == 1).sum()), int((values == 0).sum()), int((values == -1).sum())


@pytest.fixture(scope="module")
def plain(folder: Path) -> Dataset:
    return load(folder, "clinic")


def test_the_plain_table(plain: Dataset) -> None:
    smokers = int((clinic()["smokes"] == "yes").sum())
    assert counts(plain) == (smokers, RECORDS - smokers, 0)
    assert plain.inputs.shape == (RECORDS, 3)
    assert [(c.name, c.role, c.inputs) for c in plain.columns] == [
        ("age", "number", 1),
        ("weight", "number", 1),
        ("pulse", "number", 1),
        ("smokes", "property", 0),
        ("outcome", "label", 0),
    ]
    assert plain.file == "clinic.csv"
    assert plain.notes == ()


@pytest.mark.parametrize(
    ("name", "smoker", "options"),
    [
        ("spaces", {}, {}),
        ("bomcrlf", {}, {}),
        ("sep", {}, {}),
        ("trail", {}, {}),
        ("decimal", {}, {"separator": ";", "decimal": ","}),
        ("latin1", {}, {"encoding": "latin-1"}),
        ("utf16", {}, {"encoding": "utf-16"}),
        ("bool", {"present": True}, {}),
        ("bool", {"present": ["True", "1"]}, {}),
    ],
)
def test_other_ways_to_write_it_mean_the_same(
    name: str, smoker: dict[str, Any], options: dict[str, Any], folder: Path, plain: Dataset
) -> None:
    dataset = load(folder, name, smoker, **options)
    assert np.array_equal(dataset.inputs, plain.inputs)
    assert dataset.labels.tolist() == plain.labels.tolist()
    assert np.array_equal(dataset.properties["smoker"], plain.properties["smoker"])


@pytest.mark.parametrize("present", [1, 1.0, "1", [1], True])
def test_numbers_match_by_value_and_na_is_unknown(present: Any, folder: Path) -> None:
    dataset = load(folder, "float_prop", {"present": present})
    present_, absent, unknown = counts(dataset)
    text = (folder / "float_prop.csv").read_text()
    assert (present_, absent, unknown) == (
        text.count(",1.0,"),
        text.count(",0.0,"),
        text.count("NA"),
    )
    assert unknown > 400


def test_na_in_a_property_is_unknown(folder: Path, plain: Dataset) -> None:
    found = counts(load(folder, "na_prop"))
    assert found[2] == (folder / "na_prop.csv").read_text().count("NA") > 700
    assert found[0] < counts(plain)[0]
    assert found == counts(load(folder, "na_prop", {"unknown": ["NA"]}))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("typo", {}, r"typo.csv: column 'bmi' .*1 of 3000 cells: '24.1kg' in line 19; .*drop"),
        ("typo", {"numeric": ["bmi"]}, "'bmi' has 1 cells that are no finite.*'24.1kg' in line 19"),
        ("decimal", {}, 'a semicolon seems to separate them: set separator = ";"'),
        (
            "decimal",
            {"separator": ";"},
            "'age' .*decimal mark: '.*,.' in line 2; set decimal = \",\"",
        ),
        ("clinic", {"decimal": ","}, "column 'age' .*another decimal mark.* set decimal = \"\\.\""),
        ("latin1", {}, r"not a table in UTF-8: byte 0xe9 in line \d+; .*encoding = \"latin-1\""),
        ("utf16", {}, 'not a table in UTF-8: .*set encoding = "utf-16"'),
        ("bool", {}, "never holds yes; it holds False, True: name those that are present"),
        ("float_prop", {}, "never holds yes; it holds 0.0, 1.0"),
        ("remarks", {}, "column 'said' would become 700 inputs.*categorical, text or drop"),
        ("remarks", {"text": ["said"], "numeric": ["age"]}, "text cannot be an input beside"),
        ("clinic", {"missing": ["ill"]}, "column 'outcome' has .* set the option missing"),
    ],
)
def test_what_is_nearly_right_is_refused_in_one_line(
    name: str, options: dict[str, Any], message: str, folder: Path
) -> None:
    with pytest.raises(UserError, match=message) as refusal:
        load(folder, name, **options)
    assert "\n" not in str(refusal.value)


def became(dataset: Dataset, name: str) -> tuple[str, int, str]:
    [column] = [column for column in dataset.columns if column.name == name]
    return column.role, column.inputs, column.detail


def test_ids_and_dates_are_no_inputs_and_that_is_said(folder: Path, plain: Dataset) -> None:
    for name, columns in (("ids", ["patient", "code"]), ("dates", ["seen"])):
        dataset = load(folder, name)
        assert np.array_equal(dataset.inputs, plain.inputs)
        for column in columns:
            assert became(dataset, column)[:2] == ("dropped", 0)
            assert any(f"'{column}'" in note for note in dataset.notes)


def test_codes_are_remarked_on_and_can_be_categories(folder: Path, plain: Dataset) -> None:
    dataset = load(folder, "job")
    assert became(dataset, "job")[:2] == ("number", 1)
    assert "codes, list it in categorical" in dataset.notes[0]
    listed = load(folder, "job", categorical=["job"])
    assert became(listed, "job") == ("category", 6, "6 values")
    assert listed.inputs.shape == (RECORDS, 3 + 6)
    assert listed.notes == ()
    assert np.array_equal(listed.inputs[:, :3], plain.inputs)


def test_a_threshold_makes_a_property_of_a_number(folder: Path) -> None:
    age = clinic()["age"].to_numpy()
    for present, expected in {
        "> 60": age > 60,
        "<=60": age <= 60,
        ">= 40, < 65": (age >= 40) & (age < 65),
    }.items():
        dataset = load(folder, "clinic", {"column": "age", "present": present})
        assert np.array_equal(dataset.properties["smoker"], expected.astype(np.int8))
    with pytest.raises(UserError, match=r"'smokes' holds 3000 cells that are no numbers, e.g. '"):
        load(folder, "clinic", {"present": "> 60"})
    with pytest.raises(UserError, match="'age' never holds > 600"):
        load(folder, "clinic", {"column": "age", "present": "> 600"})


def test_each_value_against_all_others(folder: Path) -> None:
    each = {"race": {"column": "race", "each": True}}
    dataset = load(folder, "race", properties=each)
    assert list(dataset.properties) == [f"race={value}" for value in "abcde"]
    assert (np.sum(list(dataset.properties.values()), axis=0) == 1).all()
    with pytest.raises(UserError, match=r"'age' has .* values, too many to ask about each"):
        load(folder, "race", properties={"old": {"column": "age", "each": True}})


def test_texts_are_tokens_of_a_vocabulary(folder: Path) -> None:
    dataset = load(folder, "remarks", text=["said"], vocabulary=50, length=6)
    assert (dataset.kind, dataset.inputs.shape) == ("text", (RECORDS, 6))
    assert len(dataset.vocabulary) == 50
    assert dataset.inputs.max() < 50
    assert dataset.vocabulary[2] == "again"  # in every text
    assert became(dataset, "said") == ("text", 6, "6 tokens")
    assert became(dataset, "age") == ("dropped", 0, "text is the only input")


def test_missing_cells_of_a_category_are_one_value(tmp_path: Path) -> None:
    rows = [
        f"{ward},{'yes' if i % 2 else 'no'},{i % 2}" for i, ward in enumerate(["a", "NA", "?", ""])
    ]
    (tmp_path / "wards.csv").write_text("\n".join(["ward,smokes,outcome", *rows]))
    dataset = load(tmp_path, "wards")
    assert dataset.inputs.tolist() == [[0, 1], [1, 0], [1, 0], [1, 0]]
    assert became(dataset, "ward")[2] == "2 values, one of them for 3 cells that state nothing"


@given(mark=st.sampled_from(sorted(MARKS)), blanks=st.sampled_from(["", " ", "\t"]))
def test_marks_of_nothing_whatever_their_case_and_blanks(mark: str, blanks: str) -> None:
    for text in (mark, mark.upper(), mark.title()):
        assert states_nothing([blanks + text + blanks])[0]
    assert not states_nothing([mark + "x"])[0]


def test_what_is_named_as_present_is_present_even_if_it_looks_like_nothing(tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_text("x,smokes,outcome\n1,none,a\n2,daily,b\n3,,a\n4,none,b\n")
    found = load(tmp_path, "none", {"present": "none"}).properties["smoker"]
    assert found.tolist() == [1, 0, -1, 1]


def written(place: Path, head: str, *columns: list[Any], **options: Any) -> Dataset:
    rows = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
    (place / "made.csv").write_text("\n".join([head, *rows, ""]))
    return load(place, "made", options.pop("smoker", None), **options)


def test_what_counts_as_absent_copies_of_the_label_and_numbers_as_classes_are_said(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(2)
    ill = rng.integers(0, 2, 200)
    smokes = np.array(["yes", "no", " Yes ", "9"])[rng.choice(4, 200, p=[0.4, 0.4, 0.15, 0.05])]
    age = [f"{value:.2f}" for value in rng.standard_normal(200)]
    copy = np.where(ill, "A", "B")
    head = "age,smokes,copy,outcome"
    dataset = written(tmp_path, head, age, smokes.tolist(), copy.tolist(), ill.tolist())
    said = " ".join(dataset.notes)
    assert f"'smoker' counts as absent: 'no' {(smokes == 'no').sum()}, 'Yes'" in said
    assert f"'9' {(smokes == '9').sum()}." in said
    assert "Column 'copy' determines the label 'outcome'" in said
    assert "The label 'outcome' holds numbers; they are taken as 2 classes." in said
    assert "'age' determines" not in said
    with pytest.raises(UserError, match=r"the label .outcome. holds .* different numbers"):
        written(tmp_path, head, age, smokes.tolist(), copy.tolist(), age)


def test_all_columns_that_are_wrong_are_said_in_one_go_and_thresholds_take_a_point(
    tmp_path: Path,
) -> None:
    many = [f"v{number // 2}" for number in range(240)]
    labels, smokes = ["ill", "well"] * 120, ["yes", "no", "no"] * 80
    almost = [*map(str, range(239)), "x"]
    with pytest.raises(UserError, match="2 columns cannot be used") as caught:
        written(tmp_path, "many,almost,smokes,outcome", many, almost, smokes, labels)
    assert "'many' would become 120 inputs" in str(caught.value)
    assert "'almost' holds numbers, except in 1 of 240 cells: 'x'" in str(caught.value)
    with pytest.raises(UserError, match=r"written with a point, whatever the table has: > 60\.5"):
        written(
            tmp_path,
            "many,smokes,outcome",
            many,
            smokes,
            labels,
            smoker={"present": "> 60,5"},
            drop=["many"],
        )
