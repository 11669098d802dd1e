"""Images, from the direction of what a round did to the whole model."""

from __future__ import annotations

import copy

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from privaudit.attack.reconstruction import Rebuilding, ReconstructionAttack
from privaudit.engine.layout import ParameterSlice
from privaudit.engine.samples import prepare
from privaudit.errors import UserError
from privaudit.observation.views import Observation
from privaudit.options import Options

from .gradient_matching import match_gradient
from .label_counts import label_counts

MOST_OWN = 256
"""Own records that the mean prediction is taken of."""


class MatchingOptions(Options):
    """Options of ``gradient-matching``."""

    steps: int = Field(300, ge=1, le=10**6, description="of descent from each first image")
    restarts: int = Field(2, ge=1, le=1000, description="first images; the least loss is taken")
    most: int = Field(
        4,
        ge=1,
        le=256,
        description="records behind what is seen, above which nothing is rebuilt: the time of a "
        "step grows with them, and what it finds gets worse",
    )


class GradientMatching(ReconstructionAttack):
    """Images whose gradient points where the observed one does, labels counted beforehand.

    Everybody's step is taken from the parameters before the round; with local steps or momentum
    that is an approximation.
    """

    name = "gradient-matching"
    source = "J. Geiping et al., NeurIPS 2020; labels: A. Wainakh et al. (LLG), PETS 2022"
    Options = MatchingOptions

    def check(self, given: Rebuilding) -> None:
        """Records are images, and the model ends in a dense layer with biases."""
        if not given.are_images:
            raise UserError(
                "rebuilds images, and the records here are none",
                where=f"attack '{self.name}'",
                remedy="leave it out; tables have first-layer and spear, texts moved-words",
            )
        _last_bias(given, self.name)

    def rebuild(self, observation: Observation, given: Rebuilding) -> np.ndarray:
        """[n, C, H, W] in [0, 1]; none where more records stand behind the round than asked for."""
        records = given.records(observation)
        shape = tuple(int(side) for side in prepare(given.own.inputs[:1]).shape[1:])
        if records > self.options.most:
            return np.empty((0, *shape))
        model, gradient = _at(given, observation.before), _gradient(observation, given)
        shared = gradient != 0 if given.rules.shared_fraction < 1 else None
        labels = _labels(model, gradient, given, records, self.name)
        return match_gradient(
            model,
            [gradient],
            labels,
            shape,  # type: ignore[arg-type]
            rng=self.seed.generator(observation.round),
            shared=shared,
            restarts=self.options.restarts,
            steps=self.options.steps,
        ).images


def labels_of(observation: Observation, given: Rebuilding) -> np.ndarray:
    """[n] how the last layer's biases count the labels behind a round, in the order of classes.

    Raises:
        UserError: the model does not end in a dense layer with biases.
    """
    model, gradient = _at(given, observation.before), _gradient(observation, given)
    return _labels(model, gradient, given, given.records(observation), "label-counts")


def _gradient(observation: Observation, given: Rebuilding) -> Tensor:
    """[P] of everybody's mean losses, summed; 0 where rounding alone may have left something."""
    signal = observation.signal * (observation.signal.abs() > observation.rounding)
    return -signal / given.rules.lr


def _at(given: Rebuilding, parameters: Tensor) -> nn.Module:
    """The model at these parameters, as clients train it, with everything there that drops out."""
    model = copy.deepcopy(given.engine.model).cpu().train()
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
    named = dict(model.named_parameters())
    with torch.no_grad():
        for piece in given.layout.slices:
            named[piece.name].copy_(parameters[piece.start : piece.stop].view(piece.shape))
    return model


def _labels(
    model: nn.Module, gradient: Tensor, given: Rebuilding, records: int, attack: str
) -> np.ndarray:
    """[records] as the last layer's biases count them, those of one class together."""
    at = _last_bias(given, attack)
    with torch.no_grad():
        outputs = model(prepare(given.own.inputs[:MOST_OWN]))
    guesses = torch.softmax(outputs, dim=1).mean(0).double().numpy()
    # Each client's step is of the mean over its batch; of the sum it is so many times as long.
    summed = gradient[at.start : at.stop].double().numpy() * given.rules.batch_size
    counts = label_counts(summed, guesses, records)
    return np.repeat(np.arange(len(counts)), counts)


def _last_bias(given: Rebuilding, attack: str) -> ParameterSlice:
    dense = [(n, m) for n, m in given.engine.model.named_modules() if isinstance(m, nn.Linear)]
    places = {piece.name: piece for piece in given.layout.slices}
    name = f"{dense[-1][0]}.bias".removeprefix(".") if dense else ""
    if name not in places:
        raise UserError(
            "counts labels by the biases of a last dense layer, and the model has none",
            where=f"attack '{attack}'",
            remedy="leave it out",
        )
    return places[name]
