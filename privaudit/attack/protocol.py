"""The attack protocol, in the manner of scikit-learn's out-of-core estimators.

A federation may run for thousands of rounds of millions of parameters, so an attack is handed one
round at a time and keeps what it needs: ``partial_fit`` for every round, then ``score`` once.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, ClassVar, Self

import numpy as np

from privaudit.attack.adversary import Adversary, ShadowRound
from privaudit.engine.layout import Layout
from privaudit.engine.process import KeptMemory
from privaudit.errors import UserError, unknown_name
from privaudit.observation.views import Observation, ParticipantView
from privaudit.randomness import Seed


class Attack(ABC):
    """Tells from observations in which rounds the target's records had a property.

    A subclass sets the class attributes, takes ``seed`` and its options as keyword arguments, and
    registers in the entry-point group ``privaudit.attacks``.

    Attributes:
        name: what a scenario calls it.
        source: where the method was published, or what is new.
        view: the least the attack needs to see.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    view: ClassVar[type[ParticipantView]] = ParticipantView

    def __init__(self, *, seed: Seed) -> None:
        self.seed = seed

    @abstractmethod
    def partial_fit(self, observation: Observation, shadow: ShadowRound, layout: Layout) -> Self:
        """Take in one round: what was seen, and what would have been seen with known labels.

        Called once per round, in order. Must not change its arguments.
        """

    @abstractmethod
    def score(self) -> np.ndarray:
        """[T] float64, one per round taken in, in order: higher = property more likely present.

        Zero is the attack's own decision threshold.
        """

    def fit(self, view: ParticipantView, adversary: Adversary) -> Self:
        """Take in every round of a view."""
        fit_together([self], view, adversary)
        return self


def fit_together(attacks: Iterable[Attack], view: ParticipantView, adversary: Adversary) -> None:
    """Fit several attacks on the same view; the shadows of each round are computed once for all."""
    (error,) = fit_in_step([Listening(view, adversary, tuple(attacks))])
    if error is not None:
        raise error


FAILURES = (ArithmeticError, RuntimeError, ValueError, MemoryError)
"""What an attack may end with on data it cannot handle; anything else is a bug and not caught."""


@dataclass(frozen=True, eq=False)
class Listening:
    """Attacks on one view, by an adversary who knows the rules of that federation."""

    view: ParticipantView
    adversary: Adversary
    attacks: tuple[Attack, ...]


def fit_in_step(listenings: Sequence[Listening]) -> list[Exception | None]:
    """Fit attacks on several views, round by round through all of them.

    Adversaries that are one (:meth:`Adversary.among`) compute the shadows of a round once for all
    views of the same parameters.

    Returns:
        For each the error that ended it (one of :data:`FAILURES`), or None; the others go on.
    """
    errors: list[Exception | None] = [None] * len(listenings)
    memory = KeptMemory()
    for observations in zip_longest(*(listening.view for listening in listenings)):
        for number, (listening, observation) in enumerate(
            zip(listenings, observations, strict=True)
        ):
            if observation is None or errors[number] is not None:
                continue
            try:
                shadow = listening.adversary.shadow(observation)
                for attack in listening.attacks:
                    attack.partial_fit(observation, shadow, listening.adversary.layout)
            except FAILURES as error:
                errors[number] = error
        memory.after_round()
    return errors


def check_whole_number(name: str, value: object, *, at_least: int) -> None:
    """For constructors of attacks: refuse an option that is not a whole number in range.

    Raises:
        ValueError: names the option, its range and the value.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise ValueError(f"{name} must be a whole number of at least {at_least}, got {value!r}")


def make_attack(attack_class: type[Attack], options: Mapping[str, Any], seed: Seed) -> Attack:
    """An attack with the options of a scenario.

    Raises:
        UserError: an option it does not have, or a value it refuses.
    """
    taken = [name for name in inspect.signature(attack_class).parameters if name != "seed"]
    for name in options:
        if name not in taken:
            raise unknown_name("option", name, taken, where=f"attacks.{attack_class.name}")
    try:
        return attack_class(seed=seed, **options)
    except (TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(str(error), where=f"attacks.{attack_class.name}") from error
