"""Whose property is it? Cohorts of many sizes, with the list of who took part, and without.

    python benchmarks/attacks/whose.py --participants 20,100 --shares 0.1,0.5 --rounds 50,100,300
    python benchmarks/attacks/whose.py --permuted           # a property that nobody differs in

Each federation of the scenario ``whose`` is run once, for the most rounds; fewer are the first of
them. Of each what ``whose-least-squares`` makes of it, mean over federations with a 95 % interval
(t over federations): AUC and F1 over clients. With ``--permuted`` the property lies on random
records.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

import numpy as np
from scipy.stats import t as student

from privaudit.attack.protocol import make_attack
from privaudit.attack.registry import load_attack
from privaudit.custody.folder import RunFolder
from privaudit.engine.process import tune_process
from privaudit.experiment.training import train_run
from privaudit.games import GAMES
from privaudit.randomness import Seed
from privaudit.scenario.grid import cells_of
from privaudit.scenario.load import load_scenario
from privaudit.scenario.schema import WHOSE, Scenario
from privaudit.statistics.roc import auc
from privaudit.world import World, load_world

Found = tuple[int, str, float, float]
"""Rounds, what the ledger says, AUC, F1."""


def measured(world: World, run: int, lengths: list[int], attack: str) -> Iterator[Found]:
    """One federation, after so many rounds each, by every ledger."""
    game, scenario = GAMES[WHOSE], world.scenario
    cells = [cell for cell in cells_of(scenario) if cell.run == run]
    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder(Path(place))
        train_run(world, folder, run)
        game.observe(world, folder, cells)
        for length in lengths:
            given = game.given(world, cells)
            for cell in cells:
                one = make_attack(load_attack(attack), {}, Seed(run))
                for seen in islice(game.view(folder, cell), length):
                    given[cell].prepare(seen)
                    one.listen(seen, given[cell])
                scores, present = np.array(one.answer()), world.presence(cell)
                says = scenario.asked_of_clients[cell.property].says
                yield length, says, auc(scores, present), _f1(scores > 0, present)


def _f1(named: np.ndarray, present: np.ndarray) -> float:
    right = int((named & present).sum())
    return 2 * right / (int(named.sum()) + int(present.sum()))


def of_size(clients: int, share: float, rounds: int, options: argparse.Namespace) -> Scenario:
    """The scenario ``whose`` with so many clients, of whom a share is in each cohort."""
    ledgers = ",".join(f'"{name}"' for name in options.ledgers.split(","))
    return load_scenario(
        "whose",
        [
            f"runs={options.runs}",
            f"federation.participants={clients}",
            f"federation.cohort={max(2, round(share * clients))}",
            f"audit.rounds={rounds}",
            f"whose.ledgers=[{ledgers}]",
        ],
    )


def interval(values: list[float]) -> str:
    """Mean and its 95 % interval over federations."""
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return f"{mean:.2f}"
    half = float(student.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return f"{mean:.2f} [{max(0.0, mean - half):.2f}, {min(1.0, mean + half):.2f}]"


def main() -> None:
    options = _options()
    tune_process()
    lengths = [int(number) for number in options.rounds.split(",")]
    print("| clients | cohort | rounds | published | AUC | F1 | n |\n|---|---|---|---|---|---|---|")
    sizes = product(options.participants.split(","), options.shares.split(","))
    for clients, share in ((int(k), float(s)) for k, s in sizes):
        scenario = of_size(clients, share, max(lengths), options)
        world = load_world(scenario.model_dump_json(), None, permutation=int(options.permuted))
        found: dict[tuple[int, str], list[tuple[float, float]]] = defaultdict(list)
        for run in range(options.runs):
            for length, says, area, f1 in measured(world, run, lengths, options.attack):
                found[length, says].append((area, f1))
        for (length, says), pairs in found.items():
            areas, ones = (list(column) for column in zip(*pairs, strict=True))
            cohort = f"{scenario.federation.cohort} ({share:.0%})"
            row = (clients, cohort, length, says, interval(areas), interval(ones), len(areas))
            print("| " + " | ".join(map(str, row)) + " |", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--participants", default="20,100")
    parser.add_argument("--shares", default="0.1,0.5")
    parser.add_argument("--rounds", default="50,100,300")
    parser.add_argument("--ledgers", default="listed,claims-25")
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--attack", default="whose-least-squares")
    parser.add_argument("--permuted", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
