"""Python, the required packages and the attacks that registered."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata, version
from typing import TYPE_CHECKING

from privaudit.doctor.finding import Finding
from privaudit.errors import UserError

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

PACKAGE = "privaudit"


def python_version() -> Iterator[Finding]:
    """The interpreter against what the package asks for."""
    from packaging.specifiers import SpecifierSet

    wanted, found = str(_about()["Requires-Python"]), platform.python_version()
    if SpecifierSet(wanted).contains(found, prereleases=True):
        yield Finding("python", "ok", f"{found} (asks for {wanted})")
    else:
        remedy = f"Create an environment with Python {wanted} and install privaudit there."
        yield Finding("python", "problem", f"{found}, asks for {wanted}", remedy)


def packages() -> Iterator[Finding]:
    """One finding for all packages that are as asked for, one for each that is not."""
    from packaging.requirements import Requirement

    wanted = [Requirement(line) for line in _about().get_all("Requires-Dist") or []]
    wanted = [need for need in wanted if need.marker is None or need.marker.evaluate({"extra": ""})]
    wrong = [finding for need in wanted if (finding := _package(need.name, need.specifier))]
    right = len(wanted) - len(wrong)
    if right:
        yield Finding("packages", "ok", f"{right} of {len(wanted)} required ones as asked for")
    yield from wrong


def _package(name: str, wanted: SpecifierSet) -> Finding | None:
    remedy = f'Run: pip install -c constraints.txt "{name}{wanted}"'
    try:
        found = version(name)
    except PackageNotFoundError:
        return Finding(f"package {name}", "problem", f"missing, asks for {wanted}", remedy)
    if wanted.contains(found, prereleases=True):
        return None
    return Finding(f"package {name}", "problem", f"{found}, asks for {wanted}", remedy)


def attacks() -> Iterator[Finding]:
    """Every attack that any installed distribution registered."""
    from privaudit.attack.registry import load_attack, registered

    good = []
    for name in registered():
        try:
            load_attack(name)
            good.append(name)
        except UserError as error:
            remedy = f"{(error.remedy or 'repair or uninstall it').capitalize()}."
            yield Finding(f"attack {name}", "problem", error.what, remedy)
    if good:
        yield Finding("attacks", "ok", ", ".join(good))
    else:
        remedy = "Install the package again: pip install -c constraints.txt -e ."
        yield Finding("attacks", "problem", "none is registered", remedy)


def _about() -> PackageMetadata:
    return metadata(PACKAGE)
