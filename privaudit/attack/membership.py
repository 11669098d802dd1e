"""What an attack on membership is given, and what it answers: was this record trained on?

The adversary holds *candidates*: records of which it wants to know whether some honest client (to a
server: the target) trained on them. It also has records of its own, and knows the rules.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from privaudit.attack.answers import scores_of
from privaudit.attack.latest import LatestRound
from privaudit.attack.protocol import GameAttack
from privaudit.engine.engine import Engine, Samples
from privaudit.engine.layout import Layout
from privaudit.errors import UserError
from privaudit.observation.rules import Rules
from privaudit.observation.views import Observation
from privaudit.randomness import Seed

MOST_NUMBERS = 1 << 24
"""Of gradients of single records that are in memory at once: 64 MB."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Everything an attack on membership is given besides the observations.

    Attributes:
        engine: the model of the federation.
        samples: the N candidates.
        own: the adversary's own records, none of them a candidate.
        rules: of the federation.
        seed: the adversary's stream.
        trained: [M] bool, on which of its own records the adversary trained in this federation;
            None where it does not say.
    """

    engine: Engine
    samples: Samples
    own: Samples
    rules: Rules
    seed: Seed
    trained: np.ndarray | None = None
    _round: LatestRound[str] = field(default_factory=LatestRound, repr=False)

    @property
    def layout(self) -> Layout:
        """How the parameters lie in the vectors."""
        return self.engine.layout

    def __len__(self) -> int:
        return len(self.samples)

    def checked(self, answer: object, rounds: int) -> list[float]:
        """An attack's scores, one per candidate (:func:`.answers.scores_of`)."""
        return scores_of(answer, len(self))

    def prepare(self, observation: Observation) -> None:
        """What the model computes of a round for every attack.

        Raises:
            UserError: it computes no numbers any more.
        """
        if not bool(torch.isfinite(self.log_odds(observation)).all()):
            raise UserError(
                f"its outputs are not finite in round {observation.round}: the federation diverged",
                remedy="lower the learning rate, or the noise",
            )

    def instead(self, asked: np.ndarray) -> Candidates:
        """The same adversary, who asks about these of its own records as if they were not."""
        kept = np.setdiff1d(np.arange(len(self.own)), asked)
        return replace(
            self,
            samples=_chosen(self.own, asked),
            own=_chosen(self.own, kept),
            trained=None if self.trained is None else self.trained[kept],
            _round=LatestRound(),
        )

    def watched(self, observation: Observation) -> Tensor:
        """[P] the parameters that tell most of a round.

        To a server those of the target's own model after its training, to a participant the global
        ones after the round.
        """
        if observation.target is None:
            return observation.after
        own = observation.client_deltas.get(observation.target)
        return observation.after if own is None else observation.before + own

    def log_odds(self, observation: Observation) -> Tensor:
        """[N] log(p / (1 - p)) of each candidate's label at the watched parameters."""
        known = self._round.at(observation)
        if "log_odds" not in known:
            known["log_odds"] = self.log_odds_at(self.watched(observation))
        return known["log_odds"]

    def log_odds_at(self, parameters: Tensor) -> Tensor:
        """[N] the same at any parameters [P]."""
        return self.engine.log_odds(parameters, self.samples)

    def cosines(self, observation: Observation) -> Tensor:
        """[N] cosine of the observed signal with the step that each candidate alone would take.

        The step is taken from the parameters before the round, and shared as the rules say.
        """
        known = self._round.at(observation)
        if "cosines" not in known:
            known["cosines"] = self._cosines(observation)
        return known["cosines"]

    def _cosines(self, observation: Observation) -> Tensor:
        signal, tiny = observation.signal, torch.finfo(torch.float32).tiny
        shared = None
        if self.rules.shared_fraction < 1:
            shared = signal.nonzero().squeeze(1)
            signal = signal[shared]
        signal = signal / torch.linalg.vector_norm(signal).clamp_min(tiny)
        found = []
        chunk = max(1, MOST_NUMBERS // self.layout.size)
        for start in range(0, len(self), chunk):
            single = [np.array([i]) for i in range(start, min(start + chunk, len(self)))]
            seed = self.seed.child("gradients", observation.round, start)
            slopes = self.engine.gradients(observation.before, self.samples, single, seed)
            if shared is not None:
                slopes = slopes.index_select(1, shared)
            norms = torch.linalg.vector_norm(slopes, dim=1).clamp_min(tiny)
            found.append(-(slopes @ signal) / norms)
        return torch.cat(found).double()


def _chosen(samples: Samples, which: np.ndarray) -> Samples:
    return samples.chosen(which)


class MembershipAttack(GameAttack):
    """Tells from observations which of the candidates were trained on.

    A subclass sets the class attributes, takes ``seed`` and its options as keyword arguments, and
    registers in the entry-point group ``privaudit.attacks``.
    """

    game: ClassVar[str] = "membership"

    @abstractmethod
    def listen(self, observation: Observation, given: Candidates) -> None:
        """Take in one round. Called once per round, in order. Must not change its arguments."""

    @abstractmethod
    def answer(self) -> np.ndarray:
        """[N] float64, one per candidate: higher = more likely trained on.

        Zero is the attack's own threshold: half of the candidates are in, so :func:`centred`,
        unless the attack has a rule of its own.
        """


def centred(scores: np.ndarray) -> np.ndarray:
    """Scores with their median at zero: half of the candidates, as many as were in, are above."""
    return np.asarray(scores - np.median(scores))
