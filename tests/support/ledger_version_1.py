"""Ledgers of the contract's version 1, deployed as privaudit did when it was the present one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from privaudit.chain import artefact, opening


@contextmanager
def version_1() -> Iterator[None]:
    """As long as the block runs, ledgers that are opened for the first time are of version 1."""
    present, old = artefact.versions()
    assert (present.version, old.version) == ("2", "1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artefact, "versions", lambda: (old, present))
        patch.setattr(opening, "DEPLOY", 6_000_000)
        yield
