"""Evidence of training that nobody trained, for cohorts of any size, and its ledger."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

from ledger_runs import SMALL

from privaudit.chain.opening import open_ledger
from privaudit.custody.evidence import RoundEvidence
from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import write_manifest, write_seal
from privaudit.federation.rewards import Delivery
from privaudit.ledger.place import Place
from privaudit.ledger.recording import RunLedger, keep_ledger
from privaudit.scenario.load import load_scenario


def evidence(number: int, clients: int, bad: tuple[int, ...] = ()) -> RoundEvidence:
    def sha(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    cohort = tuple(
        Delivery(c, sha(f"{number}.{c}"), 5 + c % 7, 1.0, "not finite" if c in bad else "", c)
        for c in range(clients)
    )
    return RoundEvidence(
        number, sha(f"m{number}"), sha(f"d{number}"), sha(f"m{number + 1}"), cohort
    )


def prepared(tmp_path: Path, rounds: list[RoundEvidence], *settings: str) -> RunFolder:
    """A run folder with this evidence of training."""
    participants = len(rounds[0].cohort)
    scenario = load_scenario(
        "quickstart",
        [*SMALL, f"federation.participants={participants}", "audit.participants=[2]", *settings],
    )
    folder = RunFolder(tmp_path / "run")
    folder.write_json("scenario.json", scenario.model_dump(mode="json"))
    folder.write_lines("evidence/run-0/training.jsonl", [asdict(e) for e in rounds])
    return folder


def recorded(tmp_path: Path, rounds: list[RoundEvidence], *settings: str) -> RunFolder:
    """The same, put on a ledger."""
    folder = prepared(tmp_path, rounds, *settings)
    with open_ledger(folder.file("ledger")) as client:
        ledger = RunLedger(folder, folder.scenario(), client)
        ledger.set_up()
        ledger.trained()
    return folder


def sealed(folder: RunFolder, place: Place) -> RunFolder:
    """The ledger of a prepared folder kept to its end, and everything sealed."""
    with keep_ledger(folder, folder.scenario(), place, place.accounts()) as ledger:
        ledger.trained()
        write_manifest(folder)
        ledger.reported()
    write_seal(folder, ledger.facts)
    return folder
