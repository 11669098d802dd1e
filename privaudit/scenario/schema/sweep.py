"""``[sweep]``: several audits of one scenario."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from .values import Section

NOT_SWEPT = ("sweep", "name", "title", "seed", "ledger", "report")
"""What changes no attack, or only which scenario it is; more seeds are more ``runs``."""


def _can_be_swept(key: str) -> str:
    parts = key.split(".")
    if not all(parts):
        raise ValueError("must be a dotted key such as federation.rounds")
    if parts[0] in NOT_SWEPT:
        raise ValueError(f"'{parts[0]}' cannot be swept: no attack depends on it")
    return key


def _several_values(values: list[Any]) -> list[Any]:
    if not 2 <= len(values) <= 50:
        raise ValueError(f"a sweep takes 2 to 50 values, got {len(values)}")
    if any(isinstance(value, dict) for value in values):
        raise ValueError("a value must not be a table")
    return values


class SweepSection(Section):
    """``[sweep]``: what ``privaudit sweep`` changes from one audit to the next."""

    key: Annotated[str, AfterValidator(_can_be_swept)] = Field(
        description="dotted key of a setting", examples=["federation.rounds"]
    )
    values: Annotated[list[Any], AfterValidator(_several_values)] = Field(
        description="2 to 50 values of it, no two of which give the same scenario",
        examples=[[0, 5, 10]],
    )
    metric: Literal["auc", "accuracy", "precision"] = Field(
        "auc",
        description="what the table shows besides the AUC: precision or accuracy, at the attack's "
        "own threshold; auc = nothing",
    )
    published: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        [], description="published values of the metric, one for each of values; empty = none"
    )
    published_source: str = Field("", description="where they are from")

    @model_validator(mode="after")
    def _one_for_each(self) -> SweepSection:
        if self.published and len(self.published) != len(self.values):
            raise ValueError(
                f"published has {len(self.published)} values, and must have one for each of the "
                f"{len(self.values)} in values"
            )
        return self
