"""Rows of tables, from what a round did to the first dense layer of the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from privaudit.attack.reconstruction import Rebuilding, ReconstructionAttack
from privaudit.engine.layout import ParameterSlice
from privaudit.errors import UserError
from privaudit.observation.views import Observation
from privaudit.options import Options

from .first_layer import single_units
from .spear import most_records, spear


class FirstLayer(ReconstructionAttack):
    """The quotients of the first layer's gradients, by how many units agree on them."""

    name = "first-layer"
    source = "L. Phong et al., IEEE TIFS 13(5), 2018, section III; L. Fowl et al., ICLR 2022"

    def check(self, given: Rebuilding) -> None:
        """The model begins with a dense layer that takes a record as it is."""
        Places.of(given, self.name)

    def rebuild(self, observation: Observation, given: Rebuilding) -> np.ndarray:
        """[n, F]."""
        layer = Layer.of(observation, given, self.name)
        return _by_single_units(layer, given.records(observation))


class SpearOptions(Options):
    """Options of ``spear``."""

    draws: int = Field(
        20_000,
        ge=1,
        le=10**9,
        description="tries in a round, at most; each further record of a batch needs about twice "
        "as many, batches of 8 a few thousand, of 13 about 200,000",
    )


class Spear(ReconstructionAttack):
    """The whole batch by SPEAR; where that finds none, what :class:`FirstLayer` finds."""

    name = "spear"
    source = "D. Dimitrov et al., NeurIPS 2024"
    Options = SpearOptions

    def check(self, given: Rebuilding) -> None:
        """The same, and a layer whose gradient has as many dimensions as one client's records."""
        places = Places.of(given, self.name)
        units, features = places.weight.shape
        most = most_records(units, features)
        records = given.rules.batch_size * given.rules.local_steps
        if records > most:
            raise UserError(
                f"{records} records a client and round, and the gradient of a first layer of "
                f"{units} units on {features} numbers has {most} dimensions: no more records can "
                "be told apart",
                where=f"attack '{self.name}'",
                remedy=f"ask about batches of at most {most}, widen the layer, or leave it out",
            )

    def rebuild(self, observation: Observation, given: Rebuilding) -> np.ndarray:
        """[n, F]."""
        layer = Layer.of(observation, given, self.name)
        batch = spear(
            layer.weight_change,
            layer.bias_change,
            layer.weights,
            layer.biases,
            given.records(observation),
            precision=observation.precision,
            most_draws=self.options.draws,
            rng=self.seed.generator(observation.round),
        )
        if batch.why == "rebuilt":
            return batch.records
        return _by_single_units(layer, given.records(observation))


def _by_single_units(layer: Layer, most: int) -> np.ndarray:
    found = single_units(layer.weight_change, layer.bias_change, rounding=layer.rounding)
    return found.first(most).records


@dataclass(frozen=True)
class Places:
    """Where the first dense layer lies in a vector."""

    weight: ParameterSlice
    bias: ParameterSlice

    @classmethod
    def of(cls, given: Rebuilding, attack: str) -> Places:
        """Of a model whose first layer with parameters is dense, has biases, and takes records.

        Raises:
            UserError: it is not.
        """
        name, module = next(
            ((n, m) for n, m in given.engine.model.named_modules() if _has_parameters(m)),
            ("", None),
        )
        weight, bias = (f"{name}.{part}" if name else part for part in ("weight", "bias"))
        places = {piece.name: piece for piece in given.layout.slices}
        if not isinstance(module, nn.Linear) or weight not in places or bias not in places:
            what = type(module).__name__ if module is not None else "nothing"
            raise UserError(
                f"reads the first layer of a model, a dense one with biases; here it is {what}",
                where=f"attack '{attack}'",
                remedy="leave it out; it is for tables",
            )
        if module.in_features != given.own.inputs[0].numel():
            raise UserError(
                f"the first layer takes {module.in_features} numbers, a record has "
                f"{given.own.inputs[0].numel()}",
                where=f"attack '{attack}'",
                remedy="leave it out; it is for models that take a record as it is",
            )
        return cls(places[weight], places[bias])


@dataclass(frozen=True, eq=False)
class Layer:
    """The first dense layer, and what a round did to it; what rounding alone can leave is 0.

    Attributes:
        weights: [H, F] before the round.
        biases: [H] likewise.
        weight_change: [H, F] the signal.
        bias_change: [H] likewise.
        rounding: [H] by how much ``bias_change`` may be off.
    """

    weights: np.ndarray
    biases: np.ndarray
    weight_change: np.ndarray
    bias_change: np.ndarray
    rounding: np.ndarray

    @classmethod
    def of(cls, observation: Observation, given: Rebuilding, attack: str) -> Layer:
        """See :meth:`Places.of`, also for what is raised."""
        places = Places.of(given, attack)
        off = observation.rounding
        signal = observation.signal * (observation.signal.abs() > off)
        return cls(
            _part(observation.before, places.weight),
            _part(observation.before, places.bias),
            _part(signal, places.weight),
            _part(signal, places.bias),
            _part(off, places.bias),
        )


def _part(vector: Tensor, at: ParameterSlice) -> np.ndarray:
    return vector[at.start : at.stop].double().numpy().reshape(at.shape)


def _has_parameters(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False))
