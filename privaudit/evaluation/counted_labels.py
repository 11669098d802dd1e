"""How many labels of a batch stand in an answer, and in the best guess by frequencies alone."""

from __future__ import annotations

import numpy as np


def overlap(truth: np.ndarray, answer: np.ndarray) -> float:
    """Share of the labels of a batch that stand in an answer, each as often as it is there.

    Args:
        truth: [b] whole numbers, b at least 1.
        answer: [n] whole numbers, in any order.
    """
    there, counts = np.unique(truth, return_counts=True)
    named = (there[:, None] == np.asarray(answer)[None]).sum(axis=1)
    return float(np.minimum(counts, named).sum() / len(truth))


def likely_labels(own: np.ndarray, classes: int, batch: int, most: int) -> np.ndarray:
    """The answer with the largest expected :func:`overlap` with a batch drawn as ``own`` was.

    A class stands j times in a batch with the probability that a binomial number is at least j:
    these are taken from the largest on, each for one label more. It says as much as an attack may.

    Args:
        own: [N] labels of the adversary's own records, N at least 1.
        classes: how many there are.
        batch: records in a batch of one client.
        most: labels in an answer.

    Returns:
        [n] labels in the order of classes, n at most ``most``: no label more often than a batch
        could hold it.
    """
    from scipy.stats import binom  # slow: a ledger counts labels, too, before anything is trained

    share = np.bincount(own, minlength=classes) / len(own)
    at_least = binom.sf(np.arange(batch)[None], batch, share[:, None])
    likely = np.argsort(-at_least, axis=None, kind="stable")[:most]
    return np.sort(likely // batch)
