"""Whose code: a digest that moves with any module of the package, and with nothing else."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

from privaudit.attack.registry import source_of
from privaudit.errors import UserError
from privaudit.models.build import model_source
from privaudit.source import Source


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that modules are imported from."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def digest(name: str) -> str:
    importlib.invalidate_caches()
    return model_source(name).digest


def test_ours_are_of_this_distribution() -> None:
    for found in (source_of("linear"), model_source("cnn")):
        assert (found.distribution, found.version) == ("privaudit", version("privaudit"))
        assert len(found.digest) == 64
    assert source_of("linear") == source_of("magnitude-stack"), "one package, one digest"


def test_a_file_of_the_users_own_is_of_no_distribution(place: Path) -> None:
    file = place / "netz_file.py"
    file.write_text("A = 1\n")
    found = model_source("netz_file:Net")
    assert found == Source("", "", found.digest)
    assert "netz_file" not in sys.modules, "it is not run to be read"
    (place / "beside.py").write_text("B = 1\n")
    assert digest("netz_file:Net") == found.digest
    file.write_text("A = 2\n")
    assert digest("netz_file:Net") != found.digest


def test_every_module_of_a_package_counts(place: Path) -> None:
    deep = place / "netz_package" / "deep"
    deep.mkdir(parents=True)
    (deep.parent / "__init__.py").write_text("")
    (deep / "layers.py").write_text("A = 1\n")
    first = digest("netz_package.deep.layers:Net")
    assert first == digest("netz_package:Net")
    (deep.parent / "notes.txt").write_text("no code")
    assert digest("netz_package:Net") == first
    (deep / "layers.py").rename(deep / "layer.py")
    assert digest("netz_package:Net") != first


@pytest.mark.parametrize("in_a_file", [True, False])
def test_a_script_or_a_notebook_is_its_one_file(
    place: Path, monkeypatch: pytest.MonkeyPatch, in_a_file: bool
) -> None:
    """It runs as ``__main__``, which no finder finds."""
    script = ModuleType("__main__")
    if in_a_file:
        script.__file__ = str(place / "script.py")
        (place / "script.py").write_text("A = 1\n")
    monkeypatch.setitem(sys.modules, "__main__", script)
    first = digest("__main__:Net")
    assert len(first) == (64 if in_a_file else 0)
    (place / "script.py").write_text("A = 2\n")
    assert (digest("__main__:Net") != first) is in_a_file


@pytest.mark.parametrize("name", ["nett", "no_such_module:Net", ":Net"])
def test_no_such_model_is_a_user_error(name: str) -> None:
    with pytest.raises(UserError, match="model"):
        model_source(name)


def test_no_such_attack_is_a_user_error() -> None:
    with pytest.raises(UserError, match="did you mean 'linear'"):
        source_of("linaer")
