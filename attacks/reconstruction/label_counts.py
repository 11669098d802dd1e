"""How many records of each class a batch held, from the bias gradient of the last layer."""

from __future__ import annotations

import numpy as np


def label_counts(bias_gradient: np.ndarray, probabilities: np.ndarray, records: int) -> np.ndarray:
    """[C] whole numbers that add up to ``records``.

    The gradient of the summed cross-entropy in the bias of class c is sum_n p_nc - n_c, so that
    n_c = records * (mean p_c) - gradient_c: B. Zhao, K. Mopuri & H. Bilen, "iDLG", 2020, section 3
    (one record); A. Wainakh et al., "User-Level Label Leakage from Gradients in Federated
    Learning" (LLG), PETS 2022, section 4 (batches). The mean prediction on the batch is not known;
    that on the adversary's own records stands for it.

    Args:
        bias_gradient: [C] of the loss summed over the records.
        probabilities: [C] mean prediction on own records, at the parameters before the round.
        records: how many there are.
    """
    wanted = np.clip(records * probabilities - bias_gradient, 0.0, None)
    if not wanted.any():  # a true gradient adds up to 0, and leaves something
        wanted = probabilities
    wanted = wanted * (records / wanted.sum())
    counts = np.floor(wanted).astype(np.int64)
    # The largest remainders are rounded up.
    short = records - int(counts.sum())
    counts[np.argsort(counts - wanted, kind="stable")[:short]] += 1
    return counts
