"""What a poisoner or a free rider earns that knows the reward rule and sends the last step as well.

    python benchmarks/ledger/disguised.py --runs 8
    python benchmarks/ledger/disguised.py --scenario public-ledger-income --data-dir DIR --runs 12

The rounds of the game ``public-ledger``, clipped. The last client adds the last step of the global
model to what it sends, PART times as long as the rest. ``aligned-novelty`` multiplies how the whole
delta points with how what is new in it points: the step helps the first and does not touch the
second. ``leave-one-out`` stands beside them to tell whether such a mixture did harm. Pay in equal
shares, mean over runs with a 95 % interval (t over runs).
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from channels import interval
from torch import Tensor

from privaudit.custody.evidence import EvidenceCollector
from privaudit.custody.folder import RunFolder
from privaudit.engine.engine import LocalUpdate
from privaudit.engine.process import tune_process
from privaudit.experiment.training import train_run
from privaudit.federation.rounds import Active, ClientWork
from privaudit.federation.settling import policy_named, settlements
from privaudit.games.audited_rounds import Way, play
from privaudit.games.listening import valuation
from privaudit.games.pay_facts import equal_shares
from privaudit.games.worth import FlippedPoisoner, Rider
from privaudit.scenario.grid import Cell
from privaudit.scenario.load import load_scenario
from privaudit.world import World, load_world

POLICIES = ("novelty-pool-12", "aligned-novelty-pool-12", "leave-one-out")
PARTS = (0.0, 0.5, 1.0, 2.0)
"""Length of the step, of the rest's."""
DEFENCE = "clipped"


class Disguised:
    """Sends what another would, and the last step of the global model beside it."""

    def __init__(self, other: Active, part: float) -> None:
        self._other, self._part = other, part
        self._last: Tensor | None = None

    def send(self, number: int, before: Tensor, work: ClientWork, honest: LocalUpdate) -> Tensor:
        """As :class:`privaudit.federation.rounds.Active`; in the first round no step."""
        own = self._other.send(number, before, work, honest)
        step = torch.zeros_like(before) if self._last is None else before - self._last
        self._last = before.clone()
        norm = float(torch.linalg.vector_norm(step))
        return own + step * (self._part * torch.linalg.vector_norm(own) / norm) if norm else own


def main() -> None:
    options = _options()
    tune_process()
    rewards = ",".join(f'"{name}"' for name in POLICIES)
    changes = [f"runs={options.runs}", f"public_ledger.rewards=[{rewards}]"]
    scenario = load_scenario(options.scenario, changes)
    world = load_world(scenario.model_dump_json(), options.data_dir)
    found: dict[tuple[str, str, float], list[float]] = defaultdict(list)
    for run in range(options.runs):
        for key, shares in _earned(world, run).items():
            found[key].append(shares)
    print("| policy | who | " + " | ".join(f"step x {part:g}" for part in PARTS) + " |")
    print("|---" * (2 + len(PARTS)) + "|")
    for policy in POLICIES:
        for who in ("random direction", "flipped labels"):
            cells = [interval(found[policy, who, part], np.inf) for part in PARTS]
            print(f"| {policy} | {who} | {' | '.join(cells)} |")


def _earned(world: World, run: int) -> dict[tuple[str, str, float], float]:
    """Policy, who and part of the step -> what it earns in equal shares, in one run."""
    scenario = world.scenario
    engine, participants = world.engine(run), scenario.participants[0]
    cell = Cell(run, scenario.audit.properties[0], "all", 1.0, participants, defence=DEFENCE)
    phase = world.audited_phase(cell.rule, cell.fraction, participants, DEFENCE)
    seed = world.audit_seed(run).child("disguised")
    evidence: dict[tuple[str, str, float], EvidenceCollector] = {}
    ways = []
    for part in PARTS:
        flipped = FlippedPoisoner(
            world.engine(run),
            world.samples,
            len(world.dataset.class_names),
            phase.training.rule,
            seed.child("flipped"),
        )
        others: dict[str, Active] = {"random direction": Rider(seed), "flipped labels": flipped}
        for who, other in others.items():
            some = {
                (policy, who, part): EvidenceCollector(
                    valuation(world, run, policy_named(policy).rule)
                )
                for policy in POLICIES
            }
            evidence |= some
            active = {participants - 1: Disguised(other, part)}
            ways.append(Way(cell, list(some.values()), active))
    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder(Path(place))
        train_run(world, folder, run)
        play(world, folder, engine, ways)
    return {
        key: equal_shares(
            list(settlements(policy_named(key[0]), None, [one.cohort for one in kept.rounds])),
            participants,
        )
        for key, kept in evidence.items()
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--scenario", default="public-ledger")
    parser.add_argument("--data-dir", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
