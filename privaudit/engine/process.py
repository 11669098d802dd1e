"""Settings of a worker process that make small models fast on a CPU."""

from __future__ import annotations

import ctypes
import os

from threadpoolctl import threadpool_limits

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP = 1 << 30


def tune_process(threads: int = 1) -> None:
    """One thread per process, and freed memory kept.

    glibc hands freed blocks over 128 kB back to the system and faults them in again at every
    training step; keeping them is worth 1.3-1.7x on the bundled models (docs/performance.md). With
    two processes on two cores, a second thread per process only makes them wait for each other.
    """
    import torch

    torch.set_num_threads(threads)
    # The linear algebra of numpy and scipy too: another number of threads adds in another order,
    # and the same seed must give the same bytes with one worker (in this process) as with many.
    threadpool_limits(limits=threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEEP)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEEP)
    except (OSError, AttributeError):  # not glibc: slower, nothing else
        return
