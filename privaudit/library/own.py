"""Audit of a model and data that are at hand as Python objects."""

from __future__ import annotations

import importlib
import inspect
import reprlib
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from torch.utils.data import Dataset, IterableDataset

from privaudit.audit import run_audit
from privaudit.data.user_checks import has_dimensions
from privaudit.errors import UserError, unknown_name
from privaudit.library.datasets import arrays_of
from privaudit.library.result import Result
from privaudit.scenario.load import check_scenario
from privaudit.world import load_world

if TYPE_CHECKING:
    from torch import nn

DATA_FILE, RUN_FOLDER = "data.npz", "run"
MODELS = {"image": "cnn", "text": "text-cnn", "table": "mlp"}
TABLES = ("federation", "local", "server", "audit", "defences", "accounting")
GAMES = ("membership", "reconstruction")
SETTINGS = (*TABLES, *GAMES, "ledger", "report", "attack_options", "seed", "runs", "title")


def audit_model(
    inputs: ArrayLike | Dataset[Any],
    labels: ArrayLike | None = None,
    *,
    properties: Mapping[str, ArrayLike],
    model: str | Callable[..., nn.Module] | None = None,
    model_options: Mapping[str, Any] | None = None,
    groups: ArrayLike | None = None,
    kind: str | None = None,
    folder: str | PathLike[str],
    workers: int = 1,
    **settings: Any,
) -> Result:
    """Train a federation of this model on these data, listen to it, and say what leaked.

    Args:
        inputs: [N, H, W] or [N, H, W, C] uint8 images (C 1 or 3), [N, L] token ids of texts (0 =
            padding), or [N, F] numbers; arrays, tensors or data frames. Or a
            ``torch.utils.data.Dataset`` of (input, label), or of dicts as those of Hugging Face
            (:func:`privaudit.library.datasets.arrays_of`).
        labels: [N] whole numbers or strings, the main task; None = those in the data set.
        properties: name -> [N] private property: 1 or True present, 0 or False absent; -1, NaN, NA
            and what is masked are unknown.
        model: a module class, or a function that makes a model (and may load a checkpoint),
            defined at the top level of a module or notebook; or its name
            ``"package.module:Class"``, or a bundled model; None = the bundled one for this kind of
            data. Of ``num_classes``, ``height``, ``width``, ``in_channels``, ``side`` (of square
            images), ``vocabulary_size`` and ``features`` it is given those it names. The model
            gives logits, or a dict or an object with ``logits`` as models of Hugging Face do.
        model_options: further arguments of the constructor or function.
        groups: [N] natural client (writer, hospital) of each record.
        kind: ``image``, ``text`` or ``table``; None = seen from ``inputs``.
        folder: new or empty; takes the data (``data.npz``) and the run (``run/``).
        workers: processes; more than one needs an importable model.
        settings: the tables and keys of a scenario, e.g. ``runs=5, audit={"rounds": 40}``
            (:mod:`privaudit.scenario.schema`).

    Raises:
        UserError: (a ValueError) data, model or settings cannot be used; what and why.
    """
    for name in settings:
        if name not in SETTINGS:
            raise unknown_name("setting", name, SETTINGS)
    if isinstance(inputs, Dataset | IterableDataset):
        inputs, found, seen = arrays_of(inputs, kind=kind)
        labels, kind = found if labels is None else labels, kind or seen
    if labels is None:
        raise UserError("missing", where="labels", remedy="give one per record")
    arrays = _arrays(inputs, labels, properties, groups)
    kind = kind or _kind(arrays["inputs"])
    place = Path(folder)
    file = place.absolute() / DATA_FILE
    scenario = check_scenario(
        {"name": "own-model", "runs": 3, **settings}
        | {
            "data": {
                "name": "npz",
                "path": str(file),
                "kind": kind,
                "properties": {name: f"property.{name}" for name in properties},
            }
            | ({} if groups is None else {"groups": "groups"}),
            "model": {"name": _model_name(model, kind), **(model_options or {})},
            "audit": {"properties": list(properties), **_table(settings, "audit")},
        },
        where="audit_model",
    )
    new = not place.exists()
    _write(arrays, place, file)
    load_world.cache_clear()  # the same folder may have held other data before
    try:
        return Result(run_audit(scenario, place / RUN_FOLDER, workers=workers).path)
    except UserError:
        if not (place / RUN_FOLDER).exists():  # refused: nothing is left behind
            file.unlink()
            if new:
                place.rmdir()
        raise


def _table(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = settings.get(name, {})
    if not isinstance(table, Mapping):
        raise UserError(f"must be a table such as {{'rounds': 40}}, got {table!r}", where=name)
    return dict(table)


def _arrays(
    inputs: ArrayLike,
    labels: ArrayLike,
    properties: Mapping[str, ArrayLike],
    groups: ArrayLike | None,
) -> dict[str, np.ndarray]:
    if not isinstance(properties, Mapping) or not properties:
        raise UserError("name at least one, as {name: array}", where="properties")
    given = {"inputs": inputs, "labels": labels}
    given |= {f"property.{name}": values for name, values in properties.items()}
    given |= {} if groups is None else {"groups": groups}
    return {name: _array(values, name) for name, values in given.items()}


def _array(values: ArrayLike, name: str) -> np.ndarray:
    """Numbers or texts; what is masked or NA is NaN or an empty text in a property, else refused.

    Columns of a data frame hold texts, and numbers that may be NA, as Python objects.
    """
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"not an array: {error}", where=name) from error
    missing = np.array(np.ma.getmaskarray(values)) if np.ma.isMaskedArray(values) else None
    if array.dtype == object:
        missing = np.asarray(pd.isna(array)) if missing is None else missing | pd.isna(array)
        array = _without_objects(array, missing, name)
    if missing is None or not missing.any():
        return array
    if not name.startswith("property."):
        first = int(missing.reshape(len(missing), -1).any(axis=1).argmax()) + 1
        raise UserError(
            f"{int(missing.sum())} missing values (the first in record {first})",
            where=name,
            remedy="fill them in or leave these records out",
        )
    return (
        np.where(missing, "", array)
        if array.dtype.kind == "U"
        else np.where(missing, np.nan, array.astype(float))
    )


def _without_objects(values: np.ndarray, missing: np.ndarray, name: str) -> np.ndarray:
    """Texts, or numbers and booleans; 0 or "" where missing."""
    known = values[~missing]
    if values.ndim == 1 and all(isinstance(value, str) for value in known):
        return np.where(missing, "", values).astype(str)
    if all(isinstance(value, int | float | np.number | np.bool_) for value in known):
        numbers = np.where(missing, 0, values).astype(float)
        whole = all(isinstance(value, int | np.integer | np.bool_) for value in known)
        return numbers.astype(np.int64) if whole else numbers
    raise UserError(
        "holds Python objects, not numbers or texts",
        where=name,
        remedy="encode texts as numbers, or write a .csv file: the csv loader encodes them",
    )


def _kind(inputs: np.ndarray) -> str:
    if inputs.dtype == np.uint8 and has_dimensions(inputs, "image"):
        return "image"
    if inputs.ndim == 2 and inputs.dtype.kind == "f":
        return "table"
    raise UserError(
        f"cannot tell what {inputs.dtype} of shape {list(inputs.shape)} holds",
        where="inputs",
        remedy="images are [N, H, W] or [N, H, W, C] uint8, C 1 or 3; for [N, L] or [N, F] whole "
        "numbers say kind='text' or kind='table'",
    )


def _model_name(model: str | Callable[..., nn.Module] | None, kind: str) -> str:
    """How a scenario names the model; a class or function is found again under its name."""
    if model is None:
        return MODELS.get(kind, "mlp")
    if isinstance(model, str):
        return model
    module, name = getattr(model, "__module__", ""), getattr(model, "__qualname__", "")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        found = None
    if found is not model or not (inspect.isclass(model) or inspect.isfunction(model)):
        raise UserError(
            f"not a class or function that can be found under its name (got {reprlib.repr(model)})",
            where="model",
            remedy="give a class, or a function that makes the model, defined at the top level of "
            "a module or notebook: no object, lambda or local one; arguments go to model_options",
        )
    return f"{module}:{name}"


def _write(arrays: dict[str, np.ndarray], place: Path, file: Path) -> None:
    """The data, whole or not at all, in a folder that holds nothing else."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        if any(place.iterdir()):
            raise UserError("is not empty", where=str(place), remedy="choose another folder")
        partial = file.with_name(f"{file.name}.partial")
        with partial.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        partial.replace(file)
    except OSError as error:
        raise UserError(f"cannot be used: {error.strerror}", where=str(place)) from error
