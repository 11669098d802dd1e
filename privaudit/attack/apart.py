"""Attacks run apart: in a process of their own that is handed what they may see, and no more.

That process has never held the ground truth, the other clients' records, a seed of the scenario, a
key or a password; of paths it knows those that modules are imported from, and its environment is a
short list of harmless variables (:mod:`.launching`). So looking around in memory - frames, the
garbage collector, ``os.environ`` - finds nothing. Where the system can, it also cannot open files
but those of Python and its packages (:mod:`.confine`).

Observations are sent to it one round at a time, in pickles; scores and failures come back as lines
of JSON. When it vanishes (``os._exit``, a crash in C), the attack that was running is named, and
the others are run again in a new one. Killed from outside, as for lack of memory, it ends the run,
which can go on from there.
"""

from __future__ import annotations

import atexit
import json
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from typing import IO, Any

import cloudpickle
import numpy as np
import torch

from privaudit.attack import launching
from privaudit.attack.confine import Readable, readable
from privaudit.attack.importing import needed
from privaudit.attack.scoring import (
    MODEL,
    Failure,
    Hearing,
    Scores,
    called,
    in_step,
)
from privaudit.attack.scratch import Scratch
from privaudit.errors import MachineError
from privaudit.observation.public import PublicRound, Seen, SummedRound
from privaudit.observation.views import Observation

LOOK = 0.5
"""Seconds after which a wait looks whether the process is still there."""


def score_apart(
    hearings: Sequence[Hearing],
    views: Sequence[Iterable[Seen]],
    *,
    run: int = 0,
) -> list[dict[str, Scores]]:
    """As :func:`privaudit.attack.scoring.score_in_step`, in the process for attacks.

    Args:
        hearings: one per view; their adversaries have computed nothing yet.
        views: iterated from the start, once more for each attack that ends the process.
        run: whose federations these are. Each run has a process of its own: what the adversary of
            one owns may be the target's in another, and the two states of a federation, set beside
            each other, differ by nothing but the property.
    """
    assert not any(isinstance(view, Iterator) for view in views), "it is iterated once only"
    gone: dict[str, Failure] = {}
    while True:
        left = [_without(hearing, gone) for hearing in hearings]
        if not any(hearing.attacks for hearing in left):
            found: list[dict[str, Scores]] = [{} for _ in hearings]
            break
        outcome = _process(run).ask(left, views)
        if isinstance(outcome, list):
            found = outcome
            break
        name, failure = outcome
        wanted = {w.name for hearing in left for w in hearing.attacks}
        gone |= dict.fromkeys(wanted if name == MODEL else {name}, failure)
    return [
        {w.name: known[w.name] if w.name in known else gone[w.name] for w in hearing.attacks}
        for hearing, known in zip(hearings, found, strict=True)
    ]


def _without(hearing: Hearing, gone: dict[str, Failure]) -> Hearing:
    return replace(hearing, attacks=tuple(w for w in hearing.attacks if w.name not in gone))


class Process:
    """The process for attacks; it serves one request after the other until its input ends."""

    def __init__(self, run: int, path: list[str], places: Readable) -> None:
        self.owner = os.getpid()
        self.made_for = run, path, places
        self._scratch = Scratch()
        folder = self._scratch.path
        self._process = launching.launch(path)
        written = (*places.written, folder)
        self._send((folder, path, places.whole, places.names, written))

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self.owner == os.getpid() and self._process.poll() is None

    def ask(
        self, hearings: Sequence[Hearing], views: Sequence[Iterable[Seen]]
    ) -> list[dict[str, Scores]] | tuple[str, Failure]:
        """Scores of each hearing; or, where the process ended, whose code ran, and the failure."""
        names = {w.name for hearing in hearings for w in hearing.attacks}
        answer = _Answer(self._output, {MODEL, *names}, self._kill)
        answer.start()
        try:
            rounds = self._send_all(hearings, views)
            while answer.is_alive():
                answer.join(LOOK)
                if self._process.poll() is not None:  # what it started may hold the pipe open
                    self._kill()
        except BaseException:  # an interrupt, or a trace that cannot be read: start afresh
            self.end()
            raise
        if answer.found is not None:
            try:
                return _scores(answer.found, hearings, rounds)
            except (ValueError, TypeError, LookupError, AttributeError) as error:
                self.end()
                reason = f"{called(answer.at)} failed: its answer is none: {error}"
                return answer.at, Failure(reason)
        code = self._process.wait()
        self.end()
        if answer.wrong:
            return answer.at, Failure(f"{called(answer.at)} failed: its answer is none")
        if -code == getattr(signal, "SIGKILL", 0):  # no code of its own ends in this way
            raise MachineError(
                f"the process for attacks was killed from outside while {called(answer.at)} ran, "
                "as the system does when memory runs out",
                remedy="use fewer workers, or free memory",
                fewer_workers=True,
            )
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return answer.at, Failure(f"{called(answer.at)} failed: it ended its process ({how})")

    def end(self) -> None:
        """Stop it, whatever it does."""
        self._kill()
        self._process.wait()
        for stream in (self._input, self._output):
            with _no_pipe():
                stream.close()
        self._scratch.remove()

    def _kill(self) -> None:
        """And what it started."""
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()

    def _send_all(self, hearings: Sequence[Hearing], views: Sequence[Iterable[Seen]]) -> list[int]:
        """How many rounds each view had."""
        rounds = [0] * len(hearings)
        with _no_pipe():  # a process that has ended is found by its answer
            self._input.write(cloudpickle.dumps(list(hearings)))
            for observations in in_step(views):
                rounds = [n + (o is not None) for n, o in zip(rounds, observations, strict=True)]
                once = {id(o): packed(o) for o in observations if o is not None}
                self._send([o and once[id(o)] for o in observations])
            self._send(None)
        return rounds

    def _send(self, value: object) -> None:
        pickle.dump(value, self._input, protocol=5)
        self._input.flush()

    @property
    def _input(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout


class _Answer(threading.Thread):
    """Reads what comes back, so that neither side waits for the other."""

    def __init__(self, stream: IO[bytes], names: set[str], kill: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._names = names
        self._kill = kill
        self.at = MODEL
        self.found: Any = None
        self.wrong = False

    def run(self) -> None:
        """Until the scores, or the end of the process."""
        try:
            for line in self._stream:
                said = json.loads(line)
                if "scores" in said:
                    self.found = said["scores"]
                    return
                if said["at"] not in self._names:
                    raise ValueError("not a name that is expected")
                self.at = said["at"]
        except (ValueError, TypeError, LookupError, RecursionError):
            self.wrong = True  # an attack wrote here; nothing that follows can be believed
            self._kill()


def _scores(
    found: Any, hearings: Sequence[Hearing], rounds: Sequence[int]
) -> list[dict[str, Scores]]:
    """What was asked for, in the form it was asked for, whoever wrote it.

    Raises:
        ValueError, TypeError, LookupError, AttributeError: it is not.
    """
    return [
        {
            w.name: Failure(**one[w.name])
            if isinstance(one[w.name], dict)
            else hearing.given.checked(one[w.name], count)
            for w in hearing.attacks
        }
        for one, hearing, count in zip(found, hearings, rounds, strict=True)
    ]


class _no_pipe:  # noqa: N801
    """Where the process at the other end is gone, so be it."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, BrokenPipeError)


_latest: list[Process] = []


def _process(run: int) -> Process:
    """The one for this run; a new one where it has ended, or could not import what we can."""
    path = _path()
    wanted = run, path, readable(path)
    if _latest and not (_latest[0].alive and _latest[0].made_for == wanted):
        end()
    if not _latest:
        _latest.append(Process(*wanted))
    return _latest[0]


def prepare() -> None:
    """Before the first request, while something else goes on (:func:`.launching.prepare`)."""
    launching.prepare(_path())


def _path() -> list[str]:
    return needed([entry or os.getcwd() for entry in sys.path])


@atexit.register
def end() -> None:
    """End the process for attacks, if there is one; the next request makes a new one."""
    while _latest:
        process = _latest.pop()
        if process.owner == os.getpid():  # not the one of a parent that this process is a fork of
            process.end()


def packed(observation: Seen) -> Any:
    """An observation as arrays, which pickle faster than tensors."""
    if isinstance(observation, PublicRound):
        return observation
    if isinstance(observation, SummedRound):
        return packed(observation.seen), observation.took_part
    values = {f.name: getattr(observation, f.name) for f in fields(observation)}
    return {name: _array(value) for name, value in values.items()}


def unpacked(values: Any) -> Seen:
    """The observation again."""
    if isinstance(values, PublicRound):
        return values
    if isinstance(values, tuple):
        seen, took_part = values
        return SummedRound(Observation(**_tensors(seen)), took_part)
    return Observation(**_tensors(values))


def _tensors(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _tensor(value) for name, value in values.items()}


def _array(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _array(item) for key, item in value.items()}
    return value.numpy() if isinstance(value, torch.Tensor) else value


def _tensor(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tensor(item) for key, item in value.items()}
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value
