"""The attack protocol, in the manner of scikit-learn's out-of-core estimators.

A federation may run for thousands of rounds of millions of parameters, so an attack is handed one
round at a time and keeps what it needs: ``partial_fit`` for every round, then ``score`` once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from privaudit.attack.adversary import Adversary, ShadowRound
from privaudit.engine.layout import Layout
from privaudit.engine.process import KeptMemory
from privaudit.errors import UserError, unknown_name
from privaudit.observation.views import Observation, OutsiderView, ParticipantView
from privaudit.options import Options as AnyOptions
from privaudit.options import Setting, arguments_of, parse_options
from privaudit.randomness import Seed


class GameAttack(ABC):
    """Answers the question of a game from what an adversary observes.

    A subclass sets the class attributes and registers in the entry-point group
    ``privaudit.attacks``. One with options declares their type as ``Options`` and hands what its
    constructor is given to this one, ``super().__init__(seed=seed, **options)``, which checks them.
    Plain keyword arguments of a constructor are options, too; then it checks them itself.

    Attributes:
        name: what a scenario calls it.
        source: where the method was published, or what is new.
        game: whose question it answers.
        view: the least the attack needs to see.
        Options: type of its options, each with default, range and description.
        options: those of this attack, of that type.

    Args:
        seed: stream of all that is drawn.
        options: fields of ``Options``.

    Raises:
        UserError: an option it does not have, or a value outside its range.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    game: ClassVar[str]
    view: ClassVar[type[OutsiderView]] = ParticipantView
    Options: ClassVar[type[AnyOptions]] = AnyOptions
    options: Any

    def __init__(self, *, seed: Seed, **options: Any) -> None:
        self.seed = seed
        self.options = parse_options(self.Options, options, where=_where(type(self)))

    @abstractmethod
    def listen(self, observation: Any, given: Any) -> None:
        """Take in one round as its view shows it, with what the game gives an adversary besides."""

    @abstractmethod
    def answer(self) -> Any:
        """What the game asks for: mostly float64 scores, one per unit, higher = more likely."""


class Attack(GameAttack):
    """Tells from observations in which rounds the target's records had a property."""

    game = "property"

    def listen(self, observation: Observation, given: Adversary) -> None:
        """One round with the adversary's shadows of it."""
        self.partial_fit(observation, given.shadow(observation), given.layout)

    def answer(self) -> np.ndarray:
        """[T], one per round."""
        return self.score()

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


def fit_together(attacks: Iterable[GameAttack], view: ParticipantView, given: Any) -> None:
    """Have several attacks listen to the same view; what the model says is computed once for all.

    In this process, and what one of them raises ends them all: for tests and trials. Attacks that
    may fail are scored by :mod:`privaudit.attack.apart`.
    """
    fitted, memory = list(attacks), KeptMemory()
    for observation in view:
        for attack in fitted:
            attack.listen(observation, given)
        memory.after_round()


def options_of_attack(attack: type[GameAttack]) -> list[Setting]:
    """What a scenario may set of an attack."""
    return arguments_of(attack, attack.Options, without=["seed"])


Made = TypeVar("Made", bound=GameAttack)


def make_attack(attack_class: type[Made], options: Mapping[str, Any], seed: Seed) -> Made:
    """An attack with the options of a scenario.

    Raises:
        UserError: an option it does not have, or a value it refuses.
    """
    taken = [option.name for option in options_of_attack(attack_class)]
    for name in options:
        if name not in taken:
            raise unknown_name("option", name, taken, where=_where(attack_class))
    try:
        return attack_class(seed=seed, **options)
    except (TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(str(error), where=_where(attack_class)) from error


def _where(attack: type[GameAttack]) -> str:
    return f"attacks.{getattr(attack, 'name', attack.__name__)}"
