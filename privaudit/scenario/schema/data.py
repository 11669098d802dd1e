"""``[data]`` and ``[model]``: a name, and options of what it names."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .values import without_nulls


class _Named(BaseModel):
    """A table with options that only what it names can check."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    @property
    def options(self) -> dict[str, Any]:
        """Of what is named."""
        return dict(self.model_extra or {})


class DataSection(_Named):
    """``[data]``: the loader's name, and options of that loader."""

    name: str = Field(
        "glyphs",
        description="a data set of privaudit list; csv and npz read your own files (docs/data.md)",
    )

    @model_validator(mode="before")
    @classmethod
    def _nulls_are_left_out(cls, table: Any) -> Any:
        if not isinstance(table, dict):
            return table
        return without_nulls(table) | {key: table[key] for key in table if key == "name"}


class ModelSection(_Named):
    """``[model]``: a bundled model or a class of one's own, and arguments of its constructor."""

    name: str = Field("cnn", description="a model of privaudit list, or your package.module:Class")
