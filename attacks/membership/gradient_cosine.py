"""Does what was sent point to where the candidate alone would move the model?"""

from __future__ import annotations

import numpy as np

from privaudit.attack.membership import Candidates, MembershipAttack, centred
from privaudit.observation.views import Observation
from privaudit.randomness import Seed


class GradientCosine(MembershipAttack):
    """Sum over rounds of the cosine of the observed signal and the candidate's own step.

    J. Li, N. Li and B. Ribeiro, Effective Passive Membership Inference Attacks in Federated
    Learning against Overparameterized Models, ICLR 2023, with the sum of the honest deltas (to a
    server: the target's) in place of a single client's gradient.
    """

    name = "gradient-cosine"
    source = "J. Li, N. Li and B. Ribeiro, ICLR 2023, on the sum of the honest deltas"

    def __init__(self, *, seed: Seed) -> None:
        super().__init__(seed=seed)
        self._sum = np.zeros(0)

    def listen(self, observation: Observation, given: Candidates) -> None:
        """Add the cosines of the round."""
        cosines = given.cosines(observation).numpy()
        self._sum = cosines if not len(self._sum) else self._sum + cosines

    def answer(self) -> np.ndarray:
        """[N] the sum."""
        return centred(self._sum)
