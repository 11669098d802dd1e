"""Encoding of table columns: numbers standardised, categories one-hot, all float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def standardise(values: np.ndarray) -> np.ndarray:
    """[N] numbers as [N, 1] float32 with mean 0 and standard deviation 1 (0 if constant)."""
    numbers = np.asarray(values, dtype=np.float64)
    spread = numbers.std()
    scaled = (numbers - numbers.mean()) / (spread if spread > 0 else 1.0)
    return scaled.astype(np.float32)[:, None]


def one_hot(codes: np.ndarray, categories: int) -> np.ndarray:
    """[N] integers in 0..categories-1 as [N, categories] float32."""
    encoded = np.zeros((len(codes), categories), dtype=np.float32)
    encoded[np.arange(len(codes)), codes] = 1.0
    return encoded


def one_hot_values(values: Sequence[object] | np.ndarray) -> np.ndarray:
    """[N] values as [N, distinct values] float32, the distinct values in sorted order."""
    distinct, codes = np.unique(np.asarray(values), return_inverse=True)
    return one_hot(codes, len(distinct))
