"""The ground truth of a cell: a function of the scenario, the data and the cell alone.

It is computed where the target's batches are drawn, and again where scores are judged; in between
it is nowhere on disk, so that no attack can come across it. Whoever has the scenario and the
checksum of the data can compute it once more: ``privaudit verify`` does.
"""

from __future__ import annotations

import numpy as np

from privaudit.federation.rounds import cohort_of, poisson_cohort
from privaudit.federation.schedule import balanced_presence, stretches, targets_of
from privaudit.randomness import Seed
from privaudit.scenario.grid import Cell, federation_of
from privaudit.scenario.schema import MEMBERSHIP, PUBLIC_LEDGER, WHOSE, Scenario


def presence(scenario: Scenario, checksum: str, cell: Cell) -> np.ndarray:
    """In which audited rounds the target's records hold the property, [rounds] bool.

    In the game ``membership``, which of the candidates are trained on, [candidates] bool: the same
    ones whatever is shared, and whoever else takes part. Of a public ledger the same as of the
    property, or [clients] who trains on all its records (on records with the property alone, on
    half of the classes alone), or [rounds x clients] who took part. Of
    ``whose``, which clients but the adversary hold the property, [clients - 1] bool, whatever the
    ledger says.

    Args:
        scenario: the resolved scenario.
        checksum: of the data set. Nobody who holds only a share of the records has it, so that
            guessing a small root seed gives nobody the schedule.
        cell: run, property and number of participants count; what is shared does not.
    """
    rounds, root = scenario.audit.rounds, Seed(scenario.seed).child("presence", checksum)
    of_clients = _of_clients(scenario, root, cell)
    if of_clients is not None:
        return of_clients
    asked = cell.property
    if cell.game == PUBLIC_LEDGER:
        found_of = scenario.asked_of_ledgers[cell.property]
        if found_of.question == "cohorts":
            return _took_part(scenario, checksum, cell.run).ravel()
        asked = found_of.about
    names = (asked, cell.participants)
    if scenario.audit.schedule == "single-batch":
        rng = root.generator("run", cell.run, *names)
        rotate = scenario.audit.targets == "rotate"
        targets = targets_of(rounds, cell.participants, rotate=rotate)
        found = np.empty(rounds, dtype=bool)
        for target in np.unique(targets):  # each has rounds of both kinds
            found[targets == target] = balanced_presence(int((targets == target).sum()), rng)
        return found
    if scenario.audit.schedule == "episodes":
        appears = balanced_presence(scenario.runs, root.generator("episodes", *names))[cell.run]
        possible = stretches(rounds, scenario.audit.episode)
        chosen = root.generator("run", cell.run, *names).integers(len(possible))
        return np.asarray(possible[chosen] & appears)
    federation = federation_of(scenario.audit.schedule, cell.run)
    first = bool(root.generator("federation", federation, *names).integers(2))
    return np.full(rounds, first == (cell.run % 2 == 0))


def _of_clients(scenario: Scenario, root: Seed, cell: Cell) -> np.ndarray | None:
    """The ground truth of questions about candidates or clients; None: it is about rounds."""
    if scenario.membership and cell.game == MEMBERSHIP:
        coins = root.generator("run", cell.run, MEMBERSHIP)
        return balanced_presence(scenario.membership.candidates, coins)
    if cell.game == WHOSE:
        about = scenario.asked_of_clients[cell.property].about
        coins = root.generator("run", cell.run, WHOSE, about, cell.participants)
        return balanced_presence(cell.participants - 1, coins)
    if cell.game == PUBLIC_LEDGER and scenario.asked_of_ledgers[cell.property].of_clients:
        asked = scenario.asked_of_ledgers[cell.property]
        names = (asked.question, asked.about) if asked.about else (asked.question,)
        coins = root.generator("run", cell.run, PUBLIC_LEDGER, *names, cell.participants)
        return balanced_presence(cell.participants, coins)
    return None


def audit_seed(scenario: Scenario, checksum: str, run: int) -> Seed:
    """The root of what is drawn while somebody listens (:meth:`.world.World.audit_seed`)."""
    federation = federation_of(scenario.audit.schedule, run)
    return Seed(scenario.seed).child("run", federation).child("audit").opaque(checksum)


def _took_part(scenario: Scenario, checksum: str, run: int) -> np.ndarray:
    """[rounds, clients] bool, as :func:`privaudit.federation.phases.train` draws them."""
    f, seed = scenario.federation, audit_seed(scenario, checksum, run).child(PUBLIC_LEDGER)
    draw_cohort = poisson_cohort if f.sampler == "poisson" else cohort_of
    found = np.zeros((f.rounds, f.participants), dtype=bool)
    for number in range(f.rounds):
        found[number, draw_cohort(f.participants, f.cohort, seed.generator("cohort", number))] = (
            True
        )
    return found
