"""The process for attacks imports what this one can, reads nothing else, and writes nowhere."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest

from privaudit.attack.confine import readable
from privaudit.attack.importing import needed

PROGRAM = """
import importlib, json, sys
from privaudit.attack.confine import Readable, confine
modules, files, written, path, places = json.loads(sys.argv[1])
sys.path[:] = path
done = confine(Readable(*places))
found = {}
for name in modules:
    importlib.import_module(name)
for file in files:
    try:
        found[file] = open(file).read()
    except OSError as error:
        found[file] = type(error).__name__
for file in written:
    try:
        found[f"write {file}"] = open(file, "w").write("x")
    except OSError as error:
        found[f"write {file}"] = type(error).__name__
print(json.dumps([done, found]))
"""


def confined(
    modules: list[str], files: list[str], written: list[str], path: list[str]
) -> dict[str, object]:
    """What a process that is confined for this import path could read and write."""
    given = json.dumps([modules, files, written, path, astuple(readable(path))])
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, given], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    done, found = json.loads(ran.stdout)
    if not done:
        pytest.skip("this system has no Landlock")
    return dict(found)


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")
def test_code_is_readable_and_data_beside_it_is_not(tmp_path: Path) -> None:
    modules = {"own_module.py": "", "own_package/__init__.py": "", "loose/part.py": ""}
    inside = {"own_package/weights.txt": "w"}
    data = {"runs/a/scenario.json": "{}", "table.csv": "x", "loose/runs/scenario.json": "{}"}
    data |= {"first.zip": "z", "loose/second.zip": "z"}
    for name, text in {**modules, **inside, **data}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    path = [str(tmp_path), *sys.path]
    names = ["own_module", "own_package", "loose.part", "sklearn.linear_model", "privaudit_attacks"]
    files = [str(tmp_path / name) for name in (*inside, *data)] + ["/proc/1/environ"]
    written = [str(tmp_path / "new.txt"), str(tmp_path / "own_module.py")]
    with NamedTemporaryFile("w", dir="/dev/shm") as shared:
        found = confined(names, [*files, shared.name], [*written, shared.name], path)
    assert found.pop(str(tmp_path / "own_package/weights.txt")) == "w"
    assert set(found.values()) == {"PermissionError"}


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")
def test_beside_a_gpu_its_own_threads_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What CUDA does at its start; tried without a GPU."""
    monkeypatch.setattr("privaudit.attack.confine.glob", lambda pattern: [pattern])
    written = ["/proc/thread-self/comm", f"/proc/{os.getpid()}/task/{os.getpid()}/comm"]
    found = confined([], [], written, sys.path)
    assert list(found.values()) == [1, "PermissionError"]


def test_a_folder_is_shown_to_attacks_only_where_something_was_imported_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, package = tmp_path / "here", tmp_path / "there"
    for name in (here / "module_shown.py", package / "package_shown/inner/deep.py"):
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_text("")
    path = [*sys.path, str(here), str(package)]
    assert needed(path) == needed(sys.path)
    monkeypatch.setattr(sys, "path", path)
    importlib.import_module("module_shown")
    assert needed(path) == [*needed(sys.path[:-2]), str(here)]
    importlib.import_module("package_shown.inner.deep")
    assert needed(path)[-2:] == [str(here), str(package)]
    for name in ("module_shown", "package_shown.inner.deep", "package_shown.inner"):
        monkeypatch.delitem(sys.modules, name)
