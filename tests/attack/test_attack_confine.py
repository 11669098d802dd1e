"""The process for attacks imports what this one can, and reads nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import pytest

from privaudit.attack.confine import readable

PROGRAM = """
import importlib, json, sys
from privaudit.attack.confine import Readable, confine
modules, files, path, places = json.loads(sys.argv[1])
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
print(json.dumps([done, found]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")
def test_code_is_readable_and_data_beside_it_is_not(tmp_path: Path) -> None:
    modules = {"own_module.py": "", "own_package/__init__.py": "", "loose/part.py": ""}
    inside = {"own_package/weights.txt": "w"}
    data = {"runs/a/scenario.json": "{}", "table.csv": "x", "loose/runs/scenario.json": "{}"}
    for name, text in {**modules, **inside, **data}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    path = [str(tmp_path), *sys.path]
    names = ["own_module", "own_package", "loose.part", "sklearn.linear_model", "privaudit_attacks"]
    files = [str(tmp_path / name) for name in (*inside, *data)] + ["/proc/1/environ"]
    given = json.dumps([names, files, path, astuple(readable(path))])
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, given], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    done, found = json.loads(ran.stdout)
    if not done:
        pytest.skip("this system has no Landlock")
    assert found.pop(str(tmp_path / "own_package/weights.txt")) == "w"
    assert set(found.values()) == {"PermissionError"}
