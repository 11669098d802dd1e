"""``[reconstruction]``: that game."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from .values import Attacks, BatchSize, Section, SomeValues, ascending

LABELS = "labels"
"""What ``of`` is where the classes of a batch are asked about, not its records."""

BATCH = "batch-"
"""What is asked about is called this and the size."""


class ReconstructionSection(Section):
    """``[reconstruction]``: which records did the target train on in this round?"""

    of: Literal["records", "labels"] = Field(
        "records",
        description="what is to be rebuilt of a batch: records (of texts their words), or labels: "
        "how many records of each class it holds",
    )
    batch_sizes: Annotated[list[BatchSize], SomeValues, AfterValidator(ascending)] = Field(
        [1, 4, 8], description="records per batch; each size is asked about on its own"
    )
    rounds: int = Field(
        8,
        ge=3,
        le=10_000,
        description="attacked rounds per cell and run, at least 3: an answer is also held against "
        "the batches of the other rounds",
    )
    attacks: Attacks = Field(
        ["first-layer"],
        description="attacks to run: first-layer and spear for tables, gradient-matching for "
        "images, moved-words for texts, label-counts for labels",
    )

    @property
    def targets(self) -> list[str]:
        """Names of what is asked about, one for each size."""
        return [f"{BATCH}{size}" for size in self.batch_sizes]


def batch_of(target: str) -> int:
    """The size that a name of :attr:`ReconstructionSection.targets` is about."""
    return int(target.removeprefix(BATCH))
