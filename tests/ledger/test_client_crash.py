"""kill -9 at every point of a run, then the same calls again: nothing lost, nobody paid twice.

The run is deterministic, so the strongest test is the simplest: whatever was killed wherever, the
completed ledger has the state root of one that was never interrupted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from client_kit import assert_paid_once, die, killed_child, play

from privaudit.chain.embedded import EmbeddedChain
from privaudit.chain.journal import Journal
from privaudit.chain.opening import open_ledger, view_ledger

POINTS: dict[str, tuple[type, str, bool]] = {
    "before-journal": (Journal, "record", False),
    "before-send": (EmbeddedChain, "send", False),
    "after-send": (EmbeddedChain, "send", True),
    "after-receipt": (Journal, "settle", True),
}
TRANSACTIONS = 15
"""Of the run in the kit, with deployment."""


def killing(owner: type, method: str, number: int, *, after: bool) -> Callable[..., object]:
    """The method, except that its call ``number`` is the last thing the process ever does."""
    original = getattr(owner, method)
    calls = 0

    def wrapped(*arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls == number and not after:
            die()
        result = original(*arguments, **named)
        if calls == number:
            die()
        return result

    return wrapped


def run(folder: Path) -> None:
    """The run of the kit."""
    with open_ledger(folder) as ledger:
        play(ledger)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The state root of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    with open_ledger(folder) as ledger:
        play(ledger)
        assert len(ledger.history()) == TRANSACTIONS
        return ledger.chain.state_root() or b""


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("number", [1, 2, 6, 7, 15])
def test_killed_run_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uninterrupted: bytes,
    point: str,
    number: int,
) -> None:
    owner, method, after = POINTS[point]
    with monkeypatch.context() as patch:
        patch.setattr(owner, method, killing(owner, method, number, after=after))
        assert killed_child(lambda: run(tmp_path))
    with open_ledger(tmp_path) as ledger:
        # What had been journalled is there before anybody asks for it.
        done = number - 1 if point == "before-journal" else number
        assert len(ledger.history()) == max(done, 1)
        play(ledger)
        assert_paid_once(ledger)
        assert ledger.chain.state_root() == uninterrupted
    with view_ledger(tmp_path) as view:
        assert view.chain.state_root() == uninterrupted


def test_killed_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: bytes
) -> None:
    # Replay sends what is journalled, so the second new transaction of each life is its last.
    lives = 0
    while True:
        known = len(_entries(tmp_path)) if lives else 0
        with monkeypatch.context() as patch:
            patch.setattr(
                EmbeddedChain, "send", killing(EmbeddedChain, "send", known + 2, after=False)
            )
            if not killed_child(lambda: run(tmp_path)):
                break
        lives += 1
    assert lives >= TRANSACTIONS // 2
    with open_ledger(tmp_path) as ledger:
        assert_paid_once(ledger)
        assert ledger.chain.state_root() == uninterrupted


def _entries(folder: Path) -> list[object]:
    journal = Journal(folder)
    try:
        return list(journal.entries())
    finally:
        journal.close()


def test_view_of_a_killed_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "settle", killing(Journal, "settle", 6, after=True))
        assert killed_child(lambda: run(tmp_path))
    with view_ledger(tmp_path) as view:
        assert view.view("round_count") == 1
