"""A model and data at hand as Python objects, and the document that shows how."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from small_models import Dense, dense_engine

import privaudit
from privaudit.data.user_checks import as_property
from privaudit.library import own

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(1)
SECRET = RNG.integers(0, 2, 400)
ROWS = RNG.normal(size=(400, 5)) + 2.0 * SECRET[:, None]
LABELS = RNG.integers(0, 3, 400)
SMALL: dict[str, Any] = {
    "runs": 1,
    "federation": {"participants": 2, "rounds": 1},
    "audit": {"rounds": 10, "fractions": [1.0], "batch_size": 8, "attacks": ["melis-rf"]},
    "ledger": {"enabled": False},
}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> privaudit.Result:
    folder = tmp_path_factory.mktemp("library") / "mine"
    return privaudit.audit_model(
        ROWS,
        LABELS,
        properties={"secret": SECRET.astype(bool)},
        model=Dense,
        model_options={"hidden": 6},
        groups=RNG.integers(0, 40, 400),
        folder=folder,
        **SMALL,
    )


def test_the_own_model_was_audited(result: privaudit.Result) -> None:
    [row] = result.table().to_dict("records")
    assert (row["property"], row["attack"], row["failed_runs"]) == ("secret", "melis-rf", 0)
    assert row["auc"] > 0.8  # the property shifts every input by two deviations
    scenario = (result.path / "scenario.json").read_text()
    assert '"name": "small_models:Dense"' in scenario
    assert result.report.is_file()
    assert sorted(p.name for p in result.path.parent.iterdir()) == ["data.npz", "run"]


def test_a_result_shows_itself(result: privaudit.Result, tmp_path: Path) -> None:
    assert "| secret" in repr(result)
    assert "<table>" in result._repr_html_()
    picture = result.figure()
    assert picture._repr_svg_().lstrip().startswith("<?xml")
    assert ">melis-rf<" in picture.save(tmp_path / "figure.svg").read_text()
    assert len(repr(picture)) < 100
    assert result.figures[0] == "auc_by_fraction"
    assert any("95 % interval" in note for note in result.notes)
    with pytest.raises(privaudit.UserError, match="did you mean 'auc_by_fraction'"):
        result.figure("auc_by_fractions")


def test_cells_are_tidy(result: privaudit.Result) -> None:
    [row] = result.cells.to_dict("records")
    [wide] = result.table().to_dict("records")
    assert (row["game"], row["target"], row["statistic"]) == ("property", "secret", "auc")
    assert (row["value"], row["low"], row["n"]) == (wide["auc"], wide["low"], 10)


def test_a_figure_can_be_restyled(result: privaudit.Result, tmp_path: Path) -> None:
    picture = result.figure()
    before = picture.svg
    picture.figure.axes[0].set_title("Our ward")
    assert "Our ward" in picture.svg
    assert "Our ward" not in before
    assert picture.save(tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(privaudit.UserError, match=r"figure\.tiger: cannot be written"):
        picture.save(tmp_path / "figure.tiger")


def test_a_run_opened_again_is_the_same(result: privaudit.Result) -> None:
    again = privaudit.open_run(str(result.path))
    pd.testing.assert_frame_equal(again.table(), result.table())
    assert again == result


def test_no_run_there(tmp_path: Path) -> None:
    with pytest.raises(privaudit.UserError, match="no run folder"):
        privaudit.open_run(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": ROWS[:, 0]}, "inputs: cannot tell what float64 of shape"),
        ({"inputs": ROWS.astype(int)}, "say kind='text' or kind='table'"),
        ({"inputs": ROWS, "kind": "audio"}, "kind"),
        ({"inputs": np.where(ROWS > 3, np.nan, ROWS)}, "missing or non-finite"),
        ({"inputs": [[1, 2], [3]]}, "inputs: not an array"),
        ({"inputs": np.array([[{}, 1]])}, "inputs: holds Python objects"),
        ({"inputs": pd.DataFrame(ROWS).mask(ROWS > 3).convert_dtypes()}, "inputs: .* missing"),
        ({"inputs": np.ma.masked_greater(ROWS, 3)}, "inputs: .* missing values"),
        ({"labels": np.ma.masked_equal(LABELS, 2)}, "labels: .* missing values"),
        ({"labels": pd.Series(LABELS.astype(str)).mask(LABELS == 2)}, "labels: .* missing values"),
        ({"groups": pd.array([None] * 400, dtype="Int64")}, "groups.* 400 missing"),
        ({"inputs": np.zeros((400, 3, 8, 8), np.uint8)}, "images are .* C 1 or 3"),
        ({"labels": LABELS[:9]}, r"'labels' has shape \[9\], expected \[400\]"),
        ({"labels": np.zeros(400, int)}, "1 distinct values"),
        ({"properties": {}}, "properties: name at least one"),
        ({"properties": {"p": SECRET * 2}}, "not binary"),
        ({"properties": {"p": np.ones(400)}}, "one value only"),
        ({"properties": {"../p": SECRET}}, "audit.properties"),
        ({"groups": [1]}, r"'groups' has shape \[1\]"),
        ({"model": Dense(5, 7, 3)}, "model: not a class"),
        ({"model": dense_engine}, "not a torch.nn.Module"),
        ({"model": lambda hidden: Dense(5, hidden)}, "model: not a class"),
        ({"labels": None}, "labels: missing"),
        ({"model": dict}, "builtins:dict"),
        ({"model": "cnn"}, "takes image data"),
        ({"model_options": {"hiden": 3}}, "hiden"),
        ({"rounds": 3}, "unknown setting 'rounds'"),
        ({"audit": {"rouds": 3}}, "did you mean 'audit.rounds'"),
        ({"audit": 3}, "audit: must be a table"),
        ({"runs": 0}, "runs"),
    ],
)
def test_what_cannot_be_audited(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "inputs": ROWS,
        "labels": LABELS,
        "properties": {"secret": SECRET},
        "folder": tmp_path / "mine",
        **SMALL,
    }
    with pytest.raises(privaudit.UserError, match=message) as refusal:
        privaudit.audit_model(**(given | change))
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "mine").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(privaudit.UserError, match="is not empty"):
        privaudit.audit_model(ROWS, LABELS, properties={"secret": SECRET}, folder=tmp_path, **SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_texts_tensors_and_frames_are_taken(tmp_path: Path) -> None:
    frame = pd.DataFrame({"secret": SECRET, "label": [f"class {i}" for i in LABELS]})
    result = privaudit.audit_model(
        torch.tensor(ROWS, dtype=torch.float32),  # type: ignore[arg-type]
        frame["label"],
        properties={"secret": frame["secret"]},
        folder=tmp_path / "mine",
        **SMALL,
    )
    assert len(result.table()) == 1


def pictures() -> np.ndarray:
    """[400, 9, 6, 3] colour pictures; the secret is in the red of one corner, the class in blue."""
    found = RNG.integers(0, 120, (400, 9, 6, 3)).astype(np.uint8)
    found[:, :4, :3, 0] += (120 * SECRET[:, None, None]).astype(np.uint8)
    found[:, 5:, :, 2] += (60 * LABELS[:, None, None]).astype(np.uint8)
    return found


def test_colour_pictures_that_are_not_square(tmp_path: Path) -> None:
    result = privaudit.audit_model(
        pictures(),
        LABELS,
        properties={"secret": pd.Series(SECRET).astype("boolean").mask(LABELS == 9)},
        model_options={"channels": [4], "hidden": 8},
        folder=tmp_path / "mine",
        **{**SMALL, "audit": SMALL["audit"] | {"rounds": 40}},
    )
    [row] = result.table().to_dict("records")
    assert row["failed_runs"] == 0
    assert row["auc"] > 0.8
    image = json.loads((result.path / "data.json").read_text())["columns"][0]
    assert (image["role"], image["detail"]) == ("image", "[N, 9, 6, 3]")


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(SECRET).astype("boolean").mask(LABELS == 0),
        pd.Series(SECRET).astype("Int64").mask(LABELS == 0),
        pd.Series(SECRET.astype(float)).mask(LABELS == 0),
        pd.Series(SECRET.astype(str)).mask(LABELS == 0),
        np.ma.masked_where(LABELS == 0, SECRET),
        np.ma.masked_where(LABELS == 0, SECRET.astype(bool)),
        [
            None if label == 0 else bool(secret)
            for secret, label in zip(SECRET, LABELS, strict=True)
        ],
    ],
    ids=["boolean", "Int64", "float", "text", "masked", "masked bool", "list"],
)
def test_what_is_na_or_masked_is_unknown(values: Any) -> None:
    arrays = own._arrays(ROWS, LABELS, {"secret": values}, None)
    found = as_property(arrays["property.secret"], "secret", Path("mine.npz"))
    assert np.array_equal(found, np.where(LABELS == 0, -1, SECRET))


def code_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text(), re.DOTALL)


def test_what_the_document_shows_works(tmp_path: Path) -> None:
    """In order and in one folder, as a reader would type it."""
    program = "\n".join(code_blocks())
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "200 scores in, 200 out" in done.stdout
    assert (tmp_path / "my-table.csv").is_file()
    assert (tmp_path / "my-figure.svg").is_file()


def test_own_model_and_data_take_ten_lines() -> None:
    [block] = [b for b in code_blocks() if "audit_model" in b]
    calls = block[block.index("result = ") : block.index("print")].splitlines()
    assert len(calls) + len(["import numpy", "import privaudit"]) <= 10


def test_the_type_marker_is_shipped() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "py.typed" in settings["tool"]["setuptools"]["package-data"]["privaudit"]
    assert (ROOT / "privaudit" / "py.typed").is_file()


def test_names_are_loaded_when_used() -> None:
    assert {"evaluate", "audit_model", "open_run", "Result", "UserError"} <= set(dir(privaudit))
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        privaudit.evalute  # type: ignore[attr-defined]  # noqa: B018
