"""How many of the target's records does another participant hold after one round?

    python benchmarks/attacks/reconstruction.py tables --data-dir data --batch 1,4,8
    python benchmarks/attacks/reconstruction.py texts --data-dir data --batch 12

A federation of K clients, each with a batch per step; the adversary is one of them and sees the
sum of the others' deltas. Of every attacked round the share of the target's batch that stands in
the answer, beside what the adversary's own records would have held (the guess). Limits: 95 %, over
runs; the rounds of a run are no replicates. Without --data-dir tables are normal numbers.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from privaudit.attack.reconstruction import Rebuilding, ReconstructionAttack
from privaudit.data.registry import load_dataset
from privaudit.engine.engine import Engine, Samples
from privaudit.engine.process import tune_process
from privaudit.evaluation.rebuilding import mean_over_runs, rebuilt, words
from privaudit.federation.partition import ADVERSARY, TARGET
from privaudit.federation.rounds import ClientWork, LocalTraining, run_rounds
from privaudit.models.build import InputShape, build_model
from privaudit.observation.rules import Rules
from privaudit.observation.tap import Tap
from privaudit.observation.trace import Trace, TraceWriter
from privaudit.observation.views import Observation
from privaudit.randomness import Seed
from privaudit_attacks.reconstruction.tables import FirstLayer, Spear
from privaudit_attacks.reconstruction.words import MovedWords

CSI = {"text": "text", "vocabulary": 4000, "length": 300, "task": "sentiment"}
OWN = 200
"""Records of the adversary's that a guess chooses from."""


@dataclass(frozen=True)
class Setting:
    """One cell; ``trained`` rounds of the same training come before the attacked ones."""

    participants: int
    batch: int
    steps: int
    trained: int
    rounds: int
    lr: float


@dataclass(frozen=True, eq=False)
class World:
    """Records and model."""

    samples: Samples
    shape: InputShape
    model: str
    options: Mapping[str, object]

    def engine(self, seed: Seed) -> Engine:
        return Engine(build_model(self.model, self.options, self.shape, seed))

    def attacked(
        self, at: Setting, seed: Seed, folder: Path
    ) -> Iterator[tuple[Observation, np.ndarray, Rebuilding]]:
        """What is seen of each attacked round, the target's batch, and what the adversary has."""
        engine = self.engine(seed)
        order = seed.generator("deal").permutation(len(self.samples))
        own, *held = np.split(order, [OWN, *(OWN + _parts(len(order) - OWN, at.participants - 1))])

        def plan(number: int) -> list[ClientWork]:
            rng = seed.generator("batches", number)
            pools = [own, *held[: at.participants - 1]]
            return [
                ClientWork(client, list(rng.choice(pool, (at.steps, at.batch), replace=False)))
                for client, pool in enumerate(pools)
            ]

        rules = Rules(
            participants=at.participants, batch_size=at.batch, local_steps=at.steps, lr=at.lr
        )
        total, training = at.trained + at.rounds, LocalTraining(at.lr)
        with TraceWriter(
            folder, engine.initial, engine.layout, view="participant", target=None, rules=rules
        ) as writer:
            tap = Tap(writer, adversary=ADVERSARY)
            for _ in run_rounds(
                engine, self.samples, engine.initial, plan, training,
                rounds=total, seed=seed, observers=[tap],
            ):  # fmt: skip
                pass
        known = Samples(self.samples.inputs[own], self.samples.labels[own])
        given = Rebuilding(engine, known, rules, seed.child("attacker"))
        for seen in Trace.open(folder).view():
            if seen.round >= at.trained:
                truth = np.concatenate(list(plan(seen.round)[TARGET].batches))
                yield seen, self.samples.inputs[truth].numpy(), given


def _parts(records: int, clients: int) -> np.ndarray:
    return np.arange(1, clients) * (records // clients)


def world_of(kind: str, data_dir: Path | None, hidden: list[int]) -> World:
    """Texts of CSI; rows of Adult, or normal numbers."""
    if kind == "tables" and data_dir is None:
        rng = Seed(7).generator("records")
        inputs = rng.standard_normal((8000, 30)).astype(np.float32)
        labels = rng.integers(0, 5, 8000)
        shape = InputShape.of("table", inputs.shape, num_classes=5, vocabulary_size=0)
        return World(Samples.of(inputs, labels), shape, "mlp", {"hidden": hidden})
    name, options = ("csi", CSI) if kind == "texts" else ("adult", {})
    data = load_dataset(name, options, data_dir, Seed(1).child("data"))
    shape = InputShape.of(
        data.kind,
        data.inputs.shape,
        num_classes=data.num_classes,
        vocabulary_size=len(data.vocabulary),
    )
    model, chosen = ("text-cnn", {}) if kind == "texts" else ("mlp", {"hidden": hidden})
    return World(Samples.of(data.inputs, data.labels), shape, model, chosen)


def measured(
    world: World, kind: str, attack: ReconstructionAttack, at: Setting, seed: Seed
) -> dict[str, float]:
    """Means over the rounds of one run."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seen, truth, given in world.attacked(at, seed, Path(folder) / "trace"):
            answer, own = attack.rebuild(seen, given), given.own.inputs.numpy()
            if kind == "texts":
                there = np.unique(truth[truth > 0])
                recall, precision = words(there, answer)
                rng = seed.generator("guess", seen.round)
                guess = rng.choice(own, given.records(seen), replace=False)
                guessed = words(there, np.unique(guess[guess > 0]))
                row = {"rebuilt": recall, "guess": guessed[0]}
                row |= {"precision": precision, "guess_precision": guessed[1]}
            else:
                row = {"rebuilt": rebuilt(truth, answer), "guess": rebuilt(truth, own)}
            rows.append(row)
    return {str(name): float(value) for name, value in pd.DataFrame(rows).mean().items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=["tables", "texts"])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--participants", default="2,3,5,9,17")
    parser.add_argument("--batch", default="1,4,8")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--trained", type=int, default=0)
    parser.add_argument("--hidden", default="64,32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--draws", type=int, default=0, help="of SPEAR in a round; 0: single units")
    options = parser.parse_args()
    tune_process()
    hidden = [int(width) for width in options.hidden.split(",")]
    world = world_of(options.kind, options.data_dir, hidden)
    attack: ReconstructionAttack = Spear(options.draws) if options.draws else FirstLayer()
    attack = MovedWords() if options.kind == "texts" else attack
    for participants in map(int, options.participants.split(",")):
        for batch in map(int, options.batch.split(",")):
            at = Setting(
                participants, batch, options.steps, options.trained, options.rounds, options.lr
            )
            started = time.perf_counter()
            runs = [
                measured(world, options.kind, attack, at, Seed(1).child("run", run, batch))
                for run in range(options.runs)
            ]
            took = (time.perf_counter() - started) / (options.runs * options.rounds)
            line = f"K {participants:2d}  batch {batch:2d}  "
            for name in runs[0]:
                mean = mean_over_runs([run[name] for run in runs])
                line += f"{name} {mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}]  "
            gain = mean_over_runs([run["rebuilt"] - run["guess"] for run in runs], least=-1.0)
            line += f"difference {gain.value:.3f} [{gain.low:.3f}, {gain.high:.3f}]"
            print(f"{line}  {took:.2f} s a round", flush=True)


if __name__ == "__main__":
    main()
