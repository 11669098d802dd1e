"""Attacks that end in every way there is, and one that does not."""

from __future__ import annotations

import builtins
import ctypes
import os
import signal
import stat
import time
from contextlib import suppress
from typing import Any

import numpy as np

from privaudit.attack.protocol import Attack

WRITTEN = {
    "garbage": b"hello\n",
    "null": b'{"at": null}\n[1]\n',
    "forged": b'{"scores": [{"boom": [NaN], "honest": [9]}]}\n',
    "too few": b'{"scores": []}\n',
}
"""What is written between the answers of the process, by its kind."""


class Nameless(Exception):  # noqa: N818
    """An exception that cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Outside(BaseException):
    """Not even an Exception."""


class Honest(Attack):
    """Scores a round by its norm."""

    name, source = "honest", "own: for the tests"

    def __init__(self, *, seed):  # type: ignore[no-untyped-def]
        super().__init__(seed=seed)
        self.seen: list[float] = []

    def partial_fit(self, observation, shadow, layout):  # type: ignore[no-untyped-def]
        self.seen.append(float(observation.signal.norm()))
        return self

    def score(self):  # type: ignore[no-untyped-def]
        return np.array(self.seen)


class Boom(Honest):
    """Ends as ``kind`` says, while ``where``: ``init``, ``fit`` (third round) or ``score``.

    ``only``: in the cell with this in its name; elsewhere it is honest.
    """

    name = "boom"

    def __init__(self, *, seed, kind="IndexError", where="score", only=""):  # type: ignore[no-untyped-def]
        super().__init__(seed=seed)
        self.kind, self.where = kind, where
        self.here = not seed.path or only in seed.path[-1]
        if where == "init" and seed.path:  # not where options are checked before the run
            self.end()

    def partial_fit(self, observation, shadow, layout):  # type: ignore[no-untyped-def]
        super().partial_fit(observation, shadow, layout)
        if self.where == "fit" and len(self.seen) == 3:
            self.end()
        return self

    def score(self):  # type: ignore[no-untyped-def]
        scores = super().score()
        return self.end() if self.where == "score" and self.here else scores

    def end(self) -> Any:
        n = len(self.seen)
        returned: dict[str, Any] = {
            "none": None,
            "text": "high",
            "objects": [object()] * n,
            "ragged": [[1.0], [1.0, 2.0]],
            "short": np.zeros(n - 1),
            "column": np.zeros((n, 1)),
            "nan": np.full(n, np.nan),
            "huge": np.full(n, -np.inf),
            "complex": np.zeros(n) * 1j,
            "generator": (0.0 for _ in range(n)),
        }
        if self.kind in returned:
            return returned[self.kind]
        if self.kind == "osexit":
            os._exit(0)
        if self.kind == "segfault":
            ctypes.string_at(0)
        if self.kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "orphaned":  # by killing what it was forked off
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(600)
        if self.kind == "forks":  # what it leaves behind holds every pipe
            if os.fork() == 0:
                time.sleep(600)
            os._exit(3)
        if self.kind in WRITTEN:
            for number in range(3, 256):
                with suppress(OSError):
                    if stat.S_ISFIFO(os.fstat(number).st_mode):
                        os.write(number, WRITTEN[self.kind])
            return np.zeros(n)
        if self.kind == "recursion":
            return self.end()
        if self.kind == "closes everything":
            os.closerange(0, 256)
            return np.zeros(n)
        own = {"Nameless": Nameless, "Outside": Outside}
        raise (own.get(self.kind) or getattr(builtins, self.kind))("from a plugin")
