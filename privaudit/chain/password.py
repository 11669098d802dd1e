"""The keystore password on its way from the environment: nobody after us finds it there.

Commands run models and attacks, which are other people's code, in processes that inherit the
environment, and any process of the same user can read ``/proc/PID/environ``. So the first thing a
command does is to take the password out of both.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

PASSWORD_VARIABLE = "PRIVAUDIT_KEYSTORE_PASSWORD"

_hidden: list[str] = []


def hide_password() -> None:
    """Take the password out of the environment and keep it for :func:`take_password`."""
    if PASSWORD_VARIABLE in os.environ:
        _hidden[:] = [os.environ[PASSWORD_VARIABLE]]
        _wipe(PASSWORD_VARIABLE)
        del os.environ[PASSWORD_VARIABLE]


def take_password() -> str:
    """The password of the environment, once; empty if there is none."""
    hide_password()
    return _hidden.pop() if _hidden else ""


def _wipe(name: str) -> None:
    """Overwrite the value in the memory that the system shows of this process."""
    with suppress(OSError, AttributeError):  # no such call here: it stays until the process ends
        library = ctypes.CDLL(None)
        library.getenv.restype = ctypes.c_void_p
        address = library.getenv(name.encode())
        if address:
            ctypes.memset(address, 0, len(ctypes.string_at(address)))
