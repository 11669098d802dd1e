"""Break the contract one rule at a time and see the tests notice.

    python contracts/mutate.py                 every mutant; prints the table, writes RESULTS.md
    python contracts/mutate.py NAME [NAME ...] some of them; prints only

Each mutant of ``mutants/mutants.toml`` is compiled and handed to the tests through
``PRIVAUDIT_LEDGER_ARTEFACT``: first to the tests of single functions, then to the state machine
alone. Exit 1 unless the functions' tests kill every mutant and the state machine all that are
marked ``money``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import compile as compiler
from rich.console import Console
from rich.progress import track
from tabulate import tabulate

MUTANTS = compiler.CONTRACTS / "mutants" / "mutants.toml"
RESULTS = compiler.CONTRACTS / "mutants" / "RESULTS.md"
TESTS = compiler.CONTRACTS.parent / "tests" / "contract"
MACHINE = "test_ledger_machine.py"
NOT_ABOUT_BEHAVIOUR = {MACHINE, "test_ledger_artefact.py", "test_ledger_gas.py"}
SURVIVED = "SURVIVED"
KILLER = re.compile(r"^FAILED \S*?(test_ledger_\w+)\.py::(\w+)", re.MULTILINE)
HEADERS = ("mutant", "rule broken", "killed by test", "state machine alone")


@dataclass(frozen=True)
class Mutant:
    """One broken rule."""

    name: str
    rule: str
    replace: list[tuple[str, str]]
    money: bool = False

    def source(self, original: str) -> str:
        """The broken source.

        Raises:
            ValueError: a replacement does not match exactly once.

        """
        broken = original
        for old, new in self.replace:
            if broken.count(old) != 1:
                raise ValueError(f"{self.name}: {broken.count(old)} matches of {old!r}, not 1")
            broken = broken.replace(old, new)
        return broken


@dataclass(frozen=True)
class Verdict:
    """Which test noticed first, or SURVIVED."""

    mutant: Mutant
    function_test: str
    machine: str

    @property
    def killed(self) -> bool:
        """Whether everything noticed that has to."""
        return SURVIVED not in (self.function_test, self.machine if self.mutant.money else "")


def load(names: Sequence[str] = ()) -> list[Mutant]:
    """The mutants of the list, or those named.

    Raises:
        ValueError: a name is not in the list.

    """
    listed = tomllib.loads(MUTANTS.read_text(encoding="utf-8"))["mutant"]
    mutants = [
        Mutant(**{**item, "replace": [tuple(x) for x in item["replace"]]}) for item in listed
    ]
    unknown = set(names) - {mutant.name for mutant in mutants}
    if unknown:
        raise ValueError(f"unknown mutants: {', '.join(sorted(unknown))}")
    return [mutant for mutant in mutants if not names or mutant.name in names]


def _killer(artefact: Path, files: Sequence[Path]) -> str:
    """The first test that fails with this artefact."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-rf", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PRIVAUDIT_LEDGER_ARTEFACT": str(artefact)}
    run = subprocess.run(
        [*command, *map(str, files)],
        env=environment,
        cwd=TESTS.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode == 0:
        return SURVIVED
    found = KILLER.search(run.stdout)
    if run.returncode != 1 or not found:
        raise RuntimeError(f"the tests did not run:\n{run.stdout[-2_000:]}{run.stderr[-2_000:]}")
    return f"{found.group(1)}::{found.group(2)}"


def judge(mutant: Mutant, original: str, folder: Path) -> Verdict:
    """Compile a mutant and run the tests against it."""
    artefact = folder / f"{mutant.name}.json"
    artefact.write_text(json.dumps(compiler.build(mutant.source(original))), encoding="utf-8")
    files = sorted(p for p in TESTS.glob("test_*.py") if p.name not in NOT_ABOUT_BEHAVIOUR)
    by_function = _killer(artefact, files)
    by_machine = _killer(artefact, [TESTS / MACHINE])
    return Verdict(mutant, by_function, by_machine)


def table(verdicts: Sequence[Verdict]) -> str:
    """The verdicts in GitHub's format."""
    rows = [
        (v.mutant.name, v.mutant.rule, v.function_test, "no" if v.machine == SURVIVED else "yes")
        for v in verdicts
    ]
    return tabulate(rows, HEADERS, "github")


def _report(verdicts: Sequence[Verdict], seconds: float) -> str:
    killed = sum(verdict.killed for verdict in verdicts)
    machine = sum(verdict.machine != SURVIVED for verdict in verdicts)
    return (
        "# The last full mutation run\n\n"
        f"Written by `python contracts/mutate.py`: {killed} of {len(verdicts)} mutants killed "
        f"({machine} by the state machine alone) in {seconds / 60:.0f} minutes on one core.\n\n"
        f"{table(verdicts)}\n"
    )


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants; default: all")
    names = parser.parse_args(arguments).names
    original = compiler.SOURCE.read_text(encoding="utf-8")
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        verdicts = [
            judge(mutant, original, Path(folder))
            for mutant in track(load(names), "mutants", console=Console(stderr=True))
        ]
    print(table(verdicts))
    if not names:
        RESULTS.write_text(_report(verdicts, time.monotonic() - start), encoding="utf-8")
    alive = [verdict.mutant.name for verdict in verdicts if not verdict.killed]
    print(f"alive: {', '.join(alive)}" if alive else f"all {len(verdicts)} mutants killed")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
