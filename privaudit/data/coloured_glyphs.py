"""Letters and digits in colour: those of :mod:`privaudit.data.glyphs`, with ink on paper.

The property ``warm`` is planted: the ink of a warm character is redder than blue, that of another
the other way round. It is drawn independently of class and style, so it says nothing about them.
Ink is light and paper dark, so that shapes look as they do in grey.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from privaudit.data import glyphs
from privaudit.data.dataset import Dataset
from privaudit.data.files import sha256_of_arrays
from privaudit.randomness import Seed

OPTIONS = glyphs.OPTIONS

LIGHT, FAINT, PAPER = (0.7, 1.0), (0.2, 0.5), (0.0, 0.2)
"""Ranges of the strong and the weak colour of the ink, and of the paper; 1 = full."""


def load(options: glyphs.GlyphOptions, data_dir: Path, seed: Seed) -> Dataset:
    """Draw the data set; ``data_dir`` is not used.

    Returns:
        Inputs [records, 28, 28, 3] uint8; 10, 26 or 36 classes.
    """
    grey = glyphs.load(options, data_dir, seed)
    generator = seed.generator("colours")
    records = len(grey.labels)
    warm = generator.integers(0, 2, records).astype(np.int8)
    strong, weak = (generator.uniform(*span, records) for span in (LIGHT, FAINT))
    green = generator.uniform(FAINT[0], LIGHT[1], records)
    red, blue = np.where(warm == 1, (strong, weak), (weak, strong))
    ink = np.stack([red, green, blue], axis=1).astype(np.float32)
    paper = generator.uniform(*PAPER, (records, 3)).astype(np.float32)
    images = _coloured(grey.inputs, ink, paper)
    return replace(
        grey,
        name="coloured-glyphs",
        inputs=images,
        properties={"warm": warm} | grey.properties,
        checksum=sha256_of_arrays(images, grey.labels, warm),
    )


def _coloured(grey: np.ndarray, ink: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """[N, H, W, 3] uint8 from [N, H, W] and two colours [N, 3] of each record."""
    images = np.empty((*grey.shape, 3), dtype=np.uint8)
    for channel in range(3):
        low = paper[:, channel, None, None]
        span = ink[:, channel, None, None] - low
        images[..., channel] = np.rint(255 * low + grey.astype(np.float32) * span)
    return images
