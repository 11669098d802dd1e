"""Measure what a passive participant of federated learning can infer about the others.

What a program or a notebook needs is here (docs/library.md); it is loaded when it is first used, so
that ``import privaudit`` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from privaudit.canaries import Canaries as Canaries
    from privaudit.errors import UserError as UserError
    from privaudit.library.own import audit_model as audit_model
    from privaudit.library.result import Result as Result
    from privaudit.library.result import open_run as open_run
    from privaudit.library.scores import Evaluation as Evaluation
    from privaudit.library.scores import evaluate as evaluate

__version__ = version("privaudit")

_HOMES = {
    "Canaries": "privaudit.canaries",
    "audit_model": "privaudit.library.own",
    "open_run": "privaudit.library.result",
    "Result": "privaudit.library.result",
    "evaluate": "privaudit.library.scores",
    "Evaluation": "privaudit.library.scores",
    "UserError": "privaudit.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'privaudit' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
