"""How fast: one command, one table, every ratio measured in one run.

``python benchmarks/speed/run.py [--quick] [--only W1,W2,...] [--peers-python PYTHON] [--out DIR]``
``python benchmarks/speed/run.py --only gpu-W1,gpu-audits --device cuda`` where there is one

Each variant runs in a process of its own (one thread), in turn with the others, and medians over
repeats are compared. Per core: work per second of processor time, which a busy machine disturbs
less than wall time; on two cores: wall time. ``ratio`` is ours divided by the line's variant,
unless the line says otherwise. Writes speed.md, speed.csv and figures to ``--out``. A part that
cannot be measured, as its data set is missing, is a line that says so, and exit code 1.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import matplotlib as mpl  # noqa: E402
import pandas as pd  # noqa: E402
import sections  # noqa: E402
import torch  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from sections import Row  # noqa: E402

AUDITED = {
    "quickstart": "",
    "table1": "< 8",
    "letters": "",
    "income": "",
    "membership": "",
    "resnet": "",
}
"""Scenarios whose audit is set against the training it audits, and what is wanted of it."""
PARTS = (
    "W1",
    "peers",
    "W2",
    "clients",
    "rounds",
    "population",
    "attacked",
    "large",
    "traces",
    "fits",
    "grid",
    "dilution",
    *(f"audit-{name}" for name in AUDITED),
    "executors",
    "startup",
)
ON_A_GPU = (*(f"gpu-{name}" for name in ("W1", *sections.LARGER)), "gpu-audits")
"""Asked for by name: most machines have none."""


def main() -> None:
    options = _options()
    quick = options.quick
    repeats = 3 if quick else 7
    models = ["cnn", "kim", "sequential"] if quick else list(sections.MODELS)
    clients = [5, 50, 500] if quick else [5, 50, 500, 2000, 10_000]
    work: dict[str, Callable[[], list[Row]]] = {
        "W1": lambda: sections.w1(repeats),
        "peers": lambda: sections.two_cores(min(repeats, 4), options.peers_python),
        "W2": lambda: sections.w2(repeats, models),
        "clients": lambda: sections.scale("clients", clients),
        "rounds": lambda: sections.scale("rounds", [10, 40] if quick else [10, 50, 200, 800]),
        "population": lambda: sections.scale("population", [1] if quick else [1, 4, 16]),
        "attacked": lambda: sections.scale("attacked", [10] if quick else [10, 40, 160]),
        "large": lambda: sections.large([10_000_000] if quick else [10_000_000, 100_000_000]),
        "traces": lambda: sections.traces(20, repeats),
        "fits": lambda: sections.fits([5000] if quick else [5000, 50_000, 400_000]),
        "grid": lambda: sections.grid(
            "Table 1 grid, 3 properties x 3 fractions, K = 2",
            "table1",
            "15",
            "runs=1",
            f"audit.rounds={6 if quick else 12}",
        ),
        "dilution": lambda: sections.grid(
            "Dilution sweep, K = 2, 3, 5, 9, 17, 33",
            "glyphs",
            "18",
            "runs=1",
            f"audit.rounds={6 if quick else 24}",
            "audit.participants=[2, 3, 5, 9, 17, 33]",
        ),
    }
    few = ["runs=1", "audit.rounds=6"] if quick else ["runs=1", "audit.rounds=12"]
    for name, wanted in AUDITED.items():
        work[f"audit-{name}"] = partial(sections.whole, name, wanted, *few)
    for name in ("W1", *sections.LARGER):
        work[f"gpu-{name}"] = partial(sections.gpu, name, options.device, min(repeats, 5))
    work["gpu-audits"] = lambda: sections.gpu_audits(options.device, *few)
    work["executors"] = lambda: sections.executors(3, "runs=2", *(few[1:] if quick else []))
    work["startup"] = lambda: sections.startup(repeats)
    rows: list[Row] = []
    text, failed = "", False
    started = time.perf_counter()
    for part in options.only:
        print(f"{part} ...", file=sys.stderr, flush=True)
        found, reason = measure(part, work[part])
        rows += found
        if reason:
            failed = True
            print(f"{part}: not measured: {reason}", file=sys.stderr, flush=True)
        text = "\n".join([*_about(time.perf_counter() - started, quick), "", table(rows), ""])
        if options.out:  # after each part: what was measured is kept, whatever comes
            keep(rows, text, options.out)
    print(text)
    if failed:
        sys.exit(1)


def measure(part: str, work: Callable[[], list[Row]]) -> tuple[list[Row], str]:
    """The rows of a part; or a row that says so, and why, where it cannot be measured.

    A data set may be missing (``PRIVAUDIT_DATA``): that is no reason to lose the other parts.
    """
    try:
        return work(), ""
    except (Exception, SystemExit) as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        reason = lines[-1] if lines else type(error).__name__
        return [Row(part, "all of it", None, "", note=reason)], reason


def keep(rows: list[Row], text: str, out: Path) -> None:
    """Table, rows and figures of what is measured so far."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "speed.md").write_text(f"# Speed\n\n{text}")
    pd.DataFrame(map(asdict, rows)).to_csv(out / "speed.csv", index=False)
    for kind, (part, *_) in sections.SCALES.items():
        if any(row.part == part and row.value is not None for row in rows):
            draw(rows, kind, out / f"{kind}.svg")


def table(rows: list[Row]) -> str:
    """GitHub Markdown."""
    frame = pd.DataFrame(
        {
            "": row.part,
            "what": row.what,
            "value": "not measured" if row.value is None else f"{row.value:.4g} {row.unit}",
            "ratio": "" if row.ratio is None else f"{row.ratio:.2f}",
            "wanted": row.wanted,
            "reached": _reached(row),
            "note": row.note,
        }
        for row in rows
    )
    return str(frame.to_markdown(index=False, disable_numparse=True))


def draw(rows: list[Row], kind: str, path: Path) -> None:
    """Seconds and memory by size, which is on a logarithmic axis."""
    part, unit, _ = sections.SCALES[kind]
    chosen = [row for row in rows if row.part == part and row.value is not None]
    seconds = {_size(row): row.value for row in chosen if row.unit == "s"}
    memory = {_size(row): row.value for row in chosen if row.unit == "MB"}
    with mpl.rc_context({"svg.hashsalt": "speed", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7, 3), layout="constrained")
        for axes, values, name in zip(
            figure.subplots(1, 2), (seconds, memory), ("seconds", "peak memory, MB"), strict=True
        ):
            axes.plot(list(values), list(values.values()), "o-")
            axes.set(xscale="log", xlabel=unit, ylabel=name, ylim=(0, None))
        figure.savefig(path, metadata={"Date": None})


def _size(row: Row) -> int:
    return int(row.what.split()[0].replace(",", ""))


def _reached(row: Row) -> str:
    if not row.wanted or (row.value is None):
        return ""
    if row.wanted.startswith("<"):
        return "yes" if row.value < float(row.wanted[1:]) else "NO"
    return "yes" if row.ratio is not None and row.ratio >= float(row.wanted) else "NO"


def _about(seconds: float, quick: bool) -> list[str]:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    commit = done.stdout.strip()
    card = f" and {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return [
        f"{len(os.sched_getaffinity(0))} x {_processor()}{card}, "
        f"Python {platform.python_version()}, torch {torch.__version__} "
        f"({torch.backends.cpu.get_cpu_capability()}), commit {commit or 'unknown'}; "
        f"{seconds:.0f} s of measuring; load {os.getloadavg()[0]:.1f} at the end"
        + ("; quick: fewer repeats" if quick else "")
        + ".",
        "Per core: work per second of processor time, medians (slowest to fastest in the notes); "
        "ratio: ours divided by this line's.",
    ]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "?")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under two minutes, fewer repeats")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS + ON_A_GPU)}")
    parser.add_argument("--device", default="cuda", help="of gpu and gpu-audits")
    parser.add_argument("--peers-python", help="Python with requirements-peers.txt installed")
    parser.add_argument("--out", type=Path, help="folder for speed.md, speed.csv, figures")
    options = parser.parse_args()
    options.only = options.only.split(",")
    for part in options.only:
        if part not in PARTS + ON_A_GPU:
            parser.error(f"--only: unknown part '{part}'; known: {', '.join(PARTS + ON_A_GPU)}")
    return options


if __name__ == "__main__":
    main()
