"""How often, and how fast, is a batch rebuilt from a dense ReLU layer? By batch and width.

    python benchmarks/attacks/spear.py --seconds 20 --tries 3

D. Dimitrov et al., NeurIPS 2024, on one client's gradient at initial weights; records are normal
numbers. A try ends when the batch is rebuilt or its time is over, which is a failure.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import nn

from privaudit.engine.engine import Engine, Samples
from privaudit.engine.process import tune_process
from privaudit.evaluation.rebuilding import ranges, rebuilt
from privaudit.models.mlp import MLP
from privaudit.randomness import Seed
from privaudit_attacks.reconstruction.spear import AT_ONCE, spear

FEATURES, CLASSES, SECOND = 30, 5, 32
PRECISION = float(torch.finfo(torch.float32).eps)


def gradient(batch: int, width: int, seed: Seed) -> tuple[list[np.ndarray], np.ndarray]:
    """Gradient and parameters of the first layer, and the batch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed.integer())
        model: nn.Module = MLP(CLASSES, FEATURES, hidden=[width, SECOND])
    engine, rng = Engine(model), seed.generator("records")
    records = rng.standard_normal((batch, FEATURES)).astype(np.float32)
    samples = Samples.of(records, rng.integers(0, CLASSES, batch))
    slopes = engine.gradients(engine.initial, samples, [np.arange(batch)], seed)[0]
    parts = [engine.layout.split(v.numpy()) for v in (slopes, engine.initial)]
    names = [piece.name for piece in engine.layout.slices[:2]]
    return [part[name] for part in parts for name in names], records


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch", default="8,12,16,20,24")
    parser.add_argument("--width", default="64,256,1024")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--tries", type=int, default=3)
    options = parser.parse_args()
    tune_process()
    for batch in map(int, options.batch.split(",")):
        for width in map(int, options.width.split(",")):
            done, seconds, draws, wrong = 0, [], [], 0
            for number in range(options.tries):
                seed = Seed(1).child(batch, width, number)
                layer, records = gradient(batch, width, seed)
                started, tried, allowed = time.perf_counter(), 0, AT_ONCE
                # With as many draws as the time allows, known after the first few.
                while True:
                    found = spear(
                        *layer, batch, precision=PRECISION, most_draws=allowed,
                        rng=seed.generator("draws", tried),
                    )  # fmt: skip
                    took = time.perf_counter() - started
                    tried += found.draws
                    rest = (options.seconds - took) * tried / took
                    if found.why == "rebuilt" or rest < AT_ONCE:
                        break
                    allowed = int(rest)
                right = (
                    len(found.records) > 0
                    and rebuilt(records, found.records, ranges(records)) == 1.0
                )
                wrong += found.why == "rebuilt" and not right
                if right:
                    done += 1
                    seconds.append(took)
                draws.append(tried)
            mean = f"{np.mean(seconds):6.1f} s" if seconds else "      –"
            print(
                f"batch {batch:2d}  width {width:4d}  rebuilt {done} of {options.tries}  "
                f"{mean}  draws {np.mean(draws):9.0f}  wrong {wrong}",
                flush=True,
            )


if __name__ == "__main__":
    main()
