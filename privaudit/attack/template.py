"""How a process comes to be the one for attacks: what runs in it before the first request.

On Linux it is forked off a template: a process that has imported what attacks use, which takes
seconds, and has heard of nothing else. Elsewhere it is one that was just started.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from importlib import import_module
from importlib.metadata import entry_points
from typing import IO

from privaudit.attack.confine import Readable, confine
from privaudit.attack.registry import GROUP, owner
from privaudit.engine.process import die_with

SERVER = "privaudit.attack.server"
OURS = "privaudit"
LEARNING = ("scipy.stats", "sklearn.ensemble", "sklearn.linear_model", "sklearn.tree")
"""What attacks import when they learn, as a process that only checks their options needs none."""


def fork_on(control: socket.socket, parent: int) -> None:
    """Fork one process after the other, each with the two pipes that it is asked for with.

    Each is told of by its number, and by its exit code when it has ended. Returns in the template
    when nobody asks any more, and in each process when that is done.
    """
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks is told, and ends this process
    _import_ours()
    template = os.getpid()
    while pipes := _asked(control):
        child = os.fork()
        if child == 0:
            control.close()
            os.setsid()  # so that what it starts ends with it
            for number, pipe in enumerate(pipes):
                os.dup2(pipe, number)
                os.close(pipe)
            attend(os.fdopen(os.dup(0), "rb"), template)
            return
        for pipe in pipes:
            os.close(pipe)
        with suppress(ConnectionError):
            control.send(str(child).encode())
            _, status = os.waitpid(child, 0)
            control.send(str(os.waitstatus_to_exitcode(status)).encode())


def _asked(control: socket.socket) -> list[int]:
    """The two pipes for the next process; none: nobody asks any more."""
    try:
        _, pipes, *_ = socket.recv_fds(control, 1, 2)
    except ConnectionError:
        return []
    return pipes


def attend(requests: IO[bytes], parent: int) -> None:
    """Be the process for attacks, as the first request says, until there are no more."""
    die_with(parent)
    try:
        folder, sys.path[:], *places = pickle.load(requests)
    except (EOFError, pickle.UnpicklingError):  # the other end is gone, perhaps in mid-sentence
        os._exit(0)
    try:
        os.chdir(folder)
    except FileNotFoundError:  # whoever asked is gone, and the folder with it
        os._exit(0)
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    confine(Readable(*places))
    import_module(SERVER).serve(requests)


def _import_ours() -> None:
    """The bundled attacks, and with them the packages that others use, too."""
    for module in (SERVER, *LEARNING):
        import_module(module)
    for point in entry_points(group=GROUP):
        if owner(point) == OURS:
            with suppress(Exception):  # whoever asks for it is told
                point.load()
