r"""Texts as token ids.

Tokens are maximal runs of Unicode letters and digits (``[^\W_]+``) of the lower-cased text. The
vocabulary holds the padding (id 0), the unknown word (id 1) and then the most frequent tokens of
all texts, ties in alphabetical order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

TOKEN = re.compile(r"[^\W_]+")
PADDING, UNKNOWN_WORD = "<pad>", "<unknown>"
UNKNOWN_ID = 1


def tokens_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return TOKEN.findall(text.lower())


def build_vocabulary(texts: Iterable[list[str]], size: int) -> tuple[str, ...]:
    """At most ``size`` entries: padding, unknown word, then tokens by falling frequency."""
    counts = Counter(token for text in texts for token in text)
    ranked = sorted(counts, key=lambda token: (-counts[token], token))
    return (PADDING, UNKNOWN_WORD, *ranked[: size - 2])


def encode(texts: list[list[str]], vocabulary: tuple[str, ...], length: int) -> np.ndarray:
    """Token ids [texts, length] int32, cut or padded (0) at the end."""
    ids = {token: i for i, token in enumerate(vocabulary)}
    inputs = np.zeros((len(texts), length), dtype=np.int32)
    for row, text in zip(inputs, texts, strict=True):
        kept = text[:length]
        row[: len(kept)] = [ids.get(token, UNKNOWN_ID) for token in kept]
    return inputs
