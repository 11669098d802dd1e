"""What attacks that cheat find, where the system confines them and where it cannot.

Each cheat of ``tests/support/plugins`` looks for the truth in a place of its own, in a world where
nothing can be inferred and another run of the same scenario lies beside. Once as it is; once as for
a user whose system has no Landlock and lets processes of one user look at each other: the system
call is given a number that no kernel knows, and the rights of a superuser stay. Prints the AUC of
each, over runs of 40 rounds. Run with ``python benchmarks/attacks/cheats.py`` (Linux; about five
minutes on one core).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from pathlib import Path

from tabulate import tabulate

from privaudit.attack import apart, launching
from privaudit.audit import run_audit
from privaudit.evaluation.records import Record, parse_records
from privaudit.library.scores import evaluate
from privaudit.scenario.load import load_scenario

PLUGINS = Path(__file__).resolve().parents[2] / "tests" / "support" / "plugins"
UNCONFINED = """
import privaudit.attack.confine as confining
confining.CREATE = 100_000
confining._drop_capabilities = lambda libc: None
"""
CONFINED, ELSEWHERE = "with Landlock", "without"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=8)
    runs = parser.parse_args().runs
    sys.path.insert(0, str(PLUGINS))
    with tempfile.TemporaryDirectory(prefix="cheats-") as place:
        tempfile.tempdir = place  # attacks then stand near the runs, and need not search long
        rows = measured(runs)
        apart.end()
    print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))


def measured(runs: int) -> list[dict[str, str]]:
    """A row for each cheat."""
    found = {CONFINED: outcomes(runs)}
    attends = "from privaudit.attack.template import"
    launching.TEMPLATE = launching.TEMPLATE.replace(attends, UNCONFINED + attends)
    found[ELSEWHERE] = outcomes(runs)
    return [
        {"cheat": f"`{name}`"} | {where: by_name[name] for where, by_name in found.items()}
        for name in found[CONFINED]
    ]


def outcomes(runs: int) -> dict[str, str]:
    """Cheat -> its AUC with interval, or how it failed."""
    found = {}
    text = (PLUGINS / "cheats.toml").read_text()
    with tempfile.TemporaryDirectory(prefix="runs-") as place, contextlib.chdir(place):
        Path("cheats.toml").write_text(text)
        for name in load_scenario("cheats.toml").audit.attacks:
            apart.end()  # each in a process of its own: what one finds, another might use
            launching.end_template()
            scenario = load_scenario("cheats.toml", [f"runs={runs}", f'audit.attacks=["{name}"]'])
            for again in ("first", "second"):
                folder = run_audit(scenario, Path(place, again, name), workers=1)
            records = parse_records(folder.read_lines("records.jsonl"), where=place)
            found[name] = outcome(records)
            print(json.dumps(found), file=sys.stderr, flush=True)
    return found


def outcome(records: list[Record]) -> str:
    """The AUC over all runs, or why there is none."""
    if failed := [record.reason for record in records if record.status != "ok"]:
        return failed[0]
    here, there = (
        [[s for s, p in zip(r.scores, r.present, strict=True) if p == kind] for r in records]
        for kind in (True, False)
    )
    auc = evaluate(here, there).auc
    return f"{auc.value:.2f} [{auc.low:.2f}, {auc.high:.2f}]"


if __name__ == "__main__":
    main()
