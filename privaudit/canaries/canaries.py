"""Canaries for a federation: what to add to a round, and what was heard of it.

A canary is a random direction of the length that clients are clipped to, drawn anew in each round
(fixed ones would disturb each other in the same way in every round); whether it is in, a coin
decides once for all rounds. They are made from seeds in blocks, so that memory does not grow with
their number: m·d numbers are drawn twice a round, to add them up and to score them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from privaudit.accounting.canary_bound import canaries_for, ceiling, chosen_guesses
from privaudit.accounting.gaussian import mu_of
from privaudit.canaries.reading import Reading, read_record
from privaudit.canaries.record import CanaryRecord
from privaudit.canaries.words import in_words
from privaudit.errors import UserError
from privaudit.randomness import Seed

COUNT = 1000
FEWEST, MOST = 20, 1_000_000
DELTA = 1e-5
BLOCK = 4_000_000
"""Numbers of canaries in memory at once."""

Carry = Callable[[Tensor, Seed], Tensor]
"""What the federation's defences, but for their noise, leave of a [d] delta."""


def check_canaries(
    count: int,
    guesses: int | None,
    claimed_epsilon: float | None,
    delta: float | None,
    clients: int | None,
) -> float:
    """Refuse what no audit can be made of; δ, which is 1e-5 unless it is given.

    Args:
        count: m.
        guesses: r; None = chosen from the claim.
        claimed_epsilon: of the claim; None = none.
        delta: of the claim.
        clients: n, of whom one more or less is hidden; None = not known.

    Raises:
        UserError: a number out of its range, a claim without δ, one that no bound can refute, or a
            δ of 1/n or more.
    """
    if not FEWEST <= count <= MOST:
        raise UserError(f"must be {FEWEST} to {MOST:,}, got {count}", where="canaries")
    if guesses is not None and not 1 <= guesses <= count:
        raise UserError(
            f"{guesses} guesses about {count} canaries", where="guesses", remedy=f"use 1 to {count}"
        )
    if claimed_epsilon is not None and delta is None:
        raise UserError(
            f"ε = {claimed_epsilon:g} is claimed at which δ?",
            where="claimed epsilon",
            remedy="give delta, too, e.g. 1e-5",
        )
    found = DELTA if delta is None else delta
    if not 0 < found < 1:
        raise UserError(f"must be in (0, 1), got {found:g}", where="delta")
    if clients is not None and found >= 1 / clients:
        raise UserError(
            f"{found:g} is not below 1/n for n = {clients} clients: publishing one of them as it "
            "is would be allowed",
            where="delta",
            remedy=f"use less than {1 / clients:.2g}, e.g. 1e-5",
        )
    if claimed_epsilon is not None:
        _check_claim(count, guesses, claimed_epsilon, found)
    return found


def _check_claim(count: int, guesses: int | None, epsilon: float, delta: float) -> None:
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise UserError(f"must be above 0 and finite, got {epsilon:g}", where="claimed epsilon")
    most = ceiling(guesses or count, count, delta)
    if most > epsilon:
        return
    needed = canaries_for(epsilon, delta)
    more = (
        "no number of canaries up to a million could"
        if needed is None
        else f"use --canaries {needed} or more, all guessed (--guesses {needed})"
        if needed > count
        else f"use more --guesses, up to {count}"
    )
    raise UserError(
        f"no bound from {guesses or count} guesses about {count} canaries can exceed "
        f"ε = {most:.2f} (all right), and {epsilon:g} is claimed",
        where="canaries",
        remedy=f"{more}; or leave the claim out, for the estimate alone",
    )


def guesses_for(count: int, claimed_epsilon: float | None, delta: float) -> int:
    """How many guesses to make, chosen from the claim: all of them where nothing is claimed."""
    if claimed_epsilon is None:
        return count
    chosen = chosen_guesses(count, mu_of(claimed_epsilon, delta), delta)
    return chosen if ceiling(chosen, count, delta) > claimed_epsilon else count


class Canaries:
    """m canaries and the coins that say which are in.

    Args:
        size: d, parameters of the model.
        clip_norm: C, the L2 norm that a client's contribution to a round is clipped to.
        count: m, 20 to 1,000,000.
        seed: of directions and coins.
        guesses: r, how many canaries to guess; None = chosen from the claim alone.
        claimed_epsilon: what the mechanism claims for one client more or less; None = nothing.
        delta: of the claim, in (0, 1).
        clients: how many are in the federation: δ must be below one over this.
        view: who reads.
        claim: where the claim is from; empty = from you, and refused where no bound can refute it.
        sampler: who is in a round.
        carry: what the federation leaves of a canary on its way; None = all of it.

    Raises:
        UserError: as :func:`check_canaries`; a size or a norm that is none.
    """

    def __init__(
        self,
        size: int,
        *,
        clip_norm: float,
        seed: Seed | int,
        count: int = COUNT,
        guesses: int | None = None,
        claimed_epsilon: float | None = None,
        delta: float | None = None,
        clients: int | None = None,
        view: str = "own loop",
        claim: str = "",
        sampler: str = "every client in every round",
        carry: Carry | None = None,
    ) -> None:
        if size < 1:
            raise UserError(f"must be at least 1, got {size}", where="size")
        if not (math.isfinite(clip_norm) and clip_norm > 0):
            raise UserError(
                f"must be above 0 and finite, got {clip_norm:g}: without a bound on what one "
                "client adds, no ε can be claimed",
                where="clip_norm",
            )
        stated = None if claim else claimed_epsilon
        self.delta = check_canaries(count, guesses, stated, delta, clients)
        self.size, self.clip_norm, self.count = size, clip_norm, count
        self._clients = clients
        self.claimed_epsilon = claimed_epsilon
        self.guesses = guesses or guesses_for(count, claimed_epsilon, self.delta)
        self._seed = seed if isinstance(seed, Seed) else Seed(seed)
        self._view, self._sampler, self._carry = view, sampler, carry
        self._claim = claim or ("stated" if claimed_epsilon is not None else "nothing claimed")
        self.inserted = self._seed.generator("coins").random(count) < 0.5
        self._scores = np.zeros(count)
        self._heard: list[int] = []
        self._spread = self._carried = 0.0

    def vectors(self, number: int) -> Iterator[Tensor]:
        """The canaries that are in, [d] each, as clients of round ``number`` would send them."""
        for first, block in self._blocks(number):
            for place in np.flatnonzero(self.inserted[first : first + len(block)]):
                yield block[place]

    def total(self, number: int) -> Tensor:
        """[d] their sum, after what the defences leave of each: to add to the sum of a round."""
        found = torch.zeros(self.size)
        for first, block in self._blocks(number):
            inside = np.flatnonzero(self.inserted[first : first + len(block)])
            if self._carry is None:
                found += block[torch.from_numpy(inside)].sum(0)
                continue
            for place in inside:
                found += self.carried(block[place], number, first + int(place))
        return found

    def carried(self, vector: Tensor, number: int, canary: int) -> Tensor:
        """What the defences leave of one canary."""
        if self._carry is None:
            return vector
        return self._carry(vector, self._seed.child("carried", number, canary))

    def hear(self, number: int, aggregate: Tensor, *, weight: float = 1.0) -> None:
        """Score what came out of round ``number``, once a round.

        Args:
            number: as given to :meth:`vectors` or :meth:`total`.
            aggregate: [d] what is released, canaries and noise in it.
            weight: of one client in it: 1 for a sum, 1/n for a mean of n.

        Raises:
            UserError: another size, values that are not finite, a round heard twice, or a weight
                of 0.
        """
        where = f"round {number}"
        if tuple(aggregate.shape) != (self.size,):
            raise UserError(
                f"the aggregate is {tuple(aggregate.shape)}, canaries are ({self.size},)",
                where=where,
                remedy="flatten all parameters into one vector, in the same order every time",
            )
        if number in self._heard:
            raise UserError("was heard before", where=where, remedy="number rounds apart")
        if not (math.isfinite(weight) and weight > 0):
            raise UserError(f"must be above 0 and finite, got {weight:g}", where="weight")
        heard = aggregate.detach().float().cpu() / (weight * self.clip_norm)
        if not bool(torch.isfinite(heard).all()):
            raise UserError(
                "the aggregate is not finite",
                where=where,
                remedy="the federation diverged; lower its learning rate or its noise",
            )
        self._heard.append(number)
        self._spread += float(heard.double().square().sum()) / self.size
        for first, block in self._blocks(number):
            last = first + len(block)
            self._scores[first:last] += (block @ heard).double().numpy() / self.clip_norm
            self._carried += self._own_scores(block, number, first)

    def hear_each(self, number: int, send: Callable[[Tensor, int], Tensor]) -> None:
        """Score round ``number`` as somebody sees it who is sent every client's delta by itself.

        Args:
            number: of the round.
            send: the [d] message of a client whose delta is this (zero, of one that is not in), and
                which canary it is.
        """
        self._heard.append(number)
        squares = 0.0
        for first, block in self._blocks(number):
            for place, vector in enumerate(block):
                canary = first + place
                inside = bool(self.inserted[canary])
                sent = send(vector if inside else torch.zeros_like(vector), canary).double()
                self._scores[canary] += float(sent @ vector.double()) / self.clip_norm**2
                squares += 0.0 if inside else float(sent @ sent)
            self._carried += self._own_scores(block, number, first)
        out = max(1, self.count - int(self.inserted.sum()))
        self._spread += squares / (out * self.size * self.clip_norm**2)

    def _own_scores(self, block: Tensor, number: int, first: int) -> float:
        """What the canaries that are in add to their own scores, summed."""
        inside = np.flatnonzero(self.inserted[first : first + len(block)])
        if self._carry is None:
            return float(len(inside))
        sent = (
            (block[place] @ self.carried(block[place], number, first + int(place)))
            for place in inside
        )
        return float(sum(map(float, sent)) / self.clip_norm**2)

    def record(self, *, noise: float | None = None) -> CanaryRecord:
        """What was heard of all rounds.

        Args:
            noise: variance that stated noise adds to a score, over all rounds; None = not stated.

        Raises:
            UserError: nothing was heard yet.
        """
        if not self._heard:
            raise UserError("no round was heard", where="canaries", remedy="call hear each round")
        return CanaryRecord(
            view=self._view,
            rounds=len(self._heard),
            size=self.size,
            clip_norm=self.clip_norm,
            guesses=self.guesses,
            delta=self.delta,
            claimed_epsilon=self.claimed_epsilon,
            claim=self._claim,
            sampler=self._sampler,
            clients=self._clients,
            inserted=self.inserted.tolist(),
            scores=self._scores.tolist(),
            carried=self._carried / max(1, int(self.inserted.sum())),
            spread=self._spread,
            noise=noise,
        )

    def table(self) -> str:
        """What :meth:`result` says, as a table with sentences below it."""
        return in_words([self.result()])

    def result(self) -> Reading:
        """Estimate, bound and verdict so far.

        Raises:
            UserError: nothing was heard, or fewer than two canaries are in, or out.
        """
        return read_record(self.record())

    def _blocks(self, number: int) -> Iterator[tuple[int, Tensor]]:
        """(number of its first canary, [b, d]) of round ``number``, block by block."""
        rows = max(1, min(self.count, BLOCK // self.size))
        for first in range(0, self.count, rows):
            stream = self._seed.torch_generator("directions", number, first)
            block = torch.randn(min(rows, self.count - first), self.size, generator=stream)
            block *= self.clip_norm / torch.linalg.vector_norm(block, dim=1, keepdim=True)
            yield first, block
