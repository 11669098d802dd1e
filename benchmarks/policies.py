"""What a table of policies costs beside its rows one by one.

The scenario `policies-glyphs` with six defences of the audited rounds and the four reward policies
of `privaudit policies`. Together: one such table. One by one: for every defence a `privaudit run`
with the eyes of a participant, with the ledger of one reward policy, and one of the server, which
is what its row takes. That of another reward policy takes as much: each defence is run once, and
counts once for every policy. Processor seconds of everything started, its imports included.

Run with ``python benchmarks/policies.py [--runs 2] [--rounds 24] [--records 12000]`` (about ten
minutes on one core).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from tabulate import tabulate

from privaudit.studies.paid import ATTACKS
from privaudit.studies.policies import REWARDS

SCENARIO = "policies-glyphs"
DEFENCES = ("eight-bits", "signs", "random-10", "dp-weak", "dp-strong", "quantise")
"""Of the scenario, and one that needs no settings; the server sees something of each."""
LEDGER = {"questions": ["rounds"], "rewards": ["contribution"], "attacks": list(ATTACKS)}
"""What a row looks at beside the deltas."""


def seconds(*arguments: str) -> float:
    """Processor seconds of a command of privaudit, one process at a time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "privaudit", *arguments, "--workers", "1", "--quiet"],
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def measured(out: Path, size: list[str]) -> tuple[float, dict[str, float]]:
    """Seconds of the table, and of each defence's row."""
    together = seconds("policies", SCENARIO, "--out", str(out / "all"), *size, *named(*DEFENCES))
    alone = {
        defence: sum(
            seconds(
                *("run", SCENARIO, "--out", str(out / f"{defence}-{who}"), *size, *named(defence)),
                *("--set", f"audit.threat_model={who}", "--set", "ledger.enabled=false"),
                *(ledger() if who == "participant" else ()),
            )
            for who in ("participant", "server")
        )
        for defence in DEFENCES
    }
    return together, alone


def named(*defences: str) -> list[str]:
    """The option that names defences."""
    return ["--set", f"audit.defences={json.dumps(defences)}"]


def ledger() -> list[str]:
    """The options that let a run look at a ledger as well."""
    settings = (f"public_ledger.{name}={json.dumps(value)}" for name, value in LEDGER.items())
    return [part for setting in settings for part in ("--set", setting)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--records", type=int, default=12000)
    asked = parser.parse_args()
    size = ["--set", f"runs={asked.runs}", "--set", f"audit.rounds={asked.rounds}"]
    size += ["--set", f"data.records={asked.records}"]
    with tempfile.TemporaryDirectory() as out:
        together, alone = measured(Path(out), size)
    once = sum(alone.values())
    rows = [(name, f"{spent:.1f}") for name, spent in alone.items()]
    rows += [("each defence once, added up", f"{once:.1f}"), ("the table", f"{together:.1f}")]
    print(tabulate(rows, headers=["defence", "processor seconds"], tablefmt="github"))
    print(
        f"{len(DEFENCES)} defences x {len(REWARDS)} reward policies: the table takes "
        f"{together / (len(REWARDS) * once):.2f} of its rows one by one"
    )


if __name__ == "__main__":
    main()
