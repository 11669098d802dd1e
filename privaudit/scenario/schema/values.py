"""Kinds of values that several tables of a scenario take, with their ranges."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from privaudit.defences.sharing import Sharing


class Section(BaseModel):
    """A table of the scenario file: unknown keys are refused, and no text is taken for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def table_type(field: FieldInfo) -> type[BaseModel] | None:
    """The type of the table that a field is, also of one that may be left out."""
    candidates = [field.annotation, *get_args(field.annotation)]
    found = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
    return found[0] if found else None


def without_nulls(value: Any) -> Any:
    """A table of options with the unset ones left out, as TOML has no null to write them."""
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    return value


def known_rule(rule: str) -> str:
    """The name of a sharing rule; raises UserError with the nearest name."""
    Sharing(rule)
    return rule


def ascending(values: list[int]) -> list[int]:
    """A list that increases."""
    if any(later <= earlier for earlier, later in pairwise(values)):
        raise ValueError("must increase from one value to the next")
    return values


def distinct(values: list[Any]) -> list[Any]:
    """A list without repetitions."""
    if len(set(values)) != len(values):
        raise ValueError("names a value twice")
    return values


def not_tiny(value: float) -> float:
    """A number that stays above 0 in single precision."""
    if 0 < value < LEAST:
        raise ValueError(f"too close to 0, must be at least {LEAST:g}")
    return value


LEAST = 1e-9
"""Of fractions, rates and norms that must be above 0: less is 0 to single precision or to count."""

Above0 = AfterValidator(not_tiny)
Fraction = Annotated[float, Field(gt=0, le=1), Above0]
Share = Annotated[float, Field(gt=0, lt=1), Above0]
Rule = Annotated[str, AfterValidator(known_rule)]

# Bounds that no experiment reaches and every slip of the keyboard passes. What a machine has memory
# for is asked when the model is known (privaudit.experiment.memory).
MOST_PARTICIPANTS = 100_000
Participants = Annotated[int, Field(ge=2, le=MOST_PARTICIPANTS)]
Rounds = Annotated[int, Field(le=1_000_000)]
Runs = Annotated[int, Field(le=10_000)]
Steps = Annotated[int, Field(ge=1, le=100_000)]
BatchSize = Annotated[int, Field(ge=1, le=1_000_000)]
Rate = Annotated[float, Field(gt=0, le=1e30), Above0]
Norm = Annotated[float, Field(gt=0, le=1e12), Above0]
MOST_VALUES = 1000
"""In a list."""
SomeValues = Field(min_length=1, max_length=MOST_VALUES)
Attacks = Annotated[list[str], SomeValues, AfterValidator(distinct)]
MOST_CELLS = 100_000
"""In the whole grid of a scenario."""
