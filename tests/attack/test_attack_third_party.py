"""An attack from another installed distribution runs, options included."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import TINY, Finished, privaudit_process

PACKAGE = Path(__file__).resolve().parent / "third_party"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the other distribution installed, as pip installs it."""
    folder = tmp_path_factory.mktemp("site")
    source = shutil.copytree(PACKAGE, folder / "source")  # building writes into the source tree
    target = folder / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    subprocess.run([*install, *offline, str(source)], check=True, capture_output=True)
    return target


def run(site: Path, *arguments: str) -> Finished:
    return privaudit_process(*arguments, PYTHONPATH=str(site))


def test_it_runs_with_its_options(site: Path, tmp_path: Path) -> None:
    ours = ("--set", 'audit.attacks=["norm"]', "--set", "attack_options.norm.factor=2.0")
    done = run(site, "run", "quickstart", *TINY, *ours, "--out", str(tmp_path / "run"))
    assert done.code == 0, done.err
    (record,) = map(json.loads, (tmp_path / "run" / "records.jsonl").read_text().splitlines())
    assert (record["attack"], record["status"]) == ("norm", "ok")
    assert len(record["scores"]) == 4
