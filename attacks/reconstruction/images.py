"""Images, from the direction of what a round did to the whole model."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from privaudit.attack.reconstruction import Rebuilding, ReconstructionAttack
from privaudit.engine.samples import prepare
from privaudit.errors import UserError
from privaudit.observation.views import Observation
from privaudit.options import Options

from .gradient_matching import match_gradient
from .labels import counted, gradient_of, last_biases, model_at


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
        last_biases(given, self.name)

    def rebuild(self, observation: Observation, given: Rebuilding) -> np.ndarray:
        """[n, C, H, W] in [0, 1]; none where more records stand behind the round than asked for."""
        records = given.records(observation)
        shape = tuple(int(side) for side in prepare(given.own.inputs[:1]).shape[1:])
        if records > self.options.most:
            return np.empty((0, *shape))
        model, gradient = model_at(given, observation.before), gradient_of(observation, given)
        shared = gradient != 0 if given.rules.shared_fraction < 1 else None
        labels = counted(model, gradient, given, records, self.name)
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
