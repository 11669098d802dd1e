"""The folder with the real data, where there is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder named by PRIVAUDIT_DATA; the test is skipped where there is none."""
    named = os.environ.get("PRIVAUDIT_DATA")
    if not named or not Path(named).is_dir():
        pytest.skip("needs the real data: set PRIVAUDIT_DATA to their folder")
    return Path(named)
