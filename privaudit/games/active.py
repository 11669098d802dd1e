"""A participant who does not only listen: what it sends makes the model show the property.

L. Melis et al., "Exploiting Unintended Feature Leakage in Collaborative Learning", IEEE S&P 2019,
section IV-E: the adversary adds a head for the property to the last shared representation and sends
what lowers (1 - alpha) times the loss of the main task and alpha times that of the head. The honest
clients then move in a model that tells records with the property from those without.

Where this goes another way:

- Their released code never trains the head. Here it is fitted anew in each round, to the
  representations of the adversary's own records at the parameters of that round.
- The head's batches are drawn half with and half without the property, so that a rare one counts;
  the main task keeps the records that the adversary drew as an ordinary client.
- ``boost`` multiplies what is sent, as an average over K clients leaves 1/K of it (E. Bagdasaryan
  et al., AISTATS 2020, section 4.2, call K times a model replacement). 1 = as in the paper.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from privaudit.attack.adversary import AuxiliaryData, draw_batch
from privaudit.engine.engine import Engine, LocalUpdate, Samples
from privaudit.errors import UserError
from privaudit.federation.rounds import ClientWork, LocalTraining
from privaudit.models.last_layer import (
    check_trained_before,
    dense_layer,
    last_dense_layer,
    with_layer,
)
from privaudit.randomness import Seed

HEAD_RECORDS = 512
"""Own records that the head is fitted to in a round, half of them with the property."""


class ActiveParticipant:
    """An adversary that trains on the joint loss of main task and property.

    It is given what it owns and what everybody knows; no truth.

    Args:
        engine: over a model of its own.
        auxiliary: n own records with their property; some must have it and some not.
        records: [n] increasing indices of these records, as batches name them.
        training: learning rate and momentum of a client.
        alpha: weight of the property in the loss, in [0, 1); with 0 it is an ordinary client.
        boost: what is sent is multiplied by this, at least 1.
        seed: its stream.

    Raises:
        UserError: the model does not end with a dense layer, begins with it, or cannot have
            another in its place.
    """

    def __init__(
        self,
        engine: Engine,
        auxiliary: AuxiliaryData,
        records: np.ndarray,
        training: LocalTraining,
        *,
        alpha: float,
        boost: float = 1.0,
        seed: Seed,
    ) -> None:
        self._engine, self._records, self._training = engine, records, training
        self._samples, self._present = auxiliary.samples, auxiliary.present
        self._alpha, self._boost, self._seed = alpha, boost, seed
        two = Samples(self._samples.inputs[:2], self._samples.labels[:2])
        inputs, _ = two.batch(np.arange(len(two)), engine.device)
        without = "leave audit.alpha unset"
        self._last = last_dense_layer(engine.model, inputs, without=without)
        check_trained_before(engine.model, self._last)
        width = dense_layer(engine.model, self._last).in_features
        self._body = self._with(nn.Identity())
        """The model up to the last shared representation."""
        self._headed = self._with(nn.utils.skip_init(nn.Linear, width, 2))
        """The model with the head in the place of its last layer."""
        self._try_on(two, width)

    def send(self, number: int, before: Tensor, work: ClientWork, honest: LocalUpdate) -> Tensor:
        """The [P] delta of a round, before the defences: as many steps as an honest one."""
        head = self._head(before, number) if self._alpha else None
        if head is None:
            return honest.delta * self._boost if self._boost != 1 else honest.delta
        parameters, velocity = before.clone(), torch.zeros_like(before)
        for step, batch in enumerate(work.batches):
            seed = self._seed.child("round", number, "step", step)
            own = np.searchsorted(self._records, batch)
            slope = self._slope(parameters, own, head, seed)
            velocity = velocity.mul_(self._training.momentum).add_(slope)
            parameters.sub_(velocity, alpha=self._training.lr)
        return (parameters - before) * self._boost

    def _slope(self, parameters: Tensor, own: np.ndarray, head: Tensor, seed: Seed) -> Tensor:
        """[P] gradient of the joint loss; ``head`` [2 (h + 1)] are the head's parameters."""
        main = self._engine.gradients(parameters, self._samples, [own], seed)[0]
        drawn = draw_batch(0.5, len(own), self._pools, seed.generator("draw"))
        headed = self._headed
        full = torch.empty(headed.layout.size)
        for here, there in self._shared:
            full[there] = parameters[here]
        full[self._of_head] = head
        of_property = headed.gradients(full, self._by_property, [drawn], seed.child("property"))[0]
        slope = main.mul_(1 - self._alpha)
        for here, there in self._shared:
            slope[here] += self._alpha * of_property[there]
        return slope

    def _head(self, before: Tensor, number: int) -> Tensor | None:
        """Weights and offsets of the head, fitted at ``before``; None where numbers left them."""
        # Here, as every process would wait a second for them and few play this game.
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        rng = self._seed.generator("round", number, "head")
        chosen = draw_batch(0.5, min(HEAD_RECORDS, len(self._present)), self._pools, rng)
        some = self._samples.chosen(chosen)
        shown = self._body.outputs(self._cut(before), some).double().numpy()
        if not np.isfinite(shown).all():
            return None
        fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        fitted.fit(shown, self._present[chosen])
        scale, regression = fitted[0], fitted[1]
        weights = regression.coef_[0] / scale.scale_
        offset = regression.intercept_[0] - weights @ scale.mean_
        # Half of the log odds for one class and half against the other.
        rows = np.concatenate([-weights, weights, [-offset, offset]]) / 2
        return torch.from_numpy(rows).float()

    def _cut(self, parameters: Tensor) -> Tensor:
        """Those before the last layer, in the order of the body."""
        here = {s.name: slice(s.start, s.stop) for s in self._engine.layout.slices}
        return torch.cat([parameters[here[s.name]] for s in self._body.layout.slices])

    def _with(self, layer: nn.Module) -> Engine:
        """The model with another last layer."""
        return Engine(with_layer(self._engine.model, self._last, layer), str(self._engine.device))

    def _try_on(self, two: Samples, width: int) -> None:
        """A model may do more with its last layer than call it."""
        wanted = {self._body: (len(two), width), self._headed: (len(two), 2)}
        try:
            fits = all(e.outputs(e.initial, two).shape == shape for e, shape in wanted.items())
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError):
            fits = False
        if not fits:
            raise UserError(
                f"{type(self._engine.model).__name__} cannot have another last layer than "
                f"'{self._last}'",
                where="model",
                remedy="let its forward end with a call of that layer, or leave audit.alpha unset",
            )

    @cached_property
    def _shared(self) -> list[tuple[slice, slice]]:
        """Where what is shared lies in the parameters of the model, and of that with the head."""
        here = {s.name: slice(s.start, s.stop) for s in self._engine.layout.slices}
        there = {s.name: slice(s.start, s.stop) for s in self._headed.layout.slices}
        return [(here[s.name], there[s.name]) for s in self._body.layout.slices]

    @cached_property
    def _of_head(self) -> slice:
        """Where the head lies: its weights, then its offsets."""
        weights, offsets = (
            next(s for s in self._headed.layout.slices if s.name == f"{self._last}.{name}")
            for name in ("weight", "bias")
        )
        assert weights.stop == offsets.start
        return slice(weights.start, offsets.stop)

    @cached_property
    def _by_property(self) -> Samples:
        labels = torch.from_numpy((self._present == 1).astype(np.int64))
        return Samples(self._samples.inputs, labels)

    @cached_property
    def _pools(self) -> dict[str, np.ndarray]:
        return {
            "present": np.flatnonzero(self._present == 1),
            "absent": np.flatnonzero(self._present == 0),
        }
