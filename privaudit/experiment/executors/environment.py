"""The environment of processes in which other people's code runs: without secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping

SECRET_NAME = re.compile(
    r"PASSW|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|MNEMONIC|SSH_AUTH_SOCK|(^|_)(API)?KEYS?($|_)", re.I
)
SECRET_VALUE = re.compile(r"://[^/\s]*:[^/\s]*@")
"""A URL with a password in it."""

ONE_THREAD = ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR", "VECLIB_MAXIMUM")
"""Libraries that count threads in ``X_NUM_THREADS``; see privaudit.engine.process."""


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables whose name or value does not look like a secret."""
    return {
        name: value
        for name, value in environment.items()
        if not SECRET_NAME.search(name) and not SECRET_VALUE.search(value)
    }


def for_workers(environment: Mapping[str, str]) -> dict[str, str]:
    """The same, for a process that computes on one thread."""
    return without_secrets(environment) | {f"{name}_NUM_THREADS": "1" for name in ONE_THREAD}
