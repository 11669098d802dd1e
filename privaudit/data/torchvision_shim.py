"""Import torchvision next to a build of torch that it was not compiled for.

torchvision from the package index is built for CUDA. Next to a CPU build of torch its compiled
operators do not load, and its import then fails while describing two of them: ``operator
torchvision::nms does not exist``. Data sets and transforms need neither. So where, and only where,
the import fails in this way, the two schemas are declared (without any kernel) and the import is
done again; calling one of the operators still fails, as it should.
"""

from __future__ import annotations

import importlib
import threading
from types import ModuleType

import torch

from privaudit.errors import UserError

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

_lock = threading.Lock()
_declared: list[object] = []  # torch forgets the schemas once their library object is gone


def import_torchvision(submodule: str = "") -> ModuleType:
    """The module ``torchvision``, or its ``submodule``, e.g. ``"datasets"``. Thread-safe.

    Raises:
        UserError: torchvision is not installed.
    """
    name = f"torchvision.{submodule}" if submodule else "torchvision"
    with _lock:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as problem:
            raise UserError(
                f"cannot import {problem.name}", remedy="install the package torchvision"
            ) from None
        except RuntimeError as problem:
            if _declared or "operator torchvision::" not in str(problem):
                raise
        _declare_operators()
        return importlib.import_module(name)


def _declare_operators() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in SCHEMAS:
        library.define(schema)
    _declared.append(library)
