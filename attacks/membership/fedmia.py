"""The target's model beside the other clients', which serve as models without the record."""

from __future__ import annotations

import numpy as np
import torch

from privaudit.attack.membership import Candidates, MembershipAttack, centred
from privaudit.observation.views import Observation, ServerView
from privaudit.randomness import Seed


class FedMIA(MembershipAttack):
    """Sum over rounds of how far the target's log odds lie above the other clients'.

    G. Zhu et al., FedMIA: An Effective Membership Inference Attack Exploiting "All for One"
    Principle in Federated Learning, CVPR 2025, section 4 (the loss-based variant): the models of
    the other clients make the null distribution of each candidate, a normal one, and rounds are
    added. With one other client there is no deviation, and the difference alone counts. Where other
    clients hold the same record, the null is not one.
    """

    name = "fedmia"
    source = "G. Zhu et al., FedMIA, CVPR 2025, on losses"
    view = ServerView

    def __init__(self, *, seed: Seed) -> None:
        super().__init__(seed=seed)
        self._sum = np.zeros(0)

    def listen(self, observation: Observation, given: Candidates) -> None:
        """Set the target's model beside the others'."""
        others = [
            given.log_odds_at(observation.before + delta)
            for client, delta in observation.client_deltas.items()
            if client != observation.target
        ]
        if not len(self._sum):
            self._sum = np.zeros(len(given))
        if not others or observation.target not in observation.client_deltas:
            return  # a round without the target, or with nobody else, says nothing
        null = torch.stack(others)
        apart = given.log_odds(observation) - null.mean(0)
        if len(others) > 1:
            apart /= null.std(0) + null.std(0).mean()  # few clients: deviations of many candidates
        self._sum += apart.numpy()

    def answer(self) -> np.ndarray:
        """[N] the sum."""
        return centred(self._sum)
