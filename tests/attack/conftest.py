"""Audited worlds, built once: planted, null and defended (``tests/support/audited_world.py``)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from audited_world import DEFENCE, AuditedWorld, audit

from privaudit.defences.sharing import Sharing
from privaudit.defences.transforms import Transforms

NULL_WORLDS = 4

Build = Callable[..., AuditedWorld]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """``build(**settings)`` runs an audit in a folder of its own."""

    def run(**settings: object) -> AuditedWorld:
        return audit(tmp_path_factory.mktemp("world") / "trace", **settings)

    return run


@pytest.fixture(scope="session")
def planted(build: Build) -> AuditedWorld:
    """Three participants, a strong leak."""
    return build(seed=1)


@pytest.fixture(scope="session")
def planted_server(build: Build) -> AuditedWorld:
    """The same, seen by the server."""
    return build(seed=1, server=True)


@pytest.fixture(scope="session")
def two_parties(build: Build) -> AuditedWorld:
    """The adversary and the target alone."""
    return build(seed=2, participants=2)


@pytest.fixture(scope="session")
def sparse(build: Build) -> AuditedWorld:
    """A tenth of the coordinates is shared."""
    return build(seed=3, transforms=Transforms(sharing=Sharing("largest", 0.1)))


@pytest.fixture(scope="session")
def null_worlds(build: Build) -> list[AuditedWorld]:
    """No input depends on the property."""
    return [build(seed=10 + i, shift=0.0, server=i % 2 == 1) for i in range(NULL_WORLDS)]


@pytest.fixture(scope="session")
def defended_worlds(build: Build) -> list[AuditedWorld]:
    """The planted leak behind clipping and noise a hundred times larger."""
    return [build(seed=20 + i, transforms=DEFENCE, server=i % 2 == 1) for i in range(NULL_WORLDS)]
