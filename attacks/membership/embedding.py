"""Which words did somebody train on? The rows of an embedding that moved.

Only the rows of words that occur in a batch have a gradient, and the sum over clients keeps every
one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from privaudit.attack.membership import Candidates
from privaudit.attack.reconstruction import Rebuilding
from privaudit.errors import UserError
from privaudit.observation.views import Observation


@dataclass(frozen=True)
class Table:
    """Where the embedding lies in a vector: ``words`` rows from ``start`` to ``stop``.

    ``padding`` is the row that never moves, or None.
    """

    start: int
    stop: int
    words: int
    padding: int | None

    @classmethod
    def of(cls, given: Candidates | Rebuilding, attack: str) -> Table:
        """The first trainable embedding of the model.

        Raises:
            UserError: it has none, or the adversary's own records are no token ids.
        """
        slices = {piece.name: piece for piece in given.engine.layout.slices}
        for name, module in given.engine.model.named_modules():
            piece = slices.get(f"{name}.weight" if name else "weight")
            if isinstance(module, nn.Embedding) and piece is not None:
                if given.own.inputs.dtype not in (torch.int32, torch.int64):
                    break
                padding = module.padding_idx
                return cls(piece.start, piece.stop, piece.shape[0], padding)
        raise UserError(
            "the model has no embedding of token ids whose rows could tell words",
            where=f"attack '{attack}'",
            remedy="leave it out; it is for texts",
        )

    def words_of(self, inputs: Tensor) -> list[np.ndarray]:
        """The words of each record, each once, without padding."""
        found = []
        for row in inputs.numpy():
            words = np.unique(row)
            found.append(words[words != self.padding] if self.padding is not None else words)
        return found

    def moved(self, observation: Observation) -> np.ndarray:
        """[V] bool: rows that some honest client moved."""
        rows, off = self._rows(observation.signal).abs(), self._rows(observation.rounding)
        moved: np.ndarray = (rows > off).any(1).numpy()
        return moved

    def _rows(self, vector: Tensor) -> Tensor:
        return vector[self.start : self.stop].view(self.words, -1)
