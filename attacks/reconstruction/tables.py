"""Rows of tables, from what a round did to the first dense layer of the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from privaudit.attack.reconstruction import Rebuilding, ReconstructionAttack
from privaudit.errors import UserError
from privaudit.observation.views import Observation

from .first_layer import single_units
from .spear import spear

MOST_DRAWS = 200_000
"""Of SPEAR in a round: about what batches of 13 need."""


class FirstLayer(ReconstructionAttack):
    """The quotients of the first layer's gradients, by how many units agree on them."""

    name = "first-layer"
    source = "L. Phong et al., IEEE TIFS 13(5), 2018, section III; L. Fowl et al., ICLR 2022"

    def rebuild(self, observation: Observation, given: Rebuilding) -> np.ndarray:
        """[n, F]."""
        layer = Layer.of(observation, given, self.name)
        found = single_units(layer.weight_change, layer.bias_change, rounding=layer.rounding)
        return found.first(given.records(observation)).records


class Spear(ReconstructionAttack):
    """The whole batch by SPEAR; where that finds none, what :class:`FirstLayer` finds."""

    name = "spear"
    source = "D. Dimitrov et al., NeurIPS 2024"

    def __init__(self, most_draws: int = MOST_DRAWS) -> None:
        self.most_draws = most_draws

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
            most_draws=self.most_draws,
            rng=given.seed.generator("spear", observation.round),
        )
        if batch.why == "rebuilt":
            return batch.records
        return FirstLayer().rebuild(observation, given)


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
        """Of a model whose first layer with parameters is dense, has biases, and takes records.

        Raises:
            UserError: it is not.
        """
        first = next(
            ((n, m) for n, m in given.engine.model.named_modules() if _has_parameters(m)),
            ("", None),
        )
        name, module = first
        weight, bias = (f"{name}.{part}" if name else part for part in ("weight", "bias"))
        places = {piece.name: piece for piece in given.engine.layout.slices}
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
        off = observation.rounding
        signal = observation.signal * (observation.signal.abs() > off)

        def part(vector: Tensor, piece: str) -> np.ndarray:
            at = places[piece]
            return vector[at.start : at.stop].double().numpy().reshape(at.shape)

        return cls(
            part(observation.before, weight),
            part(observation.before, bias),
            part(signal, weight),
            part(signal, bias),
            part(off, bias),
        )


def _has_parameters(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False))
