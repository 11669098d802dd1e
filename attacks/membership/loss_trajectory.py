"""The loss of each candidate, followed over the rounds."""

from __future__ import annotations

import numpy as np

from privaudit.attack.membership import Candidates, MembershipAttack, centred
from privaudit.observation.views import Observation
from privaudit.randomness import Seed


class LossTrajectory(MembershipAttack):
    """Mean over rounds of log(p / (1 - p)) of the candidate's label: the higher, the rather in.

    S. Yeom et al., CSF 2018, ask for the loss once; M. Nasr, R. Shokri and A. Houmansadr, IEEE S&P
    2019, section IV, follow a model over its rounds. The scale is that of N. Carlini et al., IEEE
    S&P 2022. To a participant the global model is watched, to a server the target's own.

    A federation of one round has but one number per candidate; what the candidate's label had
    before that round is taken off, in which candidates differ by nature.
    """

    name = "loss-trajectory"
    source = "loss of S. Yeom et al., CSF 2018, over rounds as M. Nasr et al., IEEE S&P 2019"

    def __init__(self, *, seed: Seed) -> None:
        super().__init__(seed=seed)
        self._sum = np.zeros(0)
        self._first = np.zeros(0)
        self._rounds = 0

    def listen(self, observation: Observation, given: Candidates) -> None:
        """Add up what the label has after the round."""
        if not self._rounds:
            self._first = given.log_odds_at(observation.before).numpy()
            self._sum = np.zeros(len(given))
        self._sum += given.log_odds(observation).numpy()
        self._rounds += 1

    def answer(self) -> np.ndarray:
        """[N] mean over the rounds; of a single round the gain."""
        mean = self._sum / self._rounds
        return centred(mean - self._first if self._rounds == 1 else mean)
