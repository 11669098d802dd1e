"""One measurement of size in a process of its own: one JSON line with seconds and memory.

``python scale.py clients 1000``: one round of FedSGD over so many clients, four records each.
``python scale.py rounds 100``: so many audited rounds of five clients, written to a trace.
``python scale.py population 8``: so many rounds of 1,000 of 100,000 clients, one record each, with
what a ledger is given of them.
``python scale.py attacked 100``: so many audited rounds of two clients and a large model, with the
attacks.
``python scale.py features 50000 NAME``: an attack fitted on a model of about so many parameters.
``python scale.py traces 20``: MB/s of so many rounds written and read, and of plain files.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from privaudit.attack.adversary import Adversary, AuxiliaryData  # noqa: E402
from privaudit.attack.protocol import fit_together, make_attack  # noqa: E402
from privaudit.attack.registry import load_attack  # noqa: E402
from privaudit.custody.evidence import EvidenceCollector  # noqa: E402
from privaudit.engine.engine import Engine, Samples  # noqa: E402
from privaudit.engine.process import tune_process  # noqa: E402
from privaudit.federation.rounds import (  # noqa: E402
    ClientWork,
    LocalTraining,
    cohort_of,
    run_round,
    run_rounds,
)
from privaudit.models.image_cnn import ImageCNN  # noqa: E402
from privaudit.models.mlp import MLP  # noqa: E402
from privaudit.observation.rules import Rules  # noqa: E402
from privaudit.observation.tap import Tap  # noqa: E402
from privaudit.observation.trace import Trace, TraceWriter  # noqa: E402
from privaudit.randomness import Seed  # noqa: E402

SEED, LR, CLASSES = Seed(0), 0.05, 47
AUDITED, SHADOWS, FIT_BATCH, INPUTS = 40, 16, 16, 30
"""Of a fit: rounds, shadow batches of each kind per round (so 1,280 aggregates), and so on."""

POPULATION, COHORT = 100_000, 1000
LARGE, ATTACKS = 1_000_000, ("melis-rf", "linear", "magnitude-stack")
"""Parameters, and attacks, of the rounds listened to."""


def clients(count: int) -> dict[str, float]:
    """One round; processor seconds of the round."""
    engine, samples = _pictures(2048)
    rng = np.random.default_rng(0)
    work = [ClientWork(client, [rng.choice(2048, 4)]) for client in range(count)]
    started = time.process_time()
    run_round(engine, samples, engine.initial, work, LocalTraining(LR), round_number=0, seed=SEED)
    return {"seconds": time.process_time() - started}


def rounds(count: int) -> dict[str, float]:
    """Audited rounds to disk and back; seconds of each."""
    engine, samples = _pictures(2048)

    def plan(number: int) -> list[ClientWork]:
        rng = SEED.generator("plan", number)
        return [ClientWork(client, [rng.choice(2048, 4)]) for client in range(5)]

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace"
        started = time.perf_counter()
        _listen(path, engine, samples, plan, count)
        written = time.perf_counter()
        for _ in Trace.open(path):
            pass
        return {"seconds": written - started, "read": time.perf_counter() - written}


def population(count: int) -> dict[str, float]:
    """Rounds of a large population, hashed for the ledger; processor seconds."""
    engine, samples = _pictures(POPULATION)
    evidence = EvidenceCollector()

    def plan(number: int) -> list[ClientWork]:
        cohort = cohort_of(POPULATION, COHORT, SEED.generator("cohort", number))
        return [ClientWork(client, [np.array([client])]) for client in cohort]

    started = time.process_time()
    training = LocalTraining(LR)
    for _ in run_rounds(
        engine,
        samples,
        engine.initial,
        plan,
        training,
        rounds=count,
        seed=SEED,
        observers=[evidence],
    ):
        pass
    return {"seconds": time.process_time() - started}


def features(count: int, name: str) -> dict[str, float]:
    """Fit and score; processor seconds of the attack alone, not of its shadows."""
    spent = 0.0
    with tempfile.TemporaryDirectory() as folder:
        trace, adversary = _two_clients(Path(folder) / "trace", count, AUDITED)
        attack = make_attack(load_attack(name), {}, SEED.child(name))
        for observation in trace.view():
            adversary.prepare(observation)
            started = time.process_time()
            attack.listen(observation, adversary)
            spent += time.process_time() - started
        started = time.process_time()
        attack.answer()
    spent += time.process_time() - started
    return {"seconds": spent, "parameters": adversary.layout.size}


def attacked(count: int) -> dict[str, float]:
    """Rounds of a large model, listened to with every attack; wall time with the disk."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trace, adversary = _two_clients(Path(folder) / "trace", LARGE, count)
        attacks = [make_attack(load_attack(name), {}, SEED.child(name)) for name in ATTACKS]
        fit_together(attacks, trace.view(), adversary)
        for attack in attacks:
            attack.answer()
    return {"seconds": time.perf_counter() - started}


def _two_clients(path: Path, parameters: int, count: int) -> tuple[Trace, Adversary]:
    """A trace of rounds of an adversary and a target, and what the adversary owns."""
    engine = Engine(MLP(2, INPUTS, hidden=(parameters // (INPUTS + 3),)))
    rng = np.random.default_rng(0)
    present = (np.arange(2000) % 2).astype(np.int8)
    rows = rng.standard_normal((2000, INPUTS)).astype(np.float32) + present[:, None]
    samples = Samples.of(rows, rng.integers(2, size=2000))
    rules = Rules(participants=2, batch_size=FIT_BATCH, lr=LR, others="without")

    def plan(number: int) -> list[ClientWork]:
        draw = SEED.generator("plan", number)
        own, target = (np.flatnonzero(present == kind) for kind in (0, number % 2))
        return [
            ClientWork(c, [draw.choice(pool, FIT_BATCH)]) for c, pool in enumerate((own, target))
        ]

    _listen(path, engine, samples, plan, count)
    adversary = Adversary(engine, AuxiliaryData(samples, present), rules, SHADOWS, SEED)
    return Trace.open(path), adversary


def _listen(
    path: Path,
    engine: Engine,
    samples: Samples,
    plan: Callable[[int], list[ClientWork]],
    count: int,
) -> None:
    """Rounds as the first client sees them, in a trace."""
    with TraceWriter(path, engine.initial, engine.layout) as writer:
        training, tap = LocalTraining(LR), Tap(writer, adversary=0)
        start = engine.initial
        for _ in run_rounds(
            engine, samples, start, plan, training, rounds=count, seed=SEED, observers=[tap]
        ):
            pass


def traces(count: int) -> dict[str, float]:
    """Dense rounds against the same bytes in plain files; MB per second, nothing forced to disk."""
    engine, _ = _pictures(8)
    deltas = [torch.randn(engine.layout.size) for _ in range(2)]
    size = 8 * engine.layout.size * count / 1e6
    with tempfile.TemporaryDirectory() as folder:
        marks, plain = [time.perf_counter()], Path(folder)
        with TraceWriter(plain / "trace", engine.initial, engine.layout) as writer:
            for _ in range(count):
                writer.append(*deltas, own_weight=0.5, participants=2)
        marks.append(time.perf_counter())
        for _ in Trace.open(plain / "trace"):
            pass
        marks.append(time.perf_counter())
        for number in range(count):
            (plain / f"{number}").write_bytes(b"".join(d.numpy().tobytes() for d in deltas))
        marks.append(time.perf_counter())
        for number in range(count):
            with (plain / f"{number}").open("rb") as stream:
                hashlib.file_digest(stream, "sha256")
        marks.append(time.perf_counter())
        for number in range(count):
            np.frombuffer((plain / f"{number}").read_bytes(), dtype=np.float32)
        marks.append(time.perf_counter())
    names = ("write", "read", "plain write", "digest", "plain read")
    speeds = {name: size / float(took) for name, took in zip(names, np.diff(marks), strict=True)}
    both = 1 / (1 / speeds["plain write"] + 1 / speeds.pop("digest"))
    return speeds | {"plain write and digest": both}


def _pictures(count: int) -> tuple[Engine, Samples]:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    pictures = rng.integers(256, size=(count, 28, 28), dtype=np.uint8)
    return Engine(ImageCNN(CLASSES)), Samples.of(pictures, rng.integers(CLASSES, size=count))


def proportional() -> float:
    """MB of this process's proportional set now (0 where the system does not say)."""
    try:
        text = Path("/proc/self/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1]) / 1e3


def main() -> None:
    tune_process()
    kinds: dict[str, Callable[..., dict[str, float]]] = {
        "clients": clients,
        "rounds": rounds,
        "population": population,
        "attacked": attacked,
        "features": features,
        "traces": traces,
    }
    found = kinds[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:])
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    found["pss"] = proportional()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
