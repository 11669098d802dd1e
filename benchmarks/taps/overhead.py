"""What a tap costs a node: ``python benchmarks/taps/overhead.py [ROUNDS]``.

Processor time of keeping what is sent and received, beside that of the round itself: a ResNet-18 of
11.2 million parameters on 1,000 colour images of 32 x 32, in batches of 32. And the memory of the
process after each round, which must not grow.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from privaudit.data.torchvision_shim import import_torchvision
from privaudit.taps.journal import Journal

IMAGES, BATCH = 1000, 32


def train(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> None:
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    for start in range(0, len(labels), BATCH):
        chosen = slice(start, start + BATCH)
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(inputs[chosen]), labels[chosen]).backward()
        optimiser.step()


def seconds(what: Callable[[], object]) -> float:
    before = time.process_time()
    what()
    return time.process_time() - before


def tap(journal: Journal, model: nn.Module, number: int) -> None:
    """What a node's tap does in a round: one model comes, one goes, one comes to be evaluated."""
    state = model.state_dict()
    shape = journal.begin(state, run="1")
    journal.keep("seen", number, shape.flat(state))
    journal.keep("sent", number + 1, shape.flat(state), IMAGES)
    journal.keep("seen", number + 1, shape.flat(state))


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    model = import_torchvision("models").resnet18(num_classes=10)
    rng = torch.Generator().manual_seed(0)
    inputs = torch.randn(IMAGES, 3, 32, 32, generator=rng)
    labels = torch.randint(10, (IMAGES,), generator=rng)
    shares, peaks = [], []
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal")
        for number in range(rounds):
            trained = seconds(lambda: train(model, inputs, labels))
            kept = seconds(lambda n=number: tap(journal, model, n))  # type: ignore[misc]
            shares.append(kept / trained)
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
            print(f"round {number}: {trained:.1f} s training, {kept:.2f} s tap, {peaks[-1]:.0f} MB")
    print(
        f"tap: median {statistics.median(shares):.2%}, largest {max(shares):.2%} of the round's "
        f"processor time (wanted: at most 5 %); peak memory from round 2 on grows by "
        f"{peaks[-1] - peaks[1]:.0f} MB in {rounds - 2} rounds"
    )


if __name__ == "__main__":
    main()
