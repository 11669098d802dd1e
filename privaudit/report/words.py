"""What the pages call things, by game: no other file of the reports names a game."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from privaudit.evaluation.cells import TableCell
from privaudit.scenario.schema import (
    LABELS,
    MEMBERSHIP,
    PUBLIC_LEDGER,
    RECONSTRUCTION,
    WHOSE,
    Scenario,
    claims_every,
)


@dataclass(frozen=True)
class Words:
    """Of one game in one scenario.

    Attributes:
        told: completes "AUC of telling ...".
        verdict: completes "... can tell ...", about one target.
        units: what an attack scores, in the plural.
        basis: completes "Measured on R independent federation runs of ...".
        scored: whether its attacks give scores, of which there is an AUC.
        pair: completes "of 100 pairs of ...", of which an AUC is the share that is put in the right
            order; empty where the pairs are of no two things that a reader has before his eyes.
    """

    told: str
    verdict: str
    units: str
    basis: str
    scored: bool = True
    pair: str = ""


def words_of(scenario: Scenario, target: str) -> Words:
    """Of the game that ``target`` belongs to."""
    if scenario.membership and scenario.game_of(target) == MEMBERSHIP:
        count, rounds = scenario.membership.candidates, scenario.federation.rounds
        owner = "the target" if scenario.audit.threat_model == "server" else "another participant"
        return Words(
            told="records that were trained on from records of the same client that were not",
            verdict=f"which of {count} records {owner} trained on",
            units="candidates",
            basis=f"{count} candidates per cell, half of them trained on in each of {rounds} "
            f"round{'s' if rounds != 1 else ''}",
            pair="records, one trained on and one not",
        )
    if scenario.reconstruction and scenario.game_of(target) == RECONSTRUCTION:
        sizes = " or ".join(map(str, scenario.reconstruction.batch_sizes))
        return Words(
            told="",
            verdict="how many records of each class the target trained on"
            if scenario.reconstruction.of == LABELS
            else "which records the target trained on",
            units="rounds",
            basis=f"{scenario.reconstruction.rounds} rounds per cell with batches of {sizes}",
            scored=False,
        )
    of_ledger = {PUBLIC_LEDGER: _of_ledger, WHOSE: _of_clients}.get(scenario.game_of(target))
    if of_ledger is not None:
        return of_ledger(scenario, target)
    if scenario.audit.schedule == "dataset":
        return Words(
            told="rounds of runs in which the target's records have the property from rounds of "
            "controls",
            verdict=f"from one round whether the target's data hold '{target}', runs with it "
            "compared with runs without",
            units="rounds",
            basis=f"{scenario.audit.rounds} audited rounds per cell",
        )
    if scenario.audit.schedule == "episodes":
        return Words(
            told="rounds in which the target's records have the property from the other rounds of "
            "the runs in which it appears",
            verdict=f"when the target's data begin to hold '{target}', by its rounds",
            units="rounds",
            basis=f"{scenario.audit.rounds} audited rounds per cell; the property appears in half "
            "of the runs",
        )
    return Words(
        told="rounds in which the target's records have the property from the other rounds",
        verdict=f"from one round whether the target's batch holds '{target}'",
        units="rounds",
        basis=f"{scenario.audit.rounds} audited rounds per cell",
        pair=f"rounds, one with '{target}' and one without",
    )


def _of_ledger(scenario: Scenario, target: str) -> Words:
    asked, rounds = scenario.asked_of_ledgers[target], scenario.federation.rounds
    of_training = f"{rounds} rounds of ordinary training per cell"
    paid = f"from a public ledger with reward {asked.reward}"
    of_clients = {
        "sizes": ("all their records", "a part"),
        "holders": ("records with the property alone", "records without it"),
        "labels": ("half of the classes alone", "all"),
    }
    if asked.question in of_clients:
        yes, no = of_clients[asked.question]
        named = yes.replace("the property", f"'{asked.about}'")
        return Words(
            told=f"clients that train on {yes} from those that train on {no}",
            verdict=f"{paid} which clients train on {named}",
            units="clients",
            basis=of_training,
        )
    if asked.question == "cohorts":
        return Words(
            told="rounds in which a client took part from others",
            verdict=f"{paid} which client took part in which round",
            units="rounds of clients",
            basis=of_training,
        )
    return Words(
        told="rounds in which the target's records have the property from the other rounds, by the "
        "public ledger alone",
        verdict=f"{paid} in which rounds the target's batch holds '{asked.about}'",
        units="rounds",
        basis=f"{scenario.audit.rounds} audited rounds per cell",
    )


def _of_clients(scenario: Scenario, target: str) -> Words:
    asked = scenario.asked_of_clients[target]
    every = claims_every(asked.says)
    listed = "listed" if asked.says == "listed" else "told nobody"
    said = f"claimed for every {every} rounds" if every else listed
    return Words(
        told="clients whose records have the property from the others, by the sums of rounds",
        verdict=f"from sums of rounds, with who took part {said}, which clients hold "
        f"'{asked.about}'",
        units="clients",
        basis=f"{scenario.audit.rounds} rounds per cell; half of the clients hold the property",
        pair=f"clients, one with '{asked.about}' and one without",
    )


def in_pairs(scenario: Scenario, cell: TableCell) -> str:
    """An AUC as a natural frequency, with its interval; empty where there is none to say."""
    pair, auc = words_of(scenario, cell.property).pair, cell.auc
    if not pair or auc is None:
        return ""
    found, low, high = (round(100 * n) for n in (auc.value, auc.low, auc.high))
    return f"of 100 pairs of {pair}, {cell.attack} names the right one in {found} [{low}, {high}]"


def by_game(scenario: Scenario) -> list[Words]:
    """One for each game of a scenario, of a public ledger one for each question."""
    found = {_kind(scenario, t): words_of(scenario, t) for t in scenario.targets}
    return list(found.values())


def _kind(scenario: Scenario, target: str) -> str:
    game, asked = scenario.game_of(target), scenario.asked_of_ledgers
    return f"{game} {asked[target].question}" if game == PUBLIC_LEDGER else game


def basis_of(games: Iterable[Words]) -> str:
    """What their numbers rest on, said once where two rest on as many rounds."""
    return " and of ".join(dict.fromkeys(words.basis for words in games))


def units_of(scenario: Scenario) -> str:
    """What attacks score in a scenario, in the plural."""
    found = (words.units for words in by_game(scenario) if words.scored)
    return " or ".join(dict.fromkeys(found))
