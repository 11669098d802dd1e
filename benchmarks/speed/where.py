"""Where the time of one gradient of the bundled CNN goes: its parts, each timed alone.

``python benchmarks/speed/where.py``: milliseconds of processor time for 32 records in a pass of 64,
medians; the rate where the operations can be counted; and how near the sum comes to the whole.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[2])]

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import textbook  # noqa: E402
import torch  # noqa: E402
from torch.nn import functional  # noqa: E402

from privaudit.engine.engine import Engine, Samples  # noqa: E402
from privaudit.engine.process import tune_process  # noqa: E402
from privaudit.models import image_cnn_step as step  # noqa: E402
from privaudit.models.image_cnn import ImageCNN  # noqa: E402
from privaudit.randomness import Seed  # noqa: E402

RECORDS = 64
DENSE, SECOND = 3136 * 128 * 2, 14 * 14 * 64 * 32 * 9 * 2
"""FLOP of one record in one direction: the first dense layer, the second convolution."""


def main() -> None:
    tune_process()
    torch.set_grad_enabled(False)
    left, right = torch.randn(1024, 1024), torch.randn(1024, 1024)
    gemm = 2 * 1024.0**3 / milliseconds(lambda: left @ right) / 1e6
    parts = {name: (milliseconds(run) / 2, flop) for name, (run, flop) in pieces().items()}
    whole, together = gradient(), sum(took for took, _ in parts.values())
    rows = [
        {
            "part": name,
            "ms": took,
            "share": f"{took / together:.0%}",
            "GFLOP/s": "" if not flop else f"{flop * 32 / took / 1e6:.0f}",
        }
        for name, (took, flop) in parts.items()
    ]
    print(pd.DataFrame(rows).to_markdown(index=False, floatfmt=".2f"))
    print(f"\nparts {together:.1f} ms, whole gradient {whole:.1f} ms, GEMM {gemm:.0f} GFLOP/s")
    print(f"all operations at the rate of GEMM: {textbook.CNN_FLOP * 32 / gemm / 1e6:.1f} ms")


def gradient() -> float:
    """Milliseconds of one gradient of 32 records through the engine."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(256, size=(512, 28, 28), dtype=np.uint8)
    samples = Samples.of(pictures, rng.integers(textbook.CLASSES, size=512))
    engine, batches = Engine(ImageCNN(textbook.CLASSES)), np.arange(512).reshape(16, 32)
    run = lambda: engine.gradients(engine.initial, samples, list(batches), Seed(0))  # noqa: E731
    return milliseconds(run) / 16


def pieces() -> dict[str, tuple[Callable[[], object], float]]:
    """Part -> (it, for 64 records; FLOP of one record)."""
    inner = {"memory_format": torch.channels_last}
    images, weight = torch.rand(RECORDS, 1, 28, 28), torch.randn(32, 1, 3, 3)
    windows, first = step._first_convolution(images, weight)
    quad = [1, 4]
    maps, winners = functional.max_pool2d(first, quad, return_indices=True)
    kernel = torch.randn(64, 32, 3, 3).contiguous(**inner)
    second = torch.conv2d(maps, kernel, padding=1)
    pooled, chosen = functional.max_pool2d(second, 2, return_indices=True)
    slope, wide = torch.randn_like(second), torch.randn_like(first)
    wide_flat = wide.permute(0, 2, 3, 1).reshape(len(windows), -1)
    layer, halves = step._Convolved(maps, second, chosen, pooled), [slice(0, 32), slice(32, 64)]
    weights = torch.empty(len(halves), 64, 32, 3, 3)
    dense, hidden = torch.randn(128, 3136), torch.randn(RECORDS, 128)
    features, row = pooled.flatten(1), torch.empty(128, 3136)

    def back(
        slope: torch.Tensor, maps: torch.Tensor, winners: torch.Tensor, window: list[int]
    ) -> torch.Tensor:
        pool = torch.ops.aten.max_pool2d_with_indices_backward
        return pool(slope, maps, window, window, [0, 0], [1, 1], False, winners)

    def to_inputs() -> object:
        one, none = [1, 1], [0, 0]
        return torch.ops.aten.convolution_backward(
            slope, maps, kernel, [64], one, one, one, False, none, 1, [True, False, False]
        )

    return {
        "second convolution, forward": (lambda: torch.conv2d(maps, kernel, padding=1), SECOND),
        "second convolution, to its inputs": (to_inputs, SECOND),
        "second convolution, weights": (
            lambda: step._weights(layer, pooled.contiguous(), weights, halves),
            SECOND,
        ),
        "first convolution, forward": (
            lambda: step._first_convolution(images, weight),
            28 * 28 * 32 * 9 * 2,
        ),
        "first convolution, weights": (lambda: windows.T @ wide_flat, 28 * 28 * 32 * 9 * 2),
        "pooling, forward": (
            lambda: (
                functional.max_pool2d(first, quad, return_indices=True),
                functional.max_pool2d(second, 2, return_indices=True),
            ),
            0,
        ),
        "pooling, backward": (
            lambda: (
                back(maps, first, winners, quad),
                back(pooled, second, chosen, [2, 2]),
            ),
            0,
        ),
        "dense layer, forward": (lambda: features @ dense.T, DENSE),
        "dense layer, to its inputs": (lambda: hidden @ dense, DENSE),
        "dense layer, weights": (
            lambda: [
                torch.mm(hidden[i : i + 32].T, features[i : i + 32], out=row) for i in (0, 32)
            ],
            DENSE,
        ),
    }


def milliseconds(run: Callable[[], object], repeats: int = 31) -> float:
    """Median processor time."""
    run()
    spent = []
    for _ in range(repeats):
        started = time.process_time()
        run()
        spent.append(time.process_time() - started)
    return 1e3 * median(spent)


if __name__ == "__main__":
    main()
