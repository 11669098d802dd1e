"""The process between a command and a cluster.

The command may hold keys, and reads numbers and texts only. What an engine brings from other
machines are pickles, which whoever runs there could have made. So they are opened here, in a
process without secrets but the engine's own, which writes the files into the run folder and says
the rest in JSON. It ends with its parent, and cancels what it had begun.
"""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

from privaudit.experiment.executors.cluster import Cluster
from privaudit.experiment.executors.parcel import keep
from privaudit.experiment.executors.worker import said_of, take_pipes


def main(parent: int) -> None:
    """Serve one call after the other, until the parent closes the pipe or ends."""
    if os.getppid() != parent:
        os._exit(0)
    known: list[Cluster] = []
    calls, say = take_pipes(lambda: _abandon(known))
    cluster: Cluster
    (cluster,) = pickle.loads(calls.get())
    try:
        machines = cluster.connect()
        known.append(cluster)
        say("machines", [[m.key, m.name, m.slots] for m in machines])
        cluster.warm_up(sys.path)
    except BaseException as error:
        say(*said_of(error))
        return
    while True:
        try:
            (call,) = pickle.loads(calls.get())
            for number, answer in cluster.carry_out(call):
                keep(Path(call.home), answer.files)
                say("answer", [number, answer.kind, answer.content])
            say("end", None)
        except BaseException as error:
            say(*said_of(error))


def _abandon(known: list[Cluster]) -> None:
    for cluster in known:
        cluster.abandon()
