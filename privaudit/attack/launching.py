"""Starts processes for attacks: what they are given, and how to get one quickly.

Their environment is a short list of harmless variables. Where the system can, they are forked off
a template that has imported what attacks use, see :mod:`.template`: each run has a process of its
own, and importing takes longer than many an attack.
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import IO, Protocol

KEPT = (
    *("PATH", "HOME", "LANG", "LC_", "TZ", "TMP", "TEMP", "SYSTEM", "PYTHONHASHSEED"),
    *("LD_LIBRARY_PATH", "DYLD_", "VIRTUAL_ENV", "CONDA_PREFIX", "MALLOC_", "THP_"),
    *("OMP_", "MKL_", "OPENBLAS_", "KMP_", "TORCH", "PYTORCH_"),
    *("CUDA_", "CUBLAS_", "NVIDIA_", "ROCM_", "HIP_"),
)
"""Beginnings of the names of environment variables that attacks are given."""

ALWAYS = {"JOBLIB_MULTIPROCESSING": "0"}
"""It starts no workers: semaphores are files of all processes, and joblib would say it has none."""

FORKS = sys.platform == "linux"
"""Forking is safe elsewhere only where no system library has threads."""

TEMPLATE = """
import os, pickle, socket, sys
control = socket.socket(fileno=os.dup(0))
try:
    parent, sys.path[:] = pickle.loads(control.recv(1 << 20))
except EOFError:
    os._exit(0)
from privaudit.attack.template import fork_on
fork_on(control, parent)
"""

ALONE = """
import os, pickle, sys
requests = os.fdopen(os.dup(0), "rb")
try:
    parent, sys.path[:] = pickle.load(requests)
except (EOFError, pickle.UnpicklingError):
    os._exit(0)
from privaudit.attack.template import attend
attend(requests, parent)
"""


class Launched(Protocol):
    """A process that runs, or has run; as much of :class:`subprocess.Popen` as is needed."""

    pid: int

    @property
    def stdin(self) -> IO[bytes] | None:
        """Where it reads its requests."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """Where it answers."""

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""

    def wait(self) -> int:
        """Its exit code, once it has ended."""

    def kill(self) -> None:
        """End it now."""


def launch(path: list[str]) -> Launched:
    """A new process with this import path that attends to requests, see :func:`.template.attend`.

    Its first request says what else it is to be.
    """
    if FORKS:
        return _Forked(_template(path))
    process = _start(ALONE, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    pickle.dump((os.getpid(), path), process.stdin)
    return process


def prepare(path: list[str]) -> None:
    """Begin to import what attacks use: it takes seconds, and the first can start at once then."""
    if FORKS and not _templates:  # one that is there may have processes, and ends with them only
        with suppress(OSError):  # whoever needs it is told
            _template(path)


def environment() -> dict[str, str]:
    """That of a process for attacks."""
    return {k: v for k, v in os.environ.items() if k.upper().startswith(KEPT)} | ALWAYS


@atexit.register
def end_template() -> None:
    """The next process is forked off a new one."""
    while _templates:
        _templates.pop().end()


def _start(program: str, *, stdin: int, stdout: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-c", program],
        stdin=stdin,
        stdout=stdout,
        env=environment(),
        cwd=os.sep,
        start_new_session=True,  # so that what it starts ends with it
    )


class _Template:
    """A process that has imported what attacks use, and forks."""

    def __init__(self, path: list[str]) -> None:
        self.owner = os.getpid()
        self.made_for = path, environment()
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = _start(TEMPLATE, stdin=theirs.fileno(), stdout=subprocess.DEVNULL)
        self.control.send(pickle.dumps((os.getpid(), path)))

    def serves(self, path: list[str]) -> bool:
        """Whether a process for this import path can be forked off it."""
        usable = self.owner == os.getpid() and self.process.poll() is None
        return usable and self.made_for == (path, environment())

    def end(self) -> None:
        """And what was forked off it, which dies with it."""
        self.control.close()
        if self.owner != os.getpid():  # not the one of a parent that this process is a fork of
            return
        with suppress(subprocess.TimeoutExpired):  # it ends when nobody asks
            self.process.wait(1)
        self.process.kill()
        self.process.wait()


_templates: list[_Template] = []


def _template(path: list[str]) -> _Template:
    if _templates and not _templates[0].serves(path):
        end_template()
    if not _templates:
        _templates.append(_Template(path))
    return _templates[0]


class _Forked:
    """One process forked off the template, which waits for it."""

    def __init__(self, template: _Template) -> None:
        self._template = template
        self._code: int | None = None
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        self.stdin: IO[bytes] | None = os.fdopen(ours_in, "wb")
        self.stdout: IO[bytes] | None = os.fdopen(ours_out, "rb")
        try:
            with suppress(OSError):  # it is gone: its exit code says how
                socket.send_fds(template.control, [b"1"], [theirs_in, theirs_out])
            self.pid = self._said() or template.process.pid
        except BaseException:  # interrupted: what it will say next is not what is asked for next
            end_template()
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)

    def poll(self) -> int | None:
        if self._code is None:
            with suppress(BlockingIOError):
                self._code = self._ended(socket.MSG_DONTWAIT)
        return self._code

    def wait(self) -> int:
        if self._code is None:
            self._code = self._ended()
        return self._code

    def kill(self) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _ended(self, flags: int = 0) -> int:
        """Its exit code; that of the template where that is gone, and this with it."""
        said = self._said(flags)
        return self._template.process.wait() if said is None else said

    def _said(self, flags: int = 0) -> int | None:
        """The number that the template says next; None: it is gone."""
        try:
            said = self._template.control.recv(32, flags)
        except ConnectionError:
            return None
        return int(said) if said else None
