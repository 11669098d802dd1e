"""What an audit by canaries leaves: everything that its table is made from."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from privaudit.errors import UserError, first_problem

NonNegative = Annotated[FiniteFloat, Field(ge=0)]


class CanaryRecord(BaseModel):
    """One reader's scores of the m canaries, and the truth.

    Attributes:
        view: who reads: ``participant``, ``server``, or ``own loop``.
        rounds: heard.
        size: d, parameters of the model.
        clip_norm: C, the length of a canary.
        guesses: r, fixed before anything was heard.
        delta: at which ε is stated.
        claimed_epsilon: None where nothing is claimed.
        claim: where the claim is from, or why there is none.
        sampler: who is in a round.
        clients: n, honest ones and all others but canaries; None = not known.
        inserted: [m] whether each was in.
        scores: [m] sums over rounds of ⟨what was heard, canary⟩ / C².
        carried: what a canary that is in adds to its own score, mean over those; as many as there
            are rounds, unless part of it was not shared.
        spread: variance of scores by the directions of canaries: Σ ‖heard‖² / (d C²).
        noise: the part of it that the stated noise makes; None where nobody stated any.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    view: str
    rounds: int = Field(ge=1)
    size: int = Field(ge=1)
    clip_norm: float = Field(gt=0)
    guesses: int = Field(ge=1)
    delta: float = Field(gt=0, lt=1)
    claimed_epsilon: NonNegative | None
    claim: str
    sampler: str
    clients: int | None = Field(ge=1)
    inserted: list[bool]
    scores: list[FiniteFloat]
    carried: NonNegative
    spread: NonNegative
    noise: NonNegative | None

    @model_validator(mode="after")
    def _whole(self) -> CanaryRecord:
        if len(self.scores) != len(self.inserted):
            raise ValueError(f"{len(self.scores)} scores of {len(self.inserted)} canaries")
        if self.guesses > len(self.scores):
            raise ValueError(f"{self.guesses} guesses about {len(self.scores)} canaries")
        return self


def parse_canaries(rows: list[dict[str, Any]], *, where: str) -> list[CanaryRecord]:
    """Rows of a file as records.

    Raises:
        UserError: one is not such a record.
    """
    try:
        return [CanaryRecord.model_validate(row) for row in rows]
    except ValidationError as error:
        raise UserError(f"not a record of canaries: {first_problem(error)}", where=where) from error
