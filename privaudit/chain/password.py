"""The keystore password: out of the environment, so that nobody after us finds it there, and weak?

Commands run models and attacks, which are other people's code, in processes that inherit the
environment, and any process of the same user can read ``/proc/PID/environ``. So the first thing a
command does is to take the password out of both.
"""

from __future__ import annotations

import ctypes
import os
import re
import unicodedata
from contextlib import suppress
from itertools import pairwise

PASSWORD_VARIABLE = "PRIVAUDIT_KEYSTORE_PASSWORD"

SHORTEST = 12
"""Characters of a new password. Whoever copies a key file tries millions of them at leisure."""
FEWEST = 8
"""Pieces of a new password: a known word is one, so is a row or a repetition, or another letter."""
WORDS = re.compile(
    "passwor[dt]|passphrase|passwd|administrator|admin|auditor|coordinator|keystore|secret|"
    "privaudit|ethereum|blockchain|ledger|wallet|letmein|welcome|iloveyou|changeme|default|"
    "monkey|dragon|football|baseball|princess|sunshine|master|shadow|superman|batman|trustno1|"
    "correct|horse|battery|staple"
)
"""What guessers try first; roles and names of this tool among them."""
ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjkl",
    "zxcvbnm",
    "yxcvbnm",
)
NEXT = {pair for row in ROWS for way in (row, row[::-1]) for pair in pairwise(way)}
"""Characters that follow one another in the alphabet, among digits or on a keyboard."""
SHORTEST_ROW = 3

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


def weakness(password: str) -> str:
    """What is weak about a new password, as in "it ..."; empty if nothing was found.

    It finds what nobody should choose, no more: a password that passes may still be a poor one.
    """
    text = unicodedata.normalize("NFKC", password)
    if len(text) < SHORTEST:
        return f"has {len(text)} characters, {SHORTEST} are the least"
    repeated = re.fullmatch(r"(.+?)\1+", text)
    kinds = {"repetitions"} if repeated else set()
    pieces, position = 0, 0
    text = (repeated[1] if repeated else text).lower()
    while position < len(text):
        length, kind = _piece(text, position)
        position, pieces = position + length, pieces + 1
        kinds |= {kind} - {""}
    if pieces >= FEWEST:
        return ""
    return f"is made of {' and '.join(sorted(kinds))}, hardly more"


def _piece(text: str, start: int) -> tuple[int, str]:
    """Length and kind of what a guesser takes for one thing; the kind of a single letter is ""."""
    known = WORDS.match(text, start)
    if known:
        return len(known[0]), "well-known words"
    for kind, goes_on in (
        ("repetitions", lambda one, two: one == two),
        ("rows of the alphabet, digits or keys", lambda one, two: (one, two) in NEXT),
    ):
        length = 1
        while text[start + length :] and goes_on(*text[start + length - 1 : start + length + 1]):
            length += 1
        if length >= SHORTEST_ROW:
            return length, kind
    return 1, ""
