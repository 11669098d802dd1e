"""Does `privaudit check` keep still where the rules are right, and speak where they are not?

    python benchmarks/attacks/check_rules.py RUNS --runs 20

Runs small federations of many kinds in the simulator, keeps the traces, and holds what the
adversary sent itself against the rules: the right ones (how often is something called off?), and
wrong learning rates, batches, steps and momentum (how often is it seen in 10 rounds?).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from scipy.stats import beta

from privaudit.attack.auxiliary import OwnRecords
from privaudit.attack.explaining import explain
from privaudit.attack.own_trace import OwnTrace
from privaudit.audit import run_audit
from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.engine.process import tune_process
from privaudit.observation.trace import Trace
from privaudit.randomness import Seed
from privaudit.scenario.grid import Cell, cells_of
from privaudit.scenario.load import load_scenario
from privaudit.world import World, load_world

COMMON = (
    "data.records=1500",
    "federation.rounds=0",
    "audit.participants=[3]",
    "audit.rounds=10",
    "audit.keep_traces=true",
    'audit.properties=["serif"]',
    "audit.fractions=[1.0]",
    "report.devices=[]",
    'audit.attacks=["linear"]',
    "attack_options={}",
    "ledger.enabled=false",
)
FEDERATIONS: dict[str, tuple[str, ...]] = {
    "initial weights": (),
    "after 20 rounds": ("federation.rounds=20",),
    "others natural": ("audit.others=\"natural\"",),
    "K = 2": ("audit.participants=[2]",),
    "batches of 8": ("audit.batch_size=8",),
    "largest 10 %": ("audit.fractions=[0.1]",),
    "three local steps": (
        "audit.protocol=\"fedavg\"", "audit.local_steps=3", "federation.momentum=0.5",
    ),
    "clipped": ("federation.clip_norm=0.02",),
    "noise": ("federation.noise=0.001",),
    "Adam": (
        "local.optimiser=\"adam\"", "federation.lr=0.002", "federation.momentum=0.0",
        "audit.momentum=0.0",
    ),
}  # fmt: skip
WRONG: dict[str, dict[str, Any]] = {
    "lr x 1.5": {"lr": 1.5},
    "lr / 1.5": {"lr": 1 / 1.5},
    "batch x 1.5": {"batch_size": 1.5},
    "batch / 1.5": {"batch_size": 1 / 1.5},
    "batch x 2": {"batch_size": 2.0},
    "steps x 2": {"local_steps": 2},
}


def case_of(world: World, out: RunFolder, cell: Cell, **factors: float) -> OwnTrace:
    """The trace of a cell as its adversary has it, with rules off by these factors."""
    trace = Trace.open(trace_folder(out, cell))
    pool = world.pooled(cell.run, cell.participants)
    samples = world.samples
    own = type(samples)(samples.inputs[pool], samples.labels[pool])
    kind = world.dataset.kind
    present = {cell.property: world.dataset.properties[cell.property][pool]}
    rules = world.rules(cell)
    changed = {n: type(getattr(rules, n))(getattr(rules, n) * f) for n, f in factors.items()}
    rules = rules.model_copy(update=changed)
    records = OwnRecords(own, kind, present, None)
    return OwnTrace(trace, records, world.engine(cell.run), rules, {}, Seed(cell.run))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenario", default="quickstart")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], help="of the scenario, as in run")
    parser.add_argument("--wrong", action="store_true", help="wrong rules in all federations")
    options = parser.parse_args()
    tune_process()
    false, checked = 0, 0
    for number, (title, more) in enumerate(FEDERATIONS.items()):
        common = (*COMMON, f"runs={options.runs}", f"seed={options.seed}")
        scenario = load_scenario(options.scenario, [*common, *more, *options.set])
        folder = run_audit(scenario, options.folder / f"{number}", resume=(
            (options.folder / f"{number}" / "scenario.json").is_file()
        ))  # fmt: skip
        world = load_world(scenario.model_dump_json(), None)
        cells = cells_of(scenario)
        found = [explain(case_of(world, folder, cell)) for cell in cells]
        alarms = [one for one in found if not one.explained]
        false, checked = false + len(alarms), checked + len(found)
        print(f"{title:20s} right rules: {len(alarms)} of {len(found)} called off", flush=True)
        for one in alarms:
            print(f"    {one.changes[0].what}", flush=True)
        if number > 1 and not options.wrong:
            continue
        for name, factors in WRONG.items():
            some = cells[:: max(1, len(cells) // 10)][:10]
            seen = [explain(case_of(world, folder, cell, **factors)) for cell in some]
            told = [one for one in seen if not one.explained]
            right = [one for one in told if set(one.changes[0].rules) & set(factors)]
            print(
                f"{title:20s} {name:12s} seen in {len(told)} of {len(some)}, named right in "
                f"{len(right)}",
                flush=True,
            )
    most = float(beta.ppf(0.975, false + 1, checked - false)) if false < checked else 1.0
    print(f"false alarms: {false} of {checked} (upper 95 % limit {100 * most:.1f} %)")


if __name__ == "__main__":
    main()
