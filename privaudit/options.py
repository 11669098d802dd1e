"""Options as types: checked before anything is read, errors in one line."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from privaudit.errors import UserError, unknown_name


class Options(BaseModel):
    """Base of options: no unknown keys, no silent conversion of types.

    The ``description`` of each field states its allowed values; error messages quote it.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def choice_as_text(value: object) -> object:
    """For a choice that looks like a number: ``task = 36`` in a scenario means ``"36"``."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


AnyOptions = TypeVar("AnyOptions", bound=Options)


def parse_options(model: type[AnyOptions], options: Mapping[str, Any], *, where: str) -> AnyOptions:
    """The options as a checked object of ``model``.

    Raises:
        UserError: an option that does not exist (nearest match named), is missing, or holds a
            value outside its range (value and range named). The first problem is reported.
    """
    try:
        return model.model_validate(dict(options))
    except ValidationError as failure:
        raise _as_user_error(model, failure, where) from None


def _as_user_error(model: type[Options], failure: ValidationError, where: str) -> UserError:
    problem = failure.errors(include_url=False)[0]
    path = [str(step) for step in problem["loc"]]
    if problem["type"] == "extra_forbidden" and len(path) == 1:
        return unknown_name("option", path[0], model.model_fields, where=where)
    option = ".".join(path)
    field = model.model_fields.get(path[0]) if path else None
    allowed = field.description if field is not None else None
    remedy = f"allowed: {allowed}" if allowed else None
    if problem["type"] == "extra_forbidden":
        return UserError(f"unknown option '{option}'", where=where, remedy=remedy)
    if problem["type"] == "missing":
        return UserError(f"option '{option}' is missing", where=where, remedy=remedy)
    message = problem["msg"].removeprefix("Value error, ")
    if not path:  # of the options together
        return UserError(message, where=where)
    what = (
        f"option '{option}' = {reprlib.repr(problem['input'])}: {message[:1].lower()}{message[1:]}"
    )
    return UserError(what, where=where, remedy=remedy)
