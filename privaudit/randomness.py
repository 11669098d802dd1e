"""Randomness as an argument: one root seed, named children, no global generator.

``Seed(7).child("run", 2).generator("partition")`` always gives the same stream, whatever else was
drawn before or in which order the children were asked for. The name is hashed into the entropy of
:class:`numpy.random.SeedSequence`, so two names never share a stream by accident.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Seed:
    """A node in the tree of seeds.

    Attributes:
        root: the root seed of the run, a non-negative integer.
        path: the names from the root to this node.
    """

    root: int
    path: tuple[str, ...] = ()

    def child(self, *names: str | int) -> Seed:
        """The node below this one with the given names (integers are names too)."""
        return Seed(self.root, (*self.path, *(str(name) for name in names)))

    def opaque(self, secret: str) -> Seed:
        """A root of its own that stands for this node; it leads back to nobody without ``secret``.

        For whoever must not know the streams of others. A root seed is often a small number, which
        could be guessed and tried; ``secret`` is what the holder cannot guess.
        """
        text = "\x1f".join((str(self.root), *self.path, secret))
        return Seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))

    def generator(self, *names: str | int) -> np.random.Generator:
        """A fresh NumPy generator (PCG64) for the child with these names."""
        return np.random.Generator(np.random.PCG64(self.child(*names)._sequence()))

    def torch_generator(self, *names: str | int) -> torch.Generator:
        """A fresh CPU generator of torch for the child with these names."""
        import torch

        generator = torch.Generator()
        generator.manual_seed(self.child(*names).integer())
        return generator

    def integer(self) -> int:
        """A 63-bit integer that stands for this node, for libraries that take only an integer."""
        return int(self._sequence().generate_state(1, np.uint64)[0] >> np.uint64(1))

    def _sequence(self) -> np.random.SeedSequence:
        digest = hashlib.sha256("\x1f".join(self.path).encode()).digest()
        words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]
        return np.random.SeedSequence([self.root, *words])
