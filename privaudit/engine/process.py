"""Settings of a worker process that make small models fast on a CPU."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
from contextlib import suppress
from pathlib import Path

from threadpoolctl import threadpool_limits

PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP, _LARGE = 1 << 30, 1 << 27
"""Bytes: kept at the end of the heap; of a block that is not kept, as a model's vectors may be."""

COLLECT_AFTER = 50_000
"""New objects between two looks for garbage; Python's own 700 cost a tenth of all imports."""
USUALLY = gc.get_threshold()

GROWTH = 1 << 30
"""Bytes by which a process may grow before what it keeps in vain is given back."""


def tune_process(threads: int = 1) -> None:
    """One thread per process, freed memory kept, and garbage looked for as often as usual.

    glibc hands freed blocks over 128 kB back to the system and faults them in again at every
    training step; keeping them is worth 1.3-1.7x on the bundled models (docs/performance.md). With
    two processes on two cores, a second thread per process only makes them wait for each other.
    """
    # Large blocks on large pages are mapped faster. Torch reads this when it makes its first one.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    import torch

    gc.set_threshold(*USUALLY)
    torch.set_num_threads(threads)
    # The linear algebra of numpy and scipy too: another number of threads adds in another order,
    # and the same seed must give the same bytes with one worker (in this process) as with many.
    threadpool_limits(limits=threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEEP)
    except (OSError, AttributeError):  # not glibc: slower, nothing else
        return


def collect_rarely() -> None:
    """Look for garbage less often: thousands of modules are imported, and none of it is any.

    Until :func:`tune_process`, before anything is computed: garbage of models may hold tensors.
    """
    gc.set_threshold(COLLECT_AFTER)


def die_with(parent: int) -> None:
    """Let this process be killed the moment its parent is gone, however the parent went.

    Only Linux does that; elsewhere a process finds out by the end of the pipe it reads from.

    Args:
        parent: its process id, as the parent says: it may be gone by now.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


class KeptMemory:
    """What keeping memory costs, bounded: blocks that nobody uses go back to the system.

    Where blocks of a large model come and go between small ones that stay, a block often no longer
    fits into the place of an earlier one, and a process that keeps everything grows with the
    rounds. Giving back costs a round or so of faulting in again, so it is done now and then.
    """

    def __init__(self, growth: int = GROWTH) -> None:
        self._growth = growth
        self._resident = resident()

    def after_round(self) -> None:
        """Give back what is not in use, if the process has grown too much since the last time."""
        if resident() - self._resident > self._growth:
            give_back()
            self._resident = resident()


def give_back() -> None:
    """Give the system what memory is kept and not in use."""
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def resident() -> int:
    """Bytes of this process in memory now; 0 where the system does not say (other than Linux)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
