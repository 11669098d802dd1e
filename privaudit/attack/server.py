"""The process that attacks run in: the other end of :mod:`privaudit.attack.apart`."""

from __future__ import annotations

import json
import os
import pickle
import signal
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import IO, Any

from privaudit.attack.apart import unpacked
from privaudit.attack.scoring import Failure, Hearing, Scores, score_in_step
from privaudit.engine.process import tune_process
from privaudit.observation.public import Seen


def serve(requests: IO[bytes]) -> None:
    """Answer requests until they end.

    What attacks print goes to standard error; standard input and output are not theirs.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asked is told, and ends this process
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    tune_process()
    while True:
        try:
            hearings: list[Hearing] = pickle.load(requests)
        except (EOFError, pickle.UnpicklingError):  # the other end is gone, perhaps in mid-sentence
            return
        told = [""]

        def at(name: str, told: list[str] = told) -> None:
            if name != told[0]:
                told[0] = name
                _answer(answers, {"at": name})

        found = score_in_step(hearings, _rounds(requests), at)
        _answer(answers, {"scores": [_plain(one) for one in found]})


def _rounds(requests: IO[bytes]) -> Iterator[Sequence[Seen | None]]:
    while (observations := _next(requests)) is not None:
        yield [o and unpacked(o) for o in observations]


def _next(requests: IO[bytes]) -> Any:
    try:
        return pickle.load(requests)
    except (EOFError, pickle.UnpicklingError):
        os._exit(0)  # the other end is gone, perhaps in mid-sentence: there is nobody to tell


def _plain(scores: dict[str, Scores]) -> dict[str, Any]:
    return {n: asdict(s) if isinstance(s, Failure) else s for n, s in scores.items()}


def _answer(answers: IO[bytes], message: dict[str, Any]) -> None:
    try:
        answers.write(json.dumps(message).encode() + b"\n")
        answers.flush()
    except BrokenPipeError:  # whoever asked is gone: there is nobody to tell
        os._exit(0)
