"""What holds for every room: one thread, no timed assertions, helpers of ``tests/support``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import settings

# Before numpy and torch are loaded. The matrices here are small: a second thread only makes the
# first wait, many times over where cores are shared.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

SUPPORT = Path(__file__).resolve().parent / "support"
if str(SUPPORT) not in sys.path:
    sys.path.insert(0, str(SUPPORT))

settings.register_profile("privaudit", deadline=None, print_blob=True)
settings.load_profile("privaudit")
