"""How much of a batch an answer holds, beside what a guess without the trace would have held.

What is counted depends on the records (:data:`MEASURES`): rows of tables that stand in the answer,
words of texts, how near images are. The *guess* is judged alike: of tables and images the
adversary's own records, each with the one of the batch that it is nearest to, chosen by the judge;
of texts as many of its own texts as stand behind what is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

TOLERANCE = 0.01
"""A record is rebuilt if no number in it is off by more than this share of its largest one."""

MOST_DB = 60.0
"""Of a PSNR: what is off by a thousandth is the image."""

GREY = 0.5
"""What stands for an image of which there is no answer."""

DRAWS = range(10)
"""Of own texts; a guess is their mean."""

GUESS = ""
"""Name of the number itself among those of a guess."""

LOOKED_AT = 16
"""Numbers of a record that are compared first."""


class Rebuilt(BaseModel):
    """What was rebuilt in one cell of one run; T attacked rounds.

    Attributes:
        measure: name of one of :data:`MEASURES`.
        shares: [T][T] how much of the batch of round t stands in the answer to round s; the
            diagonal is the result, the rest what answers to other rounds hold.
        guess: [T] how much of the batch a guess holds.
        answered: [T] how many records, or words, each answer holds.
        beside: name -> [T] other numbers of each round (:attr:`Measure.beside`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: str
    shares: list[list[float]]
    guess: list[float]
    answered: list[int]
    beside: dict[str, list[float]] = {}

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
        of: how much of a batch [b, ...] an answer [n, ...] holds.
        beside: name -> title of what else is measured; of some ``guess_NAME`` as well.
    """

    name: str
    title: str
    unit: str
    top: float
    counted: bool
    of: Callable[[np.ndarray, np.ndarray], float]
    beside: dict[str, str]


def measured(
    kind: str,
    truth: Sequence[np.ndarray],
    answers: Sequence[Sequence[Sequence[float]]],
    guess: Mapping[str, list[float]],
) -> Rebuilt:
    """Judge the answers to the rounds of one cell.

    Args:
        kind: of the data: ``table``, ``text`` or ``image``.
        truth: [T] of [b, ...] the records of the target's batch, as the model takes them.
        answers: [T] of [n][F] what was rebuilt; of texts [n][1] words.
        guess: of the same batches (:func:`guessed`).
    """
    counts = {"answered": [len(answer) for answer in answers], "guess": guess[GUESS]}
    beside = {f"guess_{name}": found for name, found in guess.items() if name != GUESS}
    if kind == "text":
        there = [_words(batch) for batch in truth]
        given = [np.array(a, dtype=np.float64).ravel() for a in answers]
        precision = [words(b, one)[1] for b, one in zip(there, given, strict=True)]
        shares = [[words(batch, one)[0] for one in given] for batch in there]
        return Rebuilt(
            measure="words", shares=shares, beside=beside | {"precision": precision}, **counts
        )
    shape = truth[0].shape[1:]
    given = [np.array(a, dtype=np.float64).reshape(-1, *shape) for a in answers]
    if kind == "table":
        shares = [[rebuilt(batch, one) for one in given] for batch in truth]
        return Rebuilt(measure="records", shares=shares, **counts)
    exact = [rebuilt(batch, one) for batch, one in zip(truth, given, strict=True)]
    shares = [[likeness(batch, one) for one in given] for batch in truth]
    return Rebuilt(measure="images", shares=shares, beside=beside | {"exact": exact}, **counts)


def guessed(
    kind: str,
    truth: Sequence[np.ndarray],
    own: np.ndarray,
    behind: int,
    rng: np.random.Generator,
) -> dict[str, list[float]]:
    """What a guess holds of each batch, by name; the number itself is :data:`GUESS`.

    Args:
        kind: of the data.
        truth: [T] of [b, ...] as in :func:`measured`.
        own: [N, ...] the adversary's own records.
        behind: how many records stand behind what is seen of a round.
        rng: what guesses of texts are drawn with.
    """
    if kind == "table":
        return {GUESS: [rebuilt(batch, own) for batch in truth]}
    if kind == "image":
        return {
            GUESS: [likeness(batch, own) for batch in truth],
            "exact": [rebuilt(batch, own) for batch in truth],
        }
    found = [
        np.mean(
            [words(_words(b), _words(own[rng.permutation(len(own))[:behind]])) for _ in DRAWS],
            axis=0,
        )
        for b in truth
    ]
    return {
        GUESS: [float(recall) for recall, _ in found],
        "precision": [float(precision) for _, precision in found],
    }


def _words(texts: np.ndarray) -> np.ndarray:
    return np.unique(texts[texts > 0])


def rebuilt(truth: np.ndarray, answer: np.ndarray) -> float:
    """Share of the records that stand in an answer, each entry of which counts once.

    Args:
        truth: [b, ...] the batch, b at least 1.
        answer: [n, ...] what was rebuilt; for the guess, the adversary's own records.
    """
    near = close(truth, answer)
    if not near.any():
        return 0.0
    matched = maximum_bipartite_matching(csr_matrix(near), perm_type="column")
    return float((matched >= 0).mean())


def close(truth: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """[b, n] bool: no number is off by more than :data:`TOLERANCE` of the record's largest one."""
    truth, answer = truth.reshape(len(truth), -1), answer.reshape(len(answer), truth[0].size)
    found = np.zeros((len(truth), len(answer)), dtype=bool)
    for row, record in enumerate(truth):
        off = TOLERANCE * max(float(np.abs(record).max()), np.finfo(np.float64).tiny)
        # Most are told by their largest numbers; whole ones are compared where these agree.
        some = np.argpartition(-np.abs(record), min(LOOKED_AT, record.size - 1))[:LOOKED_AT]
        left = np.flatnonzero((np.abs(answer[:, some] - record[some]) <= off).all(axis=1))
        found[row, left] = (np.abs(answer[left] - record) <= off).all(axis=1)
    return found


def likeness(truth: np.ndarray, answer: np.ndarray) -> float:
    """Mean PSNR in dB of the images of a batch in their best assignment to an answer.

    An image without one counts as grey.

    Args:
        truth: [b, ...] in [0, 1].
        answer: [n, ...]; what is outside [0, 1] is cut off.
    """
    return float(psnr(errors_of(*assigned(truth, answer))).mean())


def assigned(truth: np.ndarray, answer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The batch, and for each of its images the one of the answer that stands for it."""
    flat = truth.reshape(len(truth), -1)
    images = np.clip(answer.reshape(len(answer), flat.shape[1]), 0, 1)
    images = np.concatenate([images, np.full_like(flat, GREY)])
    gaps = (flat**2).sum(1)[:, None] - 2 * flat @ images.T + (images**2).sum(1)[None]
    _, chosen = linear_sum_assignment(gaps)
    return truth, images[chosen].reshape(truth.shape)


def errors_of(truth: np.ndarray, images: np.ndarray) -> np.ndarray:
    """[b] mean squared error of each image."""
    gaps = truth.astype(np.float64) - images
    return np.asarray((gaps**2).reshape(len(truth), -1).mean(axis=1))


def psnr(errors: np.ndarray) -> np.ndarray:
    """[b] peak signal-to-noise ratio in dB of images in [0, 1], at most :data:`MOST_DB`."""
    return np.asarray(-10 * np.log10(np.maximum(errors, 10 ** (-MOST_DB / 10))))


def words(truth: np.ndarray, answer: np.ndarray) -> tuple[float, float]:
    """Recall and precision of a set of token ids; the precision of no answer is 0."""
    right = len(np.intersect1d(truth, answer))
    return right / max(1, len(np.unique(truth))), right / max(1, len(np.unique(answer)))


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("records", "records rebuilt within 1 %", "", 1.0, True, rebuilt, {}),
        Measure(
            "images",
            "PSNR of the images",
            "dB",
            MOST_DB,
            False,
            likeness,
            {"exact": "images rebuilt within 1 %"},
        ),
        Measure(
            "words",
            "words recovered (recall)",
            "",
            1.0,
            False,
            lambda truth, answer: words(truth, answer)[0],
            {"precision": "precision of the words"},
        ),
    )
}
"""By name."""
