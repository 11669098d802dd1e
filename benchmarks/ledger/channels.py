"""What gas, sizes, number, order and times of transactions tell of the rounds that they settle.

    python benchmarks/ledger/channels.py --runs 6

Rounds of the scenario ``public-ledger`` are settled by several reward policies, each on an embedded
ledger of its own, by the transactions that a run sends. Of every channel: AUC of the rounds in
which the target's batch holds the property, mean over runs with a 95 % interval (t over runs); and
how many values the channel had in a run, on average. One value tells nothing. Beside them verdicts
and amounts themselves.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import t as student

from privaudit.chain.chain import Receipt
from privaudit.chain.client import LedgerClient, Settlement
from privaudit.chain.opening import open_ledger
from privaudit.custody.folder import RunFolder
from privaudit.engine.process import tune_process
from privaudit.experiment.training import train_run
from privaudit.federation.partition import TARGET
from privaudit.games import GAMES
from privaudit.observation.public import PublicRound
from privaudit.scenario.grid import Cell, cells_of
from privaudit.scenario.load import load_scenario
from privaudit.scenario.schema import PUBLIC_LEDGER
from privaudit.statistics.roc import auc
from privaudit.world import World, load_world

POLICIES = ("equal", "contribution", "novelty-pool-12")


def main() -> None:
    options = _options()
    tune_process()
    rewards = ",".join(f'"{name}"' for name in POLICIES)
    changes = [f"runs={options.runs}", f"public_ledger.rewards=[{rewards}]"]
    scenario = load_scenario("public-ledger", changes)
    world = load_world(scenario.model_dump_json(), None)
    found: dict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
    for cell, ledger in _ledgers(world):
        present = world.presence(cell)
        asked = scenario.asked_of_ledgers[cell.property]
        name = f"{asked.reward}, {cell.defence or 'refused'}"
        for channel, numbers in _channels(ledger, cell).items():
            each = np.concatenate(
                [
                    np.full(seen.rounds, float(number))
                    for seen, number in zip(ledger, numbers, strict=True)
                ]
            )
            found[name, channel].append((auc(each, present), len(np.unique(each))))
    print("| policy | channel | AUC | values |\n|---|---|---|---|")
    for (name, channel), pairs in found.items():
        areas, values = zip(*pairs, strict=True)
        print(f"| {name} | {channel} | {interval(areas)} | {np.mean(values):.1f} |")


def _ledgers(world: World) -> Iterator[tuple[Cell, list[PublicRound]]]:
    """Every ledger of every run, as everybody can read it."""
    game, cells = GAMES[PUBLIC_LEDGER], cells_of(world.scenario)
    for run in range(world.scenario.runs):
        some = [cell for cell in cells if cell.run == run and cell.game == PUBLIC_LEDGER]
        with tempfile.TemporaryDirectory() as place:
            folder = RunFolder(Path(place))
            train_run(world, folder, run)
            game.observe(world, folder, some)
            for cell in some:
                seen = game.view(folder, cell)
                yield cell, [one for one in seen if isinstance(one, PublicRound)]


def _channels(ledger: Sequence[PublicRound], cell: Cell) -> dict[str, list[float]]:
    """Channel -> a number for each round of the ledger."""
    found: dict[str, list[float]] = defaultdict(list)
    rng = np.random.default_rng(cell.run)
    with tempfile.TemporaryDirectory() as place, open_ledger(Path(place), seed=cell.run) as client:
        people = [client.client(number) for number in range(cell.participants)]
        client.fund(sum(seen.budget for seen in ledger))
        client.register(people)
        for number, seen in enumerate(ledger):
            found["verdict"].append(float(seen.outcomes[TARGET] != 1))
            found["amount"].append(-float(seen.amounts[TARGET]))
            _settle(client, number, seen, people, rng, found)
        paid = [client.withdraw_for(who) for who in people if client.credit(who)]
        assert [p.block_number for p in paid] == sorted(p.block_number for p in paid)
    return found


def _settle(
    client: LedgerClient,
    number: int,
    seen: PublicRound,
    people: Sequence[str],
    rng: np.random.Generator,
    found: dict[str, list[float]],
) -> None:
    """One ledger round, by the transactions of a run; adds what each channel shows of it."""
    opened = client.open_round(number, rng.bytes(32), seen.budget)
    signed = [client.sign_submission(number, who, rng.bytes(32)) for who in sorted(seen.outcomes)]
    submitted = client.submit_signed(number, signed)
    ended = client.end_submissions(number)
    judged = [
        Settlement(people[who], seen.amounts[who], code)
        for who, code in sorted(seen.outcomes.items())
    ]
    settled = client.settle(number, judged)
    closed = client.close_round(number, rng.bytes(32))
    every: list[Receipt] = [opened, *submitted, *([ended] if ended else []), *settled, closed]
    found["gas of settling"].append(sum(one.gas_used for one in settled))
    found["gas of the rest"].append(sum(one.gas_used for one in every if one not in settled))
    found["transactions"].append(len(every))
    found["events"].append(sum(len(one.logs) for one in every))
    found["seconds from opening to closing"].append(closed.block_time - opened.block_time)


def interval(values: Sequence[float], most: float = 1.0) -> str:
    """Mean and its 95 % interval over runs, cut at 0 and at what a value may be at most."""
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return f"{mean:.2f}"
    half = float(student.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return f"{mean:.2f} [{max(0.0, mean - half):.2f}, {min(most, mean + half):.2f}]"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=6)
    return parser.parse_args()


if __name__ == "__main__":
    main()
