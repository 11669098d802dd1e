"""Which layer leaks: how well the property is told from the coordinates of one layer alone.

By an adversary that learned from its own records. For each layer a ridge regression learns from
labelled aggregates of the adversary's shadows (:mod:`.adversary`), made at the very parameters of
the rounds, and scores what was observed in each round. No label of an audited round is looked at:
what learns from the labelled rounds of a run recognises the target's two finite pools of records
and tells a coin flip from one layer at an AUC of .97 (2,000 rows, K = 5). Another run's labelled
rounds are no help either, for its hidden units are others.

It looks at the order of magnitude of every coordinate of the observed signal, which says what the
records of the round switched on (docs/attacks.md), centred in each round by that round's shadows. A
layer of more than its share of :data:`MOST_COORDINATES` is represented by that many, evenly spaced.

It listens beside the attacks, so that the shadows of a round are computed once for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from privaudit.attack.adversary import Adversary
from privaudit.attack.protocol import GameAttack
from privaudit.attack.scoring import Wanted
from privaudit.engine.layout import Layout
from privaudit.observation.views import Observation
from privaudit.randomness import Seed

ALL = "all layers"
"""All layers together; no module has a space in its name."""

POWER = 0.05
"""|x|^0.05 is close to log |x|, and finite at zero."""

RIDGE = 1.0
"""Strength of the ridge, in mean eigenvalues of the kernel; fixed, so that nothing is chosen."""

MOST_COORDINATES, LEAST_COORDINATES = 65_536, 64
"""In all layers together; in each layer at least."""

MOST_EXAMPLES = 640
"""Labelled aggregates to learn from, of evenly spaced rounds: more would be held in memory."""

CHUNK = 8192
"""Coordinates whose products are added up at a time."""

DIGITS = 6
"""Of a score; the last bits depend on how many threads added them up."""


Signal = list[tuple[str, list[float] | None]]
"""Each layer with [T] scores, the last for :data:`ALL` of them; None where the signal is not
finite."""


@dataclass(frozen=True, eq=False)
class AskedByLayer:
    """What who listens to the layers is given besides observations.

    Attributes:
        adversary: of their federation: its records and its rules.
        rounds: of the federation.
    """

    adversary: Adversary
    rounds: int

    def checked(self, answer: object, rounds: int) -> Signal:
        """An answer as JSON takes it.

        Raises:
            ValueError, TypeError: it is none.
        """
        layers = list(sizes_of(self.adversary.layout))
        if not isinstance(answer, list) or [name for name, _ in answer] != layers:
            raise ValueError("not every layer, in its order")
        return [(name, None if s is None else _scores(s, rounds)) for name, s in answer]

    def prepare(self, observation: Observation) -> None:
        """What the model computes of a round for everybody who listens."""
        self.adversary.prepare(observation)


def _scores(values: list[float], rounds: int) -> list[float]:
    try:
        found = [round(float(value), DIGITS) for value in values]
    except OverflowError:  # an integer of hundreds of digits, for one
        found = []
    if len(found) != rounds or not all(map(math.isfinite, found)):
        raise ValueError("not one finite score for every round")
    return found


class SignalByLayer(GameAttack):
    """See the module. It is no attack that a scenario could name, but listens like one."""

    name = "signal by layer"
    source = "own: ridge regression on |delta|^0.05 of one layer"
    game = "property"

    def __init__(self, *, seed: Seed) -> None:
        super().__init__(seed=seed)
        self._picked: dict[str, np.ndarray] = {}
        self._finite, self._heard = True, 0
        self._seen: list[np.ndarray] = []
        self._examples: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []

    def listen(self, observation: Observation, given: AskedByLayer) -> None:
        """Keep the signal, and of some rounds the shadows, at the coordinates of all layers."""
        adversary, number = given.adversary, self._heard
        self._picked = self._picked or coordinates_of(adversary.layout)
        self._heard += 1
        if not self._finite:
            return
        every = np.concatenate(list(self._picked.values()))
        # Sums of some coordinates are those coordinates of sums, and few of them.
        shadow = adversary.shadow(observation).seen_through(lambda deltas: deltas[:, every])
        made, label = shadow.aggregates(self.seed.generator("aggregates", observation.round))
        own, theirs = _magnitudes(observation.signal.numpy()[every]), _magnitudes(made.numpy())
        self._finite = bool(np.isfinite(own).all() and np.isfinite(theirs).all())
        if not self._finite:
            self._seen, self._examples = [], []
            return
        centre = theirs.mean(axis=0)
        self._seen.append(own - centre)
        if number in _learned_rounds(given.rounds, 2 * adversary.shadows):
            self._examples.append(theirs - centre)
            self._labels.append(label)

    def answer(self) -> Signal:
        """Layer by layer."""
        if not self._finite:
            return [(name, None) for name in [*self._picked, ALL]]
        examples, seen = np.concatenate(self._examples), np.stack(self._seen)
        self._examples, self._seen = [], []  # attacks follow, and need the memory
        found = _scores_by_layer(examples, np.concatenate(self._labels), seen, self._picked)
        return [(name, scores.tolist()) for name, scores in found.items()]


def memory_of(layout: Layout, rounds: int, shadows: int) -> int:
    """Bytes at most, when it answers: what it kept, as it is and scaled."""
    sizes = sizes_of(layout)
    quota = max(LEAST_COORDINATES, MOST_COORDINATES // (len(sizes) - 1))
    coordinates = sum(min(size, quota) for layer, size in sizes.items() if layer != ALL)
    learned = 2 * shadows * len(_learned_rounds(rounds, 2 * shadows))
    return 4 * 3 * coordinates * (learned + rounds)


class Listening(Wanted):
    """One that listens to the layers, to be made where the attacks are."""

    def __init__(self, seed: Seed) -> None:
        super().__init__(SignalByLayer.name, {}, seed)

    def make(self) -> SignalByLayer:
        """See the class."""
        return SignalByLayer(seed=self.seed)


def signal_by_layer(
    rounds: Iterable[Observation], adversary: Adversary, *, count: int, seed: Seed
) -> dict[str, np.ndarray | None]:
    """Layer -> [T] scores, as :data:`Signal`, in this process.

    Args:
        rounds: T observations.
        adversary: of their federation: its records and its rules.
        count: T.
        seed: of the bystanders that are added to shadows.
    """
    listener, given = SignalByLayer(seed=seed), AskedByLayer(adversary, count)
    for observation in rounds:
        listener.listen(observation, given)
    return {name: None if s is None else np.asarray(s) for name, s in listener.answer()}


def _learned_rounds(count: int, per_round: int) -> frozenset[int]:
    """Which of the rounds are learned from: evenly spaced."""
    most = max(1, MOST_EXAMPLES // per_round)
    return frozenset(np.linspace(0, count - 1, min(count, most)).astype(int).tolist())


def _magnitudes(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(values) ** np.float32(POWER))


def _scores_by_layer(
    examples: np.ndarray, labels: np.ndarray, seen: np.ndarray, picked: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Layer -> [T] scores of a ridge regression on centred magnitudes.

    Args:
        examples: [n, D] shadow aggregates; scaled in place.
        labels: [n] bool.
        seen: [T, D] observed; scaled in place.
        picked: layer -> its columns, in their order.
    """
    spread = examples.std(axis=0)
    scale = np.where(spread > 0, spread, np.inf)  # what no shadow moves says nothing
    examples /= scale
    seen /= scale
    target = np.where(labels, 1.0, -1.0)
    edges = np.cumsum([0, *(len(part) for part in picked.values())])
    products: list[tuple[np.ndarray, np.ndarray]] = []
    found: dict[str, np.ndarray] = {}
    for name, start, stop in zip(picked, edges[:-1], edges[1:], strict=True):
        products.append(_products(examples[:, start:stop], seen[:, start:stop]))
        found[name] = _ridge(*products[-1], target)
    # As of all coordinates side by side.
    kernels, crosses = zip(*products, strict=True)
    found[ALL] = _ridge(np.sum(kernels, axis=0), np.sum(crosses, axis=0), target)
    return found


def _products(examples: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inner products of the examples with one another [n, n] and with the rounds [T, n]."""
    kernel = np.zeros((len(examples), len(examples)))
    cross = np.zeros((len(seen), len(examples)))
    for start in range(0, examples.shape[1], CHUNK):
        part = examples[:, start : start + CHUNK].astype(np.float64)
        kernel += part @ part.T
        cross += seen[:, start : start + CHUNK].astype(np.float64) @ part.T
    return kernel, cross


def _ridge(kernel: np.ndarray, cross: np.ndarray, target: np.ndarray) -> np.ndarray:
    strength = RIDGE * float(np.trace(kernel)) / len(kernel)
    if strength <= 0:  # the layer never moved
        return np.zeros(len(cross))
    weights = np.linalg.solve(kernel + strength * np.eye(len(kernel)), target - target.mean())
    return np.asarray(cross @ weights)


def coordinates_of(layout: Layout) -> dict[str, np.ndarray]:
    """Layer (a module: its weight, bias, ...) -> sorted indices that stand for it."""
    layers: dict[str, list[np.ndarray]] = {}
    for piece in layout.slices:
        name = piece.name.rpartition(".")[0] or piece.name
        layers.setdefault(name, []).append(np.arange(piece.start, piece.stop))
    quota = max(LEAST_COORDINATES, MOST_COORDINATES // len(layers))
    joined = {name: np.concatenate(parts) for name, parts in layers.items()}
    return {
        name: part[np.linspace(0, len(part) - 1, min(quota, len(part))).astype(np.int64)]
        for name, part in joined.items()
    }


def sizes_of(layout: Layout) -> dict[str, int]:
    """Layer -> how many parameters it has, and :data:`ALL` of them together."""
    sizes: dict[str, int] = {}
    for piece in layout.slices:
        name = piece.name.rpartition(".")[0] or piece.name
        sizes[name] = sizes.get(name, 0) + piece.stop - piece.start
    return sizes | {ALL: layout.size}
