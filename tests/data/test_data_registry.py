"""The registry: names, options, availability."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from privaudit.data.registry import DATASETS, check_options, load_dataset
from privaudit.errors import UserError
from privaudit.options import Options
from privaudit.randomness import Seed

FROM_FILES = ["csi", "unipen", "mnist-writers", "adult", "acs-income"]


def test_unknown_data_set_names_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown data set 'glyph'; did you mean 'glyphs'"):
        load_dataset("glyph", {}, None, Seed(0))


def test_unknown_option_names_the_nearest() -> None:
    with pytest.raises(
        UserError, match="'glyphs': unknown option 'record'; did you mean 'records'"
    ):
        check_options("glyphs", {"record": 10})


@pytest.mark.parametrize(
    ("name", "options", "parts"),
    [
        ("glyphs", {"records": 0}, ("'records' = 0", "1 to 1,000,000")),
        ("glyphs", {"records": "many"}, ("'records' = 'many'", "integer")),
        ("glyphs", {"records": True}, ("'records' = True", "integer")),
        ("glyphs", {"noise": float("nan")}, ("'noise' = nan", "0 to 0.5")),
        ("glyphs", {"classes": "greek"}, ("'classes' = 'greek'", "36, digits or letters")),
        ("csi", {"length": 4}, ("'length' = 4", "5 to 1,000 tokens")),
        ("csi", {"task": "mood"}, ("'task' = 'mood'", "sentiment, veracity or category")),
        ("unipen", {"task": 63}, ("'task' = '63'", "36 (either case)")),
        ("unipen", {"sources": "ced"}, ("'sources' = 'ced'", "list")),
        ("adult", {"keep_private": "yes"}, ("'keep_private' = 'yes'", "true or false")),
    ],
)
def test_a_value_out_of_range_is_named_with_the_range(
    name: str, options: dict[str, object], parts: tuple[str, ...]
) -> None:
    with pytest.raises(UserError) as failure:
        check_options(name, options)
    line = str(failure.value)
    assert "\n" not in line
    assert f"data set '{name}'" in line
    for part in parts:
        assert part in line


@pytest.mark.parametrize("name", DATASETS)
def test_every_entry_is_complete(name: str) -> None:
    info = DATASETS[name]
    assert info.name == name
    assert info.description
    assert info.task
    assert info.licence
    assert info.obtain
    module = importlib.import_module(f"privaudit.data.{info.module}")
    assert issubclass(module.OPTIONS, Options)
    for field in module.OPTIONS.model_fields.values():
        assert field.description, "error messages quote the description"


@pytest.mark.parametrize("name", FROM_FILES)
def test_missing_data_are_reported_in_one_line(name: str, tmp_path: Path) -> None:
    here, phrase = DATASETS[name].available(tmp_path)
    assert not here
    assert str(tmp_path) in phrase
    with pytest.raises(UserError) as failure:
        load_dataset(name, {}, tmp_path, Seed(0))
    assert str(tmp_path) in str(failure.value)
    assert "derived from" in str(failure.value)


@pytest.mark.parametrize("name", FROM_FILES)
def test_real_data_are_available_and_as_announced(name: str, data_dir: Path) -> None:
    info = DATASETS[name]
    assert info.available(data_dir)[0]
    dataset = load_dataset(name, {}, data_dir, Seed(0))
    assert dataset.name == name
    assert tuple(dataset.properties) == info.properties
    assert dataset.group_kind == info.group_kind
    assert (dataset.groups is None) == (info.group_kind == "")
    assert len(dataset.checksum) == 64


def test_glyphs_need_no_folder() -> None:
    assert DATASETS["glyphs"].available(Path("/nowhere"))[0]


def test_listing_the_data_sets_imports_no_loader() -> None:
    code = (
        "import sys; import privaudit.data.registry as r; [d.available() for d in "
        "r.DATASETS.values()]; print([m for m in ('torch', 'pandas', 'scipy', 'PIL') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
