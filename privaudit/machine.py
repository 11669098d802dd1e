"""What this machine has for this process: cores and memory."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cores() -> int:
    """Cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def free_memory() -> int | None:
    """Bytes a new process may still take; None where the system does not say."""
    known = [found for found in (_system_memory(), _container_memory()) if found is not None]
    return min(known, default=None)


def peak_memory() -> int:
    """Bytes this process has held at most; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _system_memory() -> int | None:
    try:
        rows = Path("/proc/meminfo").read_text().splitlines()
        return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _container_memory() -> int | None:
    """What the control group (version 2) leaves: its limit less what is in use."""
    try:
        group = Path("/sys/fs/cgroup")
        return int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no such group, or "max"
        return None
