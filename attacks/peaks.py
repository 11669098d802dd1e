"""The published attack as a member: a forest on pooled absolute values of sums as they are.

The other members learn from stand-ins whose mean is turned into that of what was seen. Where the
adversary's own records are few, that mean is a rough one, and what the two are wrong in differs.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor

from privaudit.attack.adversary import ShadowRound
from privaudit.engine.layout import Layout
from privaudit.randomness import Seed

from .coordinates import moving
from .melis_rf import pooled, pooling
from .simulation import StandIns
from .stacking import MemberScores, cross_fitted

FEATURES = 2048
"""At most so many pooled values are looked at."""

BLIND = 2.0
"""What a forest weighs where no stand-in can say: it makes less than a ridge regression of what few
records are by chance. Twice that where it learned from sums as they are."""


class Forest:
    """Extremely randomised trees (P. Geurts, D. Ernst and L. Wehenkel, Mach. Learn. 2006).

    Args:
        trees: number of trees.
        seed: stream of the forests.
    """

    def __init__(self, trees: int, seed: Seed) -> None:
        self._trees, self._seed = trees, seed

    def __call__(self, rows: np.ndarray, present: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """[m] probabilities that ``asked`` [m, F] hold it, learned from ``rows`` [n, F]."""
        from sklearn import config_context  # slow: not where options are checked
        from sklearn.tree import ExtraTreeRegressor
        from sklearn.utils import check_random_state

        # The trees of scikit-learn's ExtraTreesRegressor, to the last bit: what it does around each
        # of them takes a fifth of its time where trees are small. Where labels are 0 and 1 their
        # means in leaves are shares, and the splits those of a classifier, which takes longer.
        seed = self._seed.child("forest", len(rows)).integer() % 2**32
        seeds = check_random_state(seed).randint(np.iinfo(np.int32).max, size=self._trees)
        known, new = (np.ascontiguousarray(one, np.float32) for one in (rows, asked))
        truth, found = present.astype(np.float64)[:, None], np.zeros(len(asked))
        with config_context(skip_parameter_validation=True):
            for own in seeds:
                tree = ExtraTreeRegressor(
                    max_features="sqrt", min_samples_leaf=2, random_state=int(own)
                )
                tree.fit(known, truth, check_input=False)
                found += tree.predict(new, check_input=False)
        return found / self._trees

    def member(
        self,
        learned: tuple[np.ndarray, np.ndarray],
        tested: tuple[np.ndarray, np.ndarray, np.ndarray],
        seen: np.ndarray,
        *,
        blind: float,
    ) -> MemberScores:
        """Learned from all rows, and scores of those held out.

        Args:
            learned: rows [n, F] and the truth about them [n].
            tested: rows [m, F], the truth about them [m] and their halves [m].
            seen: [T, F].
            blind: of the member.
        """
        rows, present, halves = tested
        scores = cross_fitted(
            lambda train, test: self(rows[train], present[train], rows[test]), halves
        )
        return scores.with_observed(self(*learned, seen), blind=blind)


class Peaks:
    """Gathers pooled values round by round, and makes a member of them.

    Args:
        layout: of the vectors.
        shown: [n, P] shadows of the first round; what moves in them is looked at.
        rows: about so many sums are kept.
        rng: which pooled values are looked at.
    """

    def __init__(self, layout: Layout, shown: Tensor, rows: int, rng: np.random.Generator) -> None:
        self._layout, self._limit = layout, rows
        self._chosen = moving(pooled(shown, layout), FEATURES, rng)
        self._learned: list[tuple[int, Tensor, np.ndarray]] = []
        self._tested: list[tuple[int, Tensor]] = []
        self._seen: list[Tensor] = []

    def add(
        self,
        shadow: ShadowRound,
        stand_ins: StandIns,
        seen: Tensor,
        kept: Collection[int],
        rng: np.random.Generator,
    ) -> None:
        """Take in a round.

        Args:
            shadow: of single clients [n, P].
            stand_ins: those that weigh members [m, P].
            seen: [1, P].
            kept: rounds whose stand-ins are held on to.
            rng: which bystanders are added up.
        """
        number = len(self._seen)
        looked, present = shadow.aggregates_seen_by(pooling(self._layout), self._layout, rng)
        self._learned.append((number, self._kept(looked), present))
        if sum(len(one[2]) for one in self._learned) > self._limit:
            self._learned = self._learned[::2]
        self._tested.append((number, self._pooled(stand_ins.rows)))
        self._tested = [one for one in self._tested if one[0] in kept]
        self._seen.append(self._pooled(seen))

    def member(self, forest: Forest, present: np.ndarray, halves: np.ndarray) -> MemberScores:
        """Scores of stand-ins in the order of rounds, and of what was seen.

        Args:
            forest: learns.
            present: [m] the truth about the stand-ins that weigh members.
            halves: [m] 0 or 1.
        """
        learned = _array([one[1] for one in self._learned])
        truth = np.concatenate([one[2] for one in self._learned])
        tested = _array([one[1] for one in self._tested])
        held_out = (tested, present, halves)
        seen = _array(self._seen)
        return forest.member((learned, truth), held_out, seen, blind=2 * BLIND)

    def _pooled(self, vectors: Tensor) -> Tensor:
        return self._kept(pooled(vectors, self._layout))

    def _kept(self, values: Tensor) -> Tensor:
        return values[:, self._chosen].bfloat16()


def _array(parts: list[Tensor]) -> np.ndarray:
    return torch.cat(parts).float().numpy()
