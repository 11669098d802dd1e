"""Ground truth in a live federation: one client whose batches follow a schedule that the auditor
alone keeps (docs/live.md).

The auditor enrols two nodes, a listener with a tap and an audited client. In half of the rounds the
batches of the audited client hold the property, in the other half they do not (Melis et al. 2019,
section VI-B). Which rounds those are is drawn from a secret that lies in the auditor's folder; the
listener never sees it. The other clients are real, so ``others = "natural"`` is what holds.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from privaudit.engine.files import write_once
from privaudit.errors import UserError
from privaudit.randomness import Seed

SECRET, ROUND_FILES = "schedule.json", "round-*.json"


class AuditedClient:
    """Draws the batches of the audited client, and keeps when the property was there.

    Args:
        directory: the auditor's; made when it is not there. Its secret is readable by its owner
            alone. Any number of processes, one after the other or at once, draw the same batches.
        present: [N] 1 where a record of the client has the property, 0 where not; -1 = unknown, is
            never drawn.
        batch_size: records a batch, at least 1.
        rounds: of the server; in half of them the property is there.
        share: of a batch that has the property where it is there, in (0, 1].
        run: what the framework calls the run (``context.run_id``): then the truth is held against
            no other run's trace.

    Raises:
        UserError: fewer records of a kind than a batch needs, or the folder is of another schedule.
    """

    def __init__(
        self,
        directory: Path | str,
        present: ArrayLike,
        *,
        batch_size: int,
        rounds: int,
        share: float = 1.0,
        run: str | int | None = None,
    ) -> None:
        values = np.asarray(present)
        self._directory = Path(directory)
        self._pools = {kind: np.flatnonzero(values == kind) for kind in (0, 1)}
        self._batch_size, self._share = batch_size, share
        self._check(values, rounds)
        settings: dict[str, float | str] = {
            "rounds": rounds,
            "batch_size": batch_size,
            "share": share,
            "records": len(values),
        }
        settings |= {} if run is None else {"run": str(run)}
        self._seed = Seed(self._secret(settings))
        self._schedule = _schedule(self._seed, rounds)

    def batch(self, server_round: int, number: int = 0) -> np.ndarray:
        """[b] positions of the records to train on next.

        Args:
            server_round: counted from 1.
            number: of the batch within the round, from 0.

        Raises:
            UserError: there is no such round.
        """
        if not 1 <= server_round <= len(self._schedule):
            raise UserError(
                f"the schedule has rounds 1 to {len(self._schedule)}, this is {server_round}",
                where=str(self._directory),
                remedy="give rounds= as many as the server runs",
            )
        here = bool(self._schedule[server_round - 1])
        self._note(server_round, here)
        rng = self._seed.generator("batch", server_round, number)
        with_it = round(self._batch_size * self._share) if here else 0
        drawn = [
            rng.choice(self._pools[1], with_it, replace=False),
            rng.choice(self._pools[0], self._batch_size - with_it, replace=False),
        ]
        return rng.permutation(np.concatenate(drawn))

    def _check(self, values: np.ndarray, rounds: int) -> None:
        if values.ndim != 1:
            raise UserError(f"must be [N], is {list(values.shape)}", where="present")
        if self._batch_size < 1 or not 0 < self._share <= 1:
            what = f"batch_size {self._batch_size}, share {self._share}"
            raise UserError(f"{what}: at least 1, and in (0, 1]", where="AuditedClient")
        if rounds < 4:
            raise UserError(f"must be at least 4, got {rounds}", where="rounds")
        for kind, needed in ((1, round(self._batch_size * self._share)), (0, self._batch_size)):
            if len(self._pools[kind]) < needed:
                raise UserError(
                    f"{len(self._pools[kind])} records {'with' if kind else 'without'} the "
                    f"property, a batch needs {needed}",
                    where="present",
                    remedy="give the audited client more records, or take smaller batches",
                )

    def _secret(self, settings: dict[str, float | str]) -> int:
        file = self._directory / SECRET
        fresh = settings | {"secret": str(secrets.randbits(128))}

        def write(partial: Path) -> None:
            partial.touch(mode=0o600)  # before there is something in it
            partial.write_text(json.dumps(fresh) + "\n")

        write_once(file, write)
        try:
            found = json.loads(file.read_text())
            secret = int(found.pop("secret"))
        except (OSError, ValueError, LookupError, AttributeError) as error:
            raise UserError(f"cannot be read: {error}", where=str(file)) from error
        if found != settings:
            raise UserError(
                f"is of another schedule ({found}, not {settings})",
                where=str(file),
                remedy="take an empty folder for each run",
            )
        return secret

    def _note(self, server_round: int, here: bool) -> None:
        """What was drawn, when it was: a round that never came is in no truth."""
        text = json.dumps({"round": server_round, "present": here}) + "\n"
        file = self._directory / f"round-{server_round:06d}.json"
        write_once(file, lambda partial: partial.write_text(text))


def _schedule(seed: Seed, rounds: int) -> np.ndarray:
    """[rounds] bool: half of the rounds, one more or less at random where their number is odd."""
    rng = seed.generator("presence")
    half = rounds // 2 + int(rounds % 2 and rng.integers(2))
    drawn: np.ndarray = rng.permutation(np.arange(rounds) < half)
    return drawn


def truth_files(directory: Path | str) -> list[str]:
    """Names of the files that an audited client left in its folder, the secret's first."""
    place = Path(directory)
    secret = [SECRET] if (place / SECRET).is_file() else []
    return secret + sorted(file.name for file in place.glob(ROUND_FILES))


def drawn_truth(directory: Path | str) -> dict[int, bool] | None:
    """The truth that follows from the secret: every round of the schedule, from 1; None without.

    Raises:
        UserError: the secret cannot be read.
    """
    file = Path(directory) / SECRET
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text())
        rounds = int(found["rounds"])
        schedule = _schedule(Seed(int(found["secret"])), rounds)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"cannot be read: {error}", where=str(file)) from error
    return {number: bool(here) for number, here in enumerate(schedule, start=1)}


def run_of(directory: Path | str) -> str | None:
    """What the framework calls the run that a truth is of; None where nobody noted it."""
    try:
        found = json.loads((Path(directory) / SECRET).read_text()).get("run")
    except (OSError, ValueError, AttributeError):
        return None  # a truth may be handed on without the secret
    return None if found is None else str(found)


def read_truth(directory: Path | str) -> dict[int, bool]:
    """Round of the server, from 1 -> whether the property was there.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    found = {}
    for file in sorted(Path(directory).glob(ROUND_FILES)):
        try:
            row = json.loads(file.read_text())
            if not isinstance(row["present"], bool):
                raise ValueError(f"'present' is {row['present']!r}")
            found[int(row["round"])] = row["present"]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise UserError(f"cannot be read: {error}", where=str(file)) from error
    if not found:
        raise UserError(
            "no round of an audited client",
            where=str(directory),
            remedy="give the folder that privaudit.taps.audited_client.AuditedClient kept",
        )
    return found
