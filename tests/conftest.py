"""What holds for every room: no timed assertions, and the helpers of ``tests/support``."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

SUPPORT = Path(__file__).resolve().parent / "support"
if str(SUPPORT) not in sys.path:
    sys.path.insert(0, str(SUPPORT))

settings.register_profile("privaudit", deadline=None, print_blob=True)
settings.load_profile("privaudit")
