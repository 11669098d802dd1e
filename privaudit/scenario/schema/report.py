"""``[report]``: what is printed beside the results."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from .values import MOST_VALUES, Section, ascending


def _by_fraction(published: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    for by_fraction in published.values():
        for text in by_fraction:
            try:
                sensible = 0 < float(text) <= 1
            except ValueError:
                sensible = False
            if not sensible:
                raise ValueError(f"'{text}' is not a fraction in (0, 1]")
    return published


class ReportSection(Section):
    """``[report]``: published numbers to print beside ours, and what the table assumes."""

    published: Annotated[
        dict[str, dict[str, Annotated[float, Field(ge=0, le=1)]]], AfterValidator(_by_fraction)
    ] = Field({}, description='property -> fraction (as text, e.g. "0.1") -> published AUC')
    published_source: str = Field("", description="where the published numbers are from")
    notes: list[str] = Field([], description="sentences printed under the table")
    devices: Annotated[
        list[Annotated[int, Field(ge=1, le=100_000)]],
        Field(max_length=MOST_VALUES),
        AfterValidator(ascending),
    ] = Field([], description="numbers of devices to time one training round for")
