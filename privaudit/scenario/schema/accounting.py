"""``[accounting]``: what a promise of differential privacy is to be counted by."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .values import Section


class AccountingSection(Section):
    """``[accounting]``: δ, and how large ε may become."""

    delta: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="the δ that ε is stated at, below 1 / participants (1 / records where "
        "single records are promised something); unset = 1e-5, or a tenth of 1 / participants "
        "where this is less",
        examples=[1e-5],
    )
    budget: Annotated[float, Field(gt=0, le=1e6)] | None = Field(
        None,
        description="largest ε of any defence that promises one: a scenario that spends more is "
        "refused, with the round in which it would be spent; unset = no limit",
        examples=[8.0],
    )
