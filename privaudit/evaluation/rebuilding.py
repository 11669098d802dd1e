"""How much of a batch an answer holds, beside what a guess without the trace would have held.

What is counted depends on the records (:data:`MEASURES`): rows of tables that stand in the answer,
words of texts, how near images are. The *guess* is judged alike: of tables and images the
adversary's own records, each with the one of the batch that it is nearest to, chosen by the judge;
of texts the words that most of its own texts hold, as many as do best on batches of its own; of
labels those that are the most likely by their frequencies (:mod:`.counted_labels`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from privaudit.evaluation.counted_labels import overlap
from privaudit.scenario.schema import LABELS

TOLERANCE = 0.01
"""A record is rebuilt if no number in it is off by more than this share of its column's range."""

MOST_DB = 60.0
"""Of a PSNR: what is off by a thousandth is the image."""

GREY = 0.5
"""What stands for an image of which there is no answer."""

DRAWS = range(20)
"""Batches of own texts that say how many words a guess should hold."""

NUMBER = ""
"""Name of the number itself among what an answer holds."""

LOOKED_AT = 16
"""Numbers of a record that are compared first: those that are largest for their columns."""


class Rebuilt(BaseModel):
    """What was rebuilt in one cell of one run; T attacked rounds.

    Attributes:
        measure: name of one of :data:`MEASURES`.
        shares: [T][T] how much of the batch of round t stands in the answer to round s; the
            diagonal is the result, the rest what answers to other rounds hold.
        guess: [T] how much of the batch a guess holds.
        answered: [T] how many records, or words, each answer holds.
        beside: name -> [T] other numbers of each round (:attr:`Measure.names_beside`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: str
    shares: list[list[float]]
    guess: list[float]
    answered: list[int]
    beside: dict[str, list[float]] = {}

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        """Numbers that no judge could have given are no record."""
        if self.measure not in MEASURES:
            raise ValueError(f"no measure '{self.measure}'")
        measure, rounds = MEASURES[self.measure], len(self.shares)
        rows: list[Sequence[float]] = [*self.shares, self.guess, self.answered]
        if any(len(row) != rounds for row in rows):
            raise ValueError(f"not {rounds} numbers for each of {rounds} rounds")
        if self.beside.keys() != measure.names_beside:
            raise ValueError(f"beside: not {', '.join(sorted(measure.names_beside))}")
        if any(len(of) != rounds for of in self.beside.values()):
            raise ValueError(f"beside: not {rounds} numbers")
        shares = [number for of in self.beside.values() for number in of]
        most = [*self.guess, *(number for row in self.shares for number in row)]
        if not (_within(most, measure.top) and _within(shares, 1.0)):
            raise ValueError(f"not all from 0 to {measure.top:g} (beside: to 1)")
        if any(number < 0 for number in self.answered):
            raise ValueError("answered: below 0")
        return self

    @property
    def found(self) -> list[float]:
        """[T] how much of each round's batch stands in the answer to it."""
        return [row[number] for number, row in enumerate(self.shares)]


@dataclass(frozen=True)
class Measure:
    """How answers about one kind of records are judged.

    Attributes:
        name: in records.
        title: what is counted, for people.
        unit: of the number; empty for a share in [0, 1].
        top: the largest number there can be.
        counted: whether it is a share of a few records.
        beside: name -> title of what else is measured, a share; of the guess as ``guess_NAME``.
    """

    name: str
    title: str
    unit: str
    top: float
    counted: bool
    beside: dict[str, str]

    @property
    def names_beside(self) -> set[str]:
        """Of :attr:`Rebuilt.beside`."""
        return {name for n in self.beside for name in (n, f"guess_{n}")}


def measured(
    kind: str,
    truth: Sequence[np.ndarray],
    answers: Sequence[Sequence[Sequence[float]]],
    guess: Mapping[str, list[float]],
    scale: np.ndarray,
) -> Rebuilt:
    """Judge the answers to the rounds of one cell.

    Args:
        kind: of the data: ``table``, ``text`` or ``image``; or ``labels``.
        truth: [T] of [b, ...] the records of the target's batch, as the model takes them, or [b]
            their labels.
        answers: [T] of [n][F] what was rebuilt; of texts [n][1] words, or [n][1] labels.
        guess: of the same batches (:func:`guessed`).
        scale: [F] of the columns (:func:`ranges`); of images and texts not looked at.
    """
    shape = (-1,) if kind == "text" else (-1, *truth[0].shape[1:])
    given = [np.array(a, dtype=np.float64).reshape(shape) for a in answers]
    found = [_held(kind, batch, one, scale) for batch, one in zip(truth, given, strict=True)]
    beside = {name: [one[name] for one in found] for name in found[0] if name != NUMBER}
    return Rebuilt(
        measure=MEASURE_OF[kind],
        shares=[[_number(kind, batch, one, scale) for one in given] for batch in truth],
        guess=guess[NUMBER],
        answered=[len(answer) for answer in answers],
        beside=beside | {f"guess_{name}": of for name, of in guess.items() if name != NUMBER},
    )


def guessed(
    kind: str,
    truth: Sequence[np.ndarray],
    own: np.ndarray,
    scale: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, list[float]]:
    """What a guess holds of each batch, by name; the number itself is :data:`NUMBER`.

    Args:
        kind: of the data.
        truth: [T] of [b, ...] as in :func:`measured`.
        own: [N, ...] the adversary's own records; of labels [n] the guess itself
            (:func:`.counted_labels.likely_labels`).
        scale: as in :func:`measured`.
        rng: what batches of own texts are drawn with.
    """
    answer = frequent_words(own, len(truth[0]), rng) if kind == "text" else own
    found = [_held(kind, batch, answer, scale) for batch in truth]
    return {name: [one[name] for one in found] for name in found[0]}


def _held(kind: str, batch: np.ndarray, answer: np.ndarray, scale: np.ndarray) -> dict[str, float]:
    """What an answer holds of a batch: the number, and what stands beside it."""
    number = {NUMBER: _number(kind, batch, answer, scale)}
    if kind == "text":
        recall, precision = words(batch, answer)
        return number | {"recall": recall, "precision": precision}
    return number | ({"exact": rebuilt(batch, answer, 1.0)} if kind == "image" else {})


def _number(kind: str, batch: np.ndarray, answer: np.ndarray, scale: np.ndarray) -> float:
    if kind == "text":
        return f1(*words(batch, answer))
    if kind == LABELS:
        return overlap(batch, answer)
    return likeness(batch, answer) if kind == "image" else rebuilt(batch, answer, scale)


def ranges(records: np.ndarray) -> np.ndarray:
    """[F] the range of each column over records [N, ...]; 1 of one that is always the same."""
    flat = records.reshape(len(records), -1)
    spread = flat.max(axis=0).astype(np.float64) - flat.min(axis=0)
    return np.where(spread > 0, spread, 1.0)


def frequent_words(own: np.ndarray, batch: int, rng: np.random.Generator) -> np.ndarray:
    """The words that most own texts hold: as many as have the best F1 of own batches on average.

    Args:
        own: [N, L] token ids, 0 where there is none.
        batch: texts in a batch.
        rng: what own batches are drawn with.
    """
    texts = np.repeat(np.arange(len(own)), own.shape[1])[own.ravel() > 0]
    once = np.unique(np.stack([texts, own.ravel()[own.ravel() > 0]]), axis=1)[1]
    counts = np.bincount(once)
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    quality, length = np.zeros(len(order)), np.arange(1, len(order) + 1)
    for _ in DRAWS:
        there = _words(own[rng.permutation(len(own))[:batch]])
        quality += 2 * np.cumsum(np.isin(order, there)) / (length + len(there))
    return order[: int(np.argmax(quality)) + 1] if len(order) else order


def _words(texts: np.ndarray) -> np.ndarray:
    return np.unique(texts[texts > 0])


def rebuilt(truth: np.ndarray, answer: np.ndarray, scale: np.ndarray | float) -> float:
    """Share of the records that stand in an answer, each entry of which counts once.

    Args:
        truth: [b, ...] the batch, b at least 1.
        answer: [n, ...] what was rebuilt; for the guess, the adversary's own records.
        scale: [F] of the columns, above 0; a number where it is the same of all.
    """
    from scipy.sparse import csr_matrix  # slow to import, as below: records are read by many
    from scipy.sparse.csgraph import maximum_bipartite_matching

    near = close(truth, answer, scale)
    if not near.any():
        return 0.0
    matched = maximum_bipartite_matching(csr_matrix(near), perm_type="column")
    return float((matched >= 0).mean())


def close(truth: np.ndarray, answer: np.ndarray, scale: np.ndarray | float) -> np.ndarray:
    """[b, n] bool: no number is off by more than :data:`TOLERANCE` of its column's scale."""
    truth, answer = truth.reshape(len(truth), -1), answer.reshape(len(answer), truth[0].size)
    found = np.zeros((len(truth), len(answer)), dtype=bool)
    off = np.broadcast_to(TOLERANCE * np.asarray(scale, dtype=np.float64), truth[0].shape)
    for row, record in enumerate(truth):
        # Most are told by their largest numbers; whole ones are compared where these agree.
        some = np.argpartition(-np.abs(record / off), min(LOOKED_AT, record.size - 1))[:LOOKED_AT]
        left = np.flatnonzero((np.abs(answer[:, some] - record[some]) <= off[some]).all(axis=1))
        found[row, left] = (np.abs(answer[left] - record) <= off).all(axis=1)
    return found


def likeness(truth: np.ndarray, answer: np.ndarray) -> float:
    """Mean PSNR in dB of the images of a batch in their best assignment to an answer.

    An image without one, or whose one is worse than grey, counts as grey.

    Args:
        truth: [b, ...] in [0, 1].
        answer: [n, ...]; what is outside [0, 1] is cut off.
    """
    return float(psnr(errors_of(*assigned(truth, answer))).mean())


def assigned(truth: np.ndarray, answer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The batch, and for each of its images the one of the answer that stands for it."""
    from scipy.optimize import linear_sum_assignment

    flat = truth.reshape(len(truth), -1).astype(np.float64)
    images = np.clip(answer.reshape(len(answer), flat.shape[1]).astype(np.float64), 0, 1)
    images = np.concatenate([images, np.full_like(flat, GREY)])
    gaps = (flat**2).sum(1)[:, None] - 2 * flat @ images.T + (images**2).sum(1)[None]
    _, chosen = linear_sum_assignment(psnr(gaps / flat.shape[1]), maximize=True)
    return truth, images[chosen].reshape(truth.shape)


def errors_of(truth: np.ndarray, images: np.ndarray) -> np.ndarray:
    """[b] mean squared error of each image."""
    gaps = truth.astype(np.float64) - images
    return np.asarray((gaps**2).reshape(len(truth), -1).mean(axis=1))


def psnr(errors: np.ndarray) -> np.ndarray:
    """[b] peak signal-to-noise ratio in dB of images in [0, 1], at most :data:`MOST_DB`."""
    return np.asarray(-10 * np.log10(np.maximum(errors, 10 ** (-MOST_DB / 10))))


def words(truth: np.ndarray, answer: np.ndarray) -> tuple[float, float]:
    """Recall and precision of a set of token ids, 0 left out; the precision of no answer is 0."""
    there, given = _words(truth), np.unique(answer)
    right = len(np.intersect1d(there, given))
    return right / max(1, len(there)), right / max(1, len(given))


def f1(recall: float, precision: float) -> float:
    """The harmonic mean of recall and precision; 0 where both are."""
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def _within(numbers: Sequence[float], top: float) -> bool:
    return all(math.isfinite(number) and 0 <= number <= top for number in numbers)


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("records", "records rebuilt within 1 %", "", 1.0, True, {}),
        Measure(
            "images",
            "PSNR of the images",
            "dB",
            MOST_DB,
            False,
            {"exact": "images rebuilt within 1 %"},
        ),
        Measure(
            "words",
            "words recovered (F1 of recall and precision)",
            "",
            1.0,
            False,
            {"recall": "recall of the words", "precision": "precision of the words"},
        ),
        Measure(LABELS, "labels of the batch named right", "", 1.0, True, {}),
    )
}
"""By name."""

MEASURE_OF = {"table": "records", "image": "images", "text": "words", LABELS: LABELS}
"""Kind of data, or labels -> name of a measure."""
