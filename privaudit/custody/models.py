"""The parameters that a run's ordinary training led to, as they lie in its folder."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from privaudit.custody.folder import RunFolder


def parameters_file(folder: RunFolder, run: int) -> Path:
    """Where they lie."""
    return folder.file("training", f"run-{run}.safetensors")


def trained_parameters(folder: RunFolder, run: int) -> Tensor:
    """[P] parameters after stage 1."""
    return load_file(parameters_file(folder, run))["parameters"]


def trained_buffers(folder: RunFolder, run: int) -> Tensor | None:
    """[B] what clients shared beside them; None where they shared nothing."""
    return load_file(parameters_file(folder, run)).get("buffers")
