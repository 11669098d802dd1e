"""What an attack answered, checked: whoever wrote it, it has the form that was asked for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

DIGITS = 4
"""Of the largest number of a rebuilt record; all others have as many decimals. What is off by less
than 1 % counts as rebuilt."""


LEAST, MOST = 1e-30, 1e30
"""A rebuilt record of smaller numbers is 0; one with larger ones is no answer."""


def scores_of(answer: object, count: int) -> list[float]:
    """Finite scores, as many as asked for; anything else is refused, never dropped.

    Raises:
        ValueError, TypeError: says what came instead.
    """
    found = _numbers(answer, "score()", f"{count} numbers")
    if found.shape != (count,) or not np.isfinite(found).all():
        raise ValueError(
            f"score() gave shape {found.shape}, {int((~np.isfinite(found)).sum())} not finite; "
            f"expected ({count},) finite"
        )
    return [float(score) for score in found]


def records_of(answer: object, rounds: int, width: int, most: int) -> list[list[list[float]]]:
    """Rebuilt records: of each round at most ``most``, each of ``width`` finite numbers.

    Raises:
        ValueError, TypeError: says what came instead.
    """
    found = _of_rounds(answer, rounds)
    return [_rebuilt(one, number, width, most) for number, one in enumerate(found)]


def words_of(answer: object, rounds: int, size: int) -> list[list[list[float]]]:
    """Words of every round, as records of one number: whole, from 0 to ``size`` - 1, each once.

    Raises:
        ValueError, TypeError: says what came instead.
    """
    found = []
    for number, one in enumerate(_of_rounds(answer, rounds)):
        words = _numbers(one, "rebuild()", "token ids").ravel()
        strange = _strange(words, size)
        if strange or len(np.unique(words)) < len(words):
            raise ValueError(
                f"rebuild() gave {strange} numbers for round {number} that are no "
                f"token ids from 0 to {size - 1}, {len(words) - len(np.unique(words))} twice"
            )
        found.append([[float(word)] for word in words])
    return found


def labels_of(answer: object, rounds: int, classes: int, most: int) -> list[list[list[float]]]:
    """Labels of every round, as records of one number: whole, from 0 to ``classes`` - 1.

    At most ``most``, each as often as it is there.

    Raises:
        ValueError, TypeError: says what came instead.
    """
    found = []
    for number, one in enumerate(_of_rounds(answer, rounds)):
        labels = _numbers(one, "rebuild()", "labels").ravel()
        strange = _strange(labels, classes)
        if strange or len(labels) > most:
            raise ValueError(
                f"rebuild() gave {len(labels)} labels for round {number}, {strange} of them no "
                f"whole number from 0 to {classes - 1}; expected at most {most}"
            )
        found.append([[float(label)] for label in labels])
    return found


def _strange(found: np.ndarray[Any, np.dtype[np.float64]], size: int) -> int:
    """How many are no whole numbers from 0 to ``size`` - 1."""
    known = np.isfinite(found) & (found >= 0) & (found < size) & (found == np.floor(found))
    return int((~known).sum())


def _of_rounds(answer: object, rounds: int) -> list[object]:
    if not isinstance(answer, list) or len(answer) != rounds:
        raise ValueError(f"gave no list of {rounds} arrays, one for each round")
    return answer


def _rebuilt(answer: object, number: int, width: int, most: int) -> list[list[float]]:
    found = _numbers(answer, "rebuild()", f"records of {width} numbers")
    if not found.size:
        return []
    found = found.reshape(len(found), -1)
    if float(np.abs(np.nan_to_num(found)).max()) > MOST:
        raise ValueError(f"rebuild() gave numbers above {MOST:g} for round {number}")
    if found.shape[1] != width or len(found) > most or not np.isfinite(found).all():
        raise ValueError(
            f"rebuild() gave shape {found.shape} for round {number}, "
            f"{int((~np.isfinite(found)).sum())} not finite; expected at most {most} records of "
            f"{width} finite numbers"
        )
    return [_rounded(record) for record in found]


def _rounded(record: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    largest = float(np.abs(record).max())
    if largest < LEAST:
        return [0.0] * len(record)
    decimals = DIGITS - math.ceil(math.log10(largest))
    return [float(value) for value in np.round(record, decimals) + 0.0]


def _numbers(answer: object, of: str, what: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    try:
        found = np.asarray(answer)
    except ValueError:
        raise TypeError(f"{of} gave lists of different lengths, not {what}") from None
    if found.dtype.kind not in "fiub":
        raise TypeError(f"{of} gave {type(answer).__name__}, not {what}")
    return found.astype(np.float64)
