"""Attacks register through the entry-point group ``privaudit.attacks``, ours like anybody's.

A name belongs to whoever registered it alone: two distributions with one name are refused,
whichever comes first on the path, and so is a class that calls itself something else.
"""

from __future__ import annotations

import inspect
from importlib.metadata import EntryPoint, entry_points

from privaudit.attack.protocol import GameAttack
from privaudit.errors import UserError, failure_of_others, unknown_name
from privaudit.observation.views import VIEWS, OutsiderView, SumView
from privaudit.options import Options
from privaudit.source import Source, source_of_package

GROUP = "privaudit.attacks"


def registered() -> dict[str, tuple[EntryPoint, ...]]:
    """Name -> entry points, of every installed distribution, sorted; one but for conflicts."""
    points: dict[str, list[EntryPoint]] = {}
    for point in sorted(entry_points(group=GROUP), key=_claim):
        points.setdefault(point.name, []).append(point)
    return {name: tuple(points[name]) for name in sorted(points)}


def load_attack(name: str) -> type[GameAttack]:
    """The attack class registered under ``name``.

    Raises:
        UserError: nobody registered it, or several did; it cannot be imported, or it is not an
            attack of that name.
    """
    point = _only(name)
    who = f"attack '{name}' of {owner(point)}"
    try:
        loaded = point.load()
    except BaseException as error:  # a third party's import may fail in any way
        raise UserError(
            f"{who} cannot be imported: {failure_of_others(error)}",
            remedy=f"repair or uninstall {owner(point)}",
        ) from error
    wrong = _what_is_wrong(loaded, name)
    if wrong:
        raise UserError(
            f"{who} ({point.value}) {wrong}", remedy=f"repair or uninstall {owner(point)}"
        )
    attack: type[GameAttack] = loaded
    return attack


def source_of(name: str) -> Source:
    """Whose code the attack registered under ``name`` is: its whole top-level package counts.

    Raises:
        UserError: nobody registered it, or several did, or its package cannot be found.
    """
    point = _only(name)
    try:
        return source_of_package(point.module.partition(".")[0], point.dist)
    except ImportError as error:
        raise UserError(f"attack '{name}' of {owner(point)} cannot be found: {error}") from error


def owner(point: EntryPoint) -> str:
    """The distribution that registered an attack."""
    return point.dist.name if point.dist else "an unknown distribution"


def _claim(point: EntryPoint) -> tuple[str, str, str]:
    return point.name, owner(point), point.value


def _only(name: str) -> EntryPoint:
    points = registered()
    if name not in points:
        raise unknown_name("attack", name, points)
    first, *others = points[name]
    if others:
        claims = [f"{owner(point)} ({point.value})" for point in points[name]]
        raise UserError(
            f"attack '{name}' is registered {len(claims)} times: by {' and by '.join(claims)}",
            remedy="uninstall all but one of them, or have one renamed",
        )
    return first


def _what_is_wrong(loaded: object, name: str) -> str:
    """In words that follow the attack's name; empty for a proper attack."""
    if not (isinstance(loaded, type) and issubclass(loaded, GameAttack)):
        return "is not an Attack class"
    if inspect.isabstract(loaded):
        return f"does not implement {', '.join(sorted(loaded.__abstractmethods__))}"
    calls_itself, options = getattr(loaded, "name", None), loaded.Options
    wrong = {
        f"has the class attribute name = {calls_itself!r}, not the registered name": (
            calls_itself != name
        ),
        "does not state its source": not isinstance(getattr(loaded, "source", None), str),
        "has Options that are no subclass of privaudit.options.Options": not (
            isinstance(options, type) and issubclass(options, Options)
        ),
        f"needs the view {loaded.view!r}, which there is not": (
            loaded.view not in (OutsiderView, SumView, *VIEWS.values())
        ),
    }
    return next((words for words, applies in wrong.items() if applies), "")
