"""Options as types: checked before anything is read, described once, errors in one line."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from privaudit.errors import UserError, unknown_name


class Options(BaseModel):
    """Base of options: no unknown keys, no silent conversion of types.

    The ``description`` of each field says what it is and which values are allowed: error messages
    quote it, ``privaudit new``, ``privaudit list`` and docs/settings.md show it.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def choice_as_text(value: object) -> object:
    """For a choice that looks like a number: ``task = 36`` in a scenario means ``"36"``."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _tuple_as_list(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


Sizes = Annotated[list[Annotated[int, Field(ge=1)]], BeforeValidator(_tuple_as_list)]
"""A list, or in a program a tuple, of whole numbers of at least 1."""


@dataclass(frozen=True)
class Setting:
    """What a user may set: a key of a scenario, an option of a data set, a model or an attack.

    Attributes:
        name: what it is called.
        required: whether there is no default.
        default: its value unless it is set; None where it is then off, or required.
        description: what it is; empty where somebody else's code does not say.
        example: a value to start from where there is no default.
    """

    name: str
    required: bool = False
    default: Any = None
    description: str = ""
    example: Any = None


def settings_of(model: type[BaseModel]) -> list[Setting]:
    """The fields of a type of options, or of a table of a scenario."""
    return [
        Setting(
            name,
            field.is_required(),
            None if field.is_required() else field.get_default(call_default_factory=True),
            field.description or "",
            next(iter(field.examples or []), None),
        )
        for name, field in model.model_fields.items()
    ]


def arguments_of(
    constructed: type, options: type[Options], *, without: Iterable[str]
) -> list[Setting]:
    """What may be set of a class: its options where its constructor takes them, other arguments.

    Args:
        constructed: the class.
        options: passed to its constructor as ``**options``, if that takes any.
        without: arguments that are not for the user to set.
    """
    found = []
    for name, argument in inspect.signature(constructed).parameters.items():
        if argument.kind is argument.VAR_KEYWORD:
            found += settings_of(options)
        elif name not in without and argument.kind is not argument.VAR_POSITIONAL:
            required = argument.default is argument.empty
            found.append(Setting(name, required, None if required else argument.default))
    return found


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
