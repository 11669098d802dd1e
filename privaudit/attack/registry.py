"""Attacks register through the entry-point group ``privaudit.attacks``, ours like anybody's."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from privaudit.attack.protocol import Attack
from privaudit.errors import UserError, unknown_name
from privaudit.source import Source, source_of_package

GROUP = "privaudit.attacks"


def registered() -> dict[str, EntryPoint]:
    """Name -> entry point of every attack of every installed distribution, sorted by name."""
    points = {point.name: point for point in entry_points(group=GROUP)}
    return dict(sorted(points.items()))


def load_attack(name: str) -> type[Attack]:
    """The attack class registered under ``name``.

    Raises:
        UserError: nobody registered it, it cannot be imported, or it is not an attack.
    """
    points = registered()
    if name not in points:
        raise unknown_name("attack", name, points)
    point = points[name]
    owner = point.dist.name if point.dist else "an unknown distribution"
    try:
        loaded = point.load()
    except Exception as error:  # a third party's import may fail in any way
        raise UserError(
            f"attack '{name}' of {owner} cannot be imported: {type(error).__name__}: {error}",
            remedy=f"repair or uninstall {owner}",
        ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, Attack)):
        raise UserError(f"attack '{name}' of {owner} ({point.value}) is not an Attack class")
    return loaded


def source_of(name: str) -> Source:
    """Whose code the attack registered under ``name`` is: its whole top-level package counts.

    Raises:
        UserError: nobody registered it, or its package cannot be found.
    """
    points = registered()
    if name not in points:
        raise unknown_name("attack", name, points)
    point = points[name]
    try:
        return source_of_package(point.module.partition(".")[0], point.dist)
    except ImportError as error:
        raise UserError(f"attack '{name}' cannot be found: {error}") from error
