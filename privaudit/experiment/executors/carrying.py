"""What a machine of a cluster does with a parcel; nothing heavy is imported for it.

The process that the cluster's engine has there runs no model and no attack, and it may hold the
engine's token. A worker process beside it does, as everywhere (:mod:`.worker`); it stays for the
next parcel, with the data it has loaded.
"""

from __future__ import annotations

import os
import queue
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from privaudit.experiment.executors.parcel import Answer, Parcel, at_home, in_folder, made_in
from privaudit.experiment.executors.parcel import unpacked as unpacked_parcel
from privaudit.experiment.executors.process import Answers, WorkerProcess

_answers: Answers = queue.SimpleQueue()
_kept: dict[tuple[str, ...], WorkerProcess] = {}


def prepare(path: Sequence[str]) -> WorkerProcess:
    """The worker process beside this one; a new one where it has ended, or cannot be used."""
    wanted = (os.environ.get("CUDA_VISIBLE_DEVICES", ""), *_path(path))
    while not _answers.empty():  # it ended while it had nothing to do
        _answers.get()
        _kept.clear()
    if wanted not in _kept:
        dismiss()
        _kept[wanted] = WorkerProcess(_answers, path=wanted[1:])
    return _kept[wanted]


def dismiss() -> None:
    """End the worker process beside this one, if there is one."""
    while _kept:
        _, worker = _kept.popitem()
        worker.dismiss()
        while _answers.get()[0] is not worker:
            pass


def carry_out(parcel: Parcel) -> Answer:
    """Do what a parcel asks for, and pack what came of it."""
    worker = prepare(parcel.path)
    with unpacked_parcel(parcel) as place:
        worker.give(in_folder, place, parcel.request)
        said_by, kind, content = _answers.get()
        while said_by is not worker:
            said_by, kind, content = _answers.get()
        if kind == "vanished":
            _kept.clear()
            return Answer(kind, content.code, made_in(place, parcel))
        return Answer(kind, at_home(content, place, parcel.home), made_in(place, parcel))


def _path(of_the_sender: Sequence[str]) -> list[str]:
    """Where to look for modules: as this machine does, then where the sender does, if it is here.

    The engine's own folders are left out: what it brings along would hide other packages.
    """
    engine = find_spec("ray")
    inside = str(Path(engine.origin).parent) if engine and engine.origin else "/nowhere"
    here = [entry for entry in sys.path if not (entry and Path(entry).is_relative_to(inside))]
    more = [entry for entry in of_the_sender if entry not in here and Path(entry).exists()]
    return [*here, *more]


def carry_out_once(parcel: Parcel) -> Answer:
    """The same where the process ends with it."""
    try:
        return carry_out(parcel)
    finally:
        dismiss()
