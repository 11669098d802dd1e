"""The sections of the table: each measures in one go what is then divided."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import peers
from timing import Timing, in_turn, side_by_side

SCALE = Path(__file__).with_name("scale.py")
MODELS = {
    "cnn": "bundled CNN, batches of 32",
    "cnn-small-batches": "bundled CNN, batches of 4",
    "kim": "bundled text CNN, sizes of Table 1, batches of 12",
    "sequential": "unseen: the same layers as nn.Sequential, batches of 32",
    "mcmahan": "unseen: CNN of McMahan et al., batches of 32",
    "residual": "unseen: residual net, group norm, batches of 32",
    "attention": "unseen: transformer layer, batches of 32",
}
LARGER = ("cnn", "kim", "mcmahan", "residual", "attention")
"""Of these, what is tried on a GPU."""
GRID = Path(__file__).with_name("grid.py")
WHOLE = Path(__file__).with_name("whole.py")
LARGE = Path(__file__).with_name("large.py")
EXECUTORS = Path(__file__).with_name("executors.py")
STARTUP = Path(__file__).with_name("startup.py")
COMPARED = ("magnitude-stack", "melis-rf")
"""Attacks whose grids are compared with the straight port; the first one has to reach the goal."""

ATTACKS = ("melis-rf", "linear", "magnitude-stack")


@dataclass(frozen=True)
class Row:
    """One line of the table. ``ratio`` is ours divided by this variant, or as ``what`` says."""

    part: str
    what: str
    value: float | None
    unit: str
    ratio: float | None = None
    wanted: str = ""
    note: str = ""


def w1(repeats: int) -> list[Row]:
    """FedAvg, per core."""
    part = "W1, one core"
    wanted = {"plain": "1.8"}
    found = in_turn(["gemm", *(f"w1/{v}" for v in ("ours", "plain", "vmap", "million"))], repeats)
    rows = [Row(part, "fp32 GEMM, 1024 cubed", found["gemm"].gflop, "GFLOP/s")]
    ours, gemm = found["w1/ours"], found["gemm"]
    rows.append(Row(part, "ours", ours.per_cpu, "clients/s", note=_detail(ours, gemm)))
    for name, title in (("plain", "plain torch loop"), ("vmap", "torch.func.vmap over clients")):
        other = found[f"w1/{name}"]
        ratio = ours.per_cpu / other.per_cpu
        rows.append(
            Row(
                part, title, other.per_cpu, "clients/s", ratio, wanted.get(name, ""), _detail(other)
            )
        )
    million = found["w1/million"]
    rows.append(Row(part, "ours, 1,041,615 parameters", million.per_cpu, "clients/s"))
    return rows


def two_cores(repeats: int, python: str | None) -> list[Row]:
    """FedAvg on the whole machine, beside other simulators: ours before and after each."""
    part, wanted = "W1, two cores", {"flower": "3.5", "pfl-research": "2.5"}
    reasons = peers.missing(python)
    ours, others = side_by_side("w1/ours", 2, repeats), {}
    for peer in peers.MODULES:
        if peer not in reasons:
            assert python
            try:
                others[peer] = peers.rates(peer, python, repeats)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                reasons[peer] = str(error)
            ours += side_by_side("w1/ours", 2, repeats)
    wall, processor = (median(values) for values in zip(*ours, strict=True))
    title = "ours, a federation per core"
    rows = [
        Row(part, title, wall, "clients/s", note="wall time"),
        Row(part, title, processor, "clients/s", note="per processor second"),
    ]
    for peer in peers.MODULES:
        if peer in reasons:
            rows.append(Row(part, peer, None, "clients/s", None, wanted[peer], reasons[peer]))
            continue
        one, two = others[peer]
        note = "wall time; one federation on two processes"
        rows.append(Row(part, peer, one, "clients/s", wall / one, wanted[peer], note))
        note = "per processor second of all its processes"
        rows.append(Row(part, peer, two, "clients/s", processor / two, "", note))
    return rows


def w2(repeats: int, models: Sequence[str]) -> list[Row]:
    """Mean gradients of batches at fixed weights, per core."""
    rows = []
    for model in models:
        part = f"W2, {MODELS[model]}"
        names = {v: f"w2/{model}/{v}" for v in ("ours", "plain", "vmap")}
        found = in_turn(["gemm", *names.values()], repeats)
        ours, gemm = found[names["ours"]], found["gemm"]
        rows.append(Row(part, "ours", ours.per_cpu, "gradients/s", note=_detail(ours, gemm)))
        if model == "cnn":
            rows.append(
                Row(
                    part, "ours / GEMM rate", ours.gflop, "GFLOP/s", ours.gflop / gemm.gflop, "0.55"
                )
            )
        for name in ("plain", "vmap"):
            other = found[names[name]]
            wanted = "1.5" if name == "plain" and MODELS[model].startswith("unseen") else ""
            title = {"plain": "plain autograd", "vmap": "torch.func.vmap over batches"}[name]
            ratio = ours.per_cpu / other.per_cpu
            rows.append(
                Row(part, title, other.per_cpu, "gradients/s", ratio, wanted, _detail(other, gemm))
            )
    return rows


def gpu(name: str, device: str, repeats: int) -> list[Row]:
    """Rounds (``W1``) or a model's gradients on a device, and on the processors beside it."""
    cores = len(os.sched_getaffinity(0))
    title = "W1, bundled CNN" if name == "W1" else f"W2, {MODELS[name]}"
    work, unit = ("w1", "clients/s") if name == "W1" else (f"w2/{name}", "gradients/s")
    there, plain, here = f"{work}/ours/{device}", f"{work}/plain/{device}", f"{work}/ours"
    alone = in_turn([there, plain, here], repeats)
    together = {
        f"ours, {device}, four processes": side_by_side(there, 4, repeats),
        f"ours, {cores} cores": side_by_side(here, cores, repeats),
    }
    ours = alone[there].per_wall
    others = {
        f"plain torch loop, {device}": alone[plain].per_wall,
        **{who: median(wall for wall, _ in rates) for who, rates in together.items()},
        "ours, one core": alone[here].per_wall,
    }
    rows = [Row(title, f"ours, {device}", ours, unit, note="wall time")]
    return rows + [Row(title, who, rate, unit, ours / rate) for who, rate in others.items()]


def gpu_audits(device: str, *settings: str) -> list[Row]:
    """Whole commands on a device, and on the processors beside it: wall time, and areas."""
    sets = [argument for setting in settings for argument in ("--set", setting)]
    cores = len(os.sched_getaffinity(0))
    runs = {
        f"{cores} cores": ("cpu", cores),
        device: (device, cores),
        f"{device}, again": (device, cores),
        f"{device}, four processes": (device, 4),
    }
    rows = []
    for scenario in ("quickstart", "resnet"):
        part, found = f"privaudit run {scenario}", {}
        for who, (where, workers) in runs.items():
            took, found[who] = _command(scenario, where, workers, sets)
            apart = np.abs(_areas(found[who]) - _areas(found[f"{cores} cores"]))
            note = f"mean AUC {_areas(found[who]).mean():.4f} over {len(apart)} cells and attacks; "
            note += f"apart from that of the cores by {apart.max():.3f} at most"
            rows.append(Row(part, who, took, "s", note=note))
        first, again = (
            [record["scores"] for record in found[who]] for who in (device, f"{device}, again")
        )
        same = np.mean([one == other for one, other in zip(first, again, strict=True)])
        rows.append(Row(part, f"scores alike, {device} twice", float(100 * same), "%"))
    return rows


def _command(
    scenario: str, device: str, workers: int, sets: Sequence[str]
) -> tuple[float, list[dict[str, Any]]]:
    """Seconds that a run takes, and its records."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "run"
        command = [sys.executable, "-m", "privaudit", "run", scenario, "--out", str(out), *sets]
        command += ["--device", device, "--workers", str(workers), "--quiet"]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        took = time.perf_counter() - started
        if done.returncode:
            raise SystemExit(f"{' '.join(command[2:])} failed:\n{done.stderr[-2000:]}")
        return took, [json.loads(line) for line in (out / "records.jsonl").open()]


def _areas(records: Sequence[dict[str, Any]]) -> np.ndarray:
    return np.array([record["metrics"]["auc"]["value"] for record in records])


SCALES = {
    "clients": ("One round by clients", "clients", "processor time"),
    "rounds": ("Trace by rounds, 5 clients", "rounds", "wall time, with the disk"),
    "population": (
        "Rounds of 1,000 of 100,000 clients, hashed for a ledger",
        "rounds",
        "processor time",
    ),
    "attacked": (
        "Rounds with three attacks, 10^6 parameters",
        "rounds",
        "wall time, with the disk",
    ),
}
"""What ``scale.py`` measures by size, of what the size is a number, and with which clock."""


def scale(kind: str, sizes: Sequence[int]) -> list[Row]:
    """Seconds and peak memory by the number of clients of a round, or of rounds."""
    rows = []
    part, unit, clock = SCALES[kind]
    for size in sizes:
        found = measured(kind, size)
        wanted = "< 2000" if kind == "clients" and size == 10_000 else ""
        rows.append(Row(part, f"{size:,} {unit}", found["seconds"], "s", note=clock))
        memory = Row(part, f"{size:,} {unit}, peak memory", found["peak"], "MB", wanted=wanted)
        rows.append(replace(memory, note=f"PSS at the end {found['pss']:.0f} MB"))
    return rows


def traces(rounds: int, repeats: int) -> list[Row]:
    """Speed of the trace against plain files of the same size."""
    found = [measured("traces", rounds) for _ in range(repeats)]
    rows = []
    for name, others in (("write", ("write", "write and digest")), ("read", ("read",))):
        ours = median(f[name] for f in found)
        rows.append(Row("Trace", name, ours, "MB/s"))
        for other in others:
            plain = median(f[f"plain {other}"] for f in found)
            rows.append(Row("Trace", f"plain file, {other}", plain, "MB/s", ours / plain))
    return rows


def fits(sizes: Sequence[int]) -> list[Row]:
    """Seconds and peak memory of an attack by features: 40 rounds, 1,280 simulated aggregates."""
    rows = []
    for attack in ATTACKS:
        for size in sizes:
            found = measured("features", size, attack)
            what = f"{attack}, {size:,} features"
            wanted = "< 10" if size == 400_000 else ""
            note = f"processor time; peak memory {found['peak']:.0f} MB"
            rows.append(
                Row("Attack: fit and score", what, found["seconds"], "s", None, wanted, note)
            )
    return rows


def grid(title: str, scenario: str, wanted: str, *settings: str) -> list[Row]:
    """A whole grid: the straight port of the published method, and ours with two attacks.

    Cost is processor seconds of one thread without the ordinary training; AUC the mean over cells.
    """
    sets = [argument for setting in settings for argument in ("--set", setting)]
    found = {who: _answer(GRID, scenario, who, *sets) for who in ("port", *COMPARED)}
    port = found["port"]
    rows = []
    for who, one in found.items():
        areas = list(one["auc"].values())
        note = f"mean AUC {np.mean(areas):.3f} over {len(areas)} cells"
        if who == "port":
            what, ratio, goal = "straight port", None, ""
            note += f"; {one['passes']:,} batches backpropagated"
        else:
            what, ratio = f"ours, {who}", port["seconds"] / one["seconds"]
            goal = wanted if who == COMPARED[0] else ""
            ahead = [one["auc"][cell] - area for cell, area in port["auc"].items()]
            note += f", {np.mean(ahead):+.3f} on the port's"
        rows.append(Row(title, what, one["seconds"], "s", ratio, goal, note))
    return rows


def whole(scenario: str, wanted: str, *settings: str) -> list[Row]:
    """The audit set against the training of the rounds that it audits, and without any attack.

    Attacks on membership train models of their own, which no other attack needs.
    """
    sets = [argument for setting in settings for argument in ("--set", setting)]
    rows = []
    for what, more in ((scenario, ()), (f"{scenario}, shadows alone", ("--least",))):
        if more and scenario == "membership":
            break
        found = _answer(WHOLE, scenario, *sets, *more)
        times = found["audit"] / found["training"]
        note = (
            f"{found['audit']:.0f} s of processors for {found['cells']} cells, "
            f"of which {found['training']:.1f} s clients train; {', '.join(settings)}"
        )
        rows.append(
            Row("audit / training", what, times, "x", wanted="" if more else wanted, note=note)
        )
    return rows


def large(sizes: Sequence[int]) -> list[Row]:
    """Seconds and peak memory of a whole audit by the size of the model."""
    rows = []
    for size in sizes:
        found = _answer(LARGE, size)
        what = f"{found['parameters']:,} parameters"
        note = "K = 5, 4 rounds, three attacks; wall time, with the disk"
        rows.append(Row("Audit of a large model", what, found["seconds"], "s", note=note))
        wanted = "< 16000" if size >= 100_000_000 else ""
        memory = Row(
            "Audit of a large model", f"{what}, peak memory", found["peak"], "MB", wanted=wanted
        )
        note = f"all processes together; the largest {found['largest']:,.0f} MB"
        rows.append(replace(memory, note=note))
    return rows


def startup(repeats: int) -> list[Row]:
    """Wall time before anything happens; what importing torch alone takes beside it."""
    found = _answer(STARTUP, repeats)
    lines = {
        "import": ("import torch", ""),
        "data": ("import torch and draw the letters", ""),
        "help": ("privaudit --help", "< 0.3"),
        "trained": ("privaudit run quickstart, until each client made a gradient", "< 3"),
    }
    return [
        Row(
            "Start",
            what,
            median(found[name]),
            "s",
            wanted=wanted,
            note=f"{min(found[name]):.2f} to {max(found[name]):.2f}, n = {repeats}",
        )
        for name, (what, wanted) in lines.items()
    ]


def executors(repeats: int, *settings: str) -> list[Row]:
    """Ray on two one-core nodes against two workers of this machine: wall time of a whole audit."""
    sets = [argument for setting in settings for argument in ("--set", setting)]
    found = _answer(EXECUTORS, "quickstart", *sets, "--repeats", repeats)
    part = "quickstart, two processes"
    local, ray = median(found["local"]), median(found["ray"])
    rows = [
        Row(
            part, name, median(took), "s", note=f"{min(took):.1f} to {max(took):.1f}, n = {repeats}"
        )
        for name, took in found.items()
    ]
    more = 100 * (ray / local - 1)
    return [*rows, Row(part, "ray, beyond local", more, "%", wanted="< 10", note="medians")]


def measured(*arguments: object) -> dict[str, float]:
    """One measurement of ``scale.py`` in a fresh process."""
    found: dict[str, float] = _answer(SCALE, *arguments)
    return found


def _answer(script: Path, *arguments: object) -> Any:
    """What a script prints on its last line, run in a fresh process."""
    command = [sys.executable, str(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[1:])} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _detail(timing: Timing, gemm: Timing | None = None) -> str:
    parts = [f"{timing.low:.1f} to {timing.high:.1f}"]
    if timing.gflop:
        parts.append(f"{timing.gflop:.0f} GFLOP/s")
        if gemm:
            parts.append(f"{timing.gflop / gemm.gflop:.0%} of GEMM")
    return ", ".join(parts)
