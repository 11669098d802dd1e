"""What a scenario would take, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from privaudit.experiment.estimate import Estimate


def estimate_lines(found: Estimate) -> list[str]:
    """The estimate in words."""
    lines = [
        f"{found.federations} federations (one per run, property, rule, share and number of "
        f"clients; one per run to train), {found.cells} table cells, "
        f"{found.parameters:,} parameters",
        f"{_between(found.seconds_low, found.seconds_high)} on "
        f"{_processes(found.workers)} of {_place(found)}",
        *_memory_lines(found),
        f"up to {_bytes(found.disk)} of disk; {_bytes(found.free)} free",
    ]
    if found.disk > found.free:
        lines[-1] += " - TOO LITTLE"
    return lines


def several_lines(estimates: Sequence[Mapping[str, Any]]) -> list[str]:
    """What several audits would take, one after the other; estimates as JSON documents."""
    low, high, disk, federations = (
        sum(found[key] for found in estimates)
        for key in ("seconds_low", "seconds_high", "disk", "federations")
    )
    free = min(found["free"] for found in estimates)
    lines = [
        f"{len(estimates)} audits, {federations} federations",
        _between(low, high),
        f"up to {_bytes(disk)} of disk; {_bytes(free)} free",
    ]
    if disk > free:
        lines[-1] += " - TOO LITTLE"
    return lines


def _place(found: Estimate) -> str:
    return f"{len(found.nodes)} nodes as fast as this machine" if found.nodes else "this machine"


def _memory_lines(found: Estimate) -> list[str]:
    """In all, or of each node as many processes as it may have."""
    if not found.memory:
        return ["memory: not known here"]
    if not found.nodes:
        return [f"about {_bytes(found.memory)} of memory"]
    each = found.memory / found.processes
    lines = []
    for node in found.nodes:
        takes = round(each * min(node.processes, found.processes))
        line = f"node {node.name}: {_processes(node.processes)}, about {_bytes(takes)} of memory"
        if node.free:
            line += f"; {_bytes(node.free)} free" + (" - TOO LITTLE" if takes > node.free else "")
        lines.append(line)
    return lines


def _processes(count: int) -> str:
    return f"{count} {'process' if count == 1 else 'processes'}"


def _between(low: float, high: float) -> str:
    first, last = _duration(low), _duration(high)
    return f"about {first}" if first == last else f"{first} to {last}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _bytes(count: int) -> str:
    if count < 10**9:
        return f"{max(1, round(count / 10**6))} MB"
    return f"{count / 10**9:.1f} GB"
