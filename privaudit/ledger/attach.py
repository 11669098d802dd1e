"""Whether a run keeps a ledger, and what must be there before it begins."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from privaudit.custody.folder import RunFolder
from privaudit.experiment.listener import Listener
from privaudit.ledger.place import Place
from privaudit.progress import Progress
from privaudit.scenario.schema import Scenario


def import_chain(scenario: Scenario) -> None:
    """What the ledger of a run takes, if it keeps one: to be had when it is needed."""
    if scenario.ledger.enabled:
        import privaudit.ledger.recording  # noqa: F401


def ledger_of(
    scenario: Scenario, place: Place, progress: Progress, *, resume: bool
) -> Callable[[RunFolder], AbstractContextManager[Listener]]:
    """The ledger of a run, to be opened once there is a folder; where none is kept, nobody listens.

    Raises:
        UserError: keys that are missing or locked; unless ``resume``, a node that does not answer.
    """
    if not scenario.ledger.enabled:
        return lambda _: nullcontext(Listener())
    accounts = place.accounts()
    if not resume:  # one that goes on has its own say about chains
        place.check_reachable()
    from privaudit.ledger.recording import keep_ledger  # the chain is slow to import

    return lambda folder: keep_ledger(folder, scenario, place, accounts, progress)
