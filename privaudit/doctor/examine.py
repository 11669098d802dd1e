"""All checks of the machine, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from privaudit import __version__
from privaudit.doctor import machine, places, software
from privaudit.doctor.finding import Finding, findings_text, guarded


def examine(data_dir: Path | None, rpc: str | None) -> list[Finding]:
    """What is found on this machine; raises nothing, whatever is broken.

    Args:
        data_dir: where data sets lie; None = ``PRIVAUDIT_DATA`` or the user's cache.
        rpc: URL of a node to ask; None asks the embedded chain only.
    """
    try:
        Path.cwd()
    except OSError as error:  # torch's libraries end the process where there is no such folder
        found = f"cannot be used: {error.strerror}"
        return [Finding("current folder", "problem", found, "Change to a folder that exists.")]
    looks: dict[str, Callable[[], Iterable[Finding]]] = {
        "python": software.python_version,
        "packages": software.packages,
        "attacks": software.attacks,
        "cores": machine.cores,
        "memory": machine.memory,
        "device": machine.device,
        "data sets": lambda: places.data_sets(data_dir),
        "embedded chain": places.embedded_chain,
        "write": machine.writable,
        "disk": machine.disk,
    }
    if rpc is not None:
        looks["node"] = lambda: places.node(rpc)
    return [finding for check, look in looks.items() for finding in guarded(check, look)]


def healthy(findings: Sequence[Finding]) -> bool:
    """Whether there is no problem."""
    return all(finding.status != "problem" for finding in findings)


def as_text(findings: Sequence[Finding]) -> str:
    """The findings as a table."""
    return f"privaudit {__version__}\n{findings_text(findings)}"


def as_document(findings: Sequence[Finding]) -> dict[str, Any]:
    """One JSON document."""
    return {
        "version": __version__,
        "healthy": healthy(findings),
        "findings": [finding.as_json() for finding in findings],
    }
