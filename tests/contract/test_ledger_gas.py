"""The gas table: what the README prints is what the artefact costs."""

from __future__ import annotations

import json

import gas
import pytest


@pytest.fixture(scope="module")
def snapshot() -> dict[str, int]:
    loaded: dict[str, int] = json.loads(gas.SNAPSHOT.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def readme() -> str:
    return gas.README.read_text(encoding="utf-8")


def test_the_table_is_true() -> None:
    assert gas.main(["--check"]) == 0


def test_whole_batches_fit_the_cap_of_a_transaction(snapshot: dict[str, int]) -> None:
    per_client = [cost for name, cost in snapshot.items() if "per client (batch 256)" in name]
    assert len(per_client) == 4
    assert max(per_client) * 256 < 16_700_000


def test_a_moved_figure_and_a_stale_table_are_noticed(
    snapshot: dict[str, int], readme: str
) -> None:
    assert gas.check(snapshot, snapshot, readme) == []
    within = snapshot | {"deploy": round(snapshot["deploy"] * 1.009)}
    assert gas.check(within, snapshot, readme) == []
    beyond = snapshot | {"deploy": round(snapshot["deploy"] * 1.011)}
    assert len(gas.check(beyond, snapshot, readme)) == 1
    assert len(gas.check(beyond, beyond, readme)) == 1
    assert len(gas.check(snapshot | {"new": 1}, snapshot, readme)) == 1
