"""Scores of several attacks on several views, where any of them may fail in any way.

Attacks and models are other people's code. What one of them ends with - an exception of any type,
``SystemExit``, a recursion without end, scores that are none - is that attack's failure, named and
with its traceback; the others go on.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Protocol

from privaudit.attack.protocol import GameAttack, make_attack
from privaudit.attack.registry import load_attack
from privaudit.engine.process import KeptMemory
from privaudit.errors import failure_of_others
from privaudit.observation.public import Seen
from privaudit.randomness import Seed

MODEL = ""
"""Stands for the model where an attack's name is asked for: shadows are computed by it."""


@dataclass(frozen=True)
class Failure:
    """Why there are no scores: one line that names the attack or the model, and the traceback."""

    reason: str
    traceback: str = ""


Scores = list[Any] | Failure
"""What an attack answered: of most games finite numbers, one per unit (a round, a candidate), of
reconstruction the records of each round (:mod:`.answers`). Or why there is no answer."""


@dataclass(frozen=True)
class Wanted:
    """An attack to make: the name it is registered under, its options, its stream."""

    name: str
    options: Mapping[str, Any]
    seed: Seed

    def make(self) -> GameAttack:
        """A new one.

        Raises:
            UserError: there is none of that name, or it does not take the options.
        """
        return make_attack(load_attack(self.name), self.options, self.seed)


class Given(Protocol):
    """What a game gives an adversary besides observations: rules, own records, what is asked."""

    def checked(self, answer: object, rounds: int) -> list[Any]:
        """An answer as JSON takes it, in the form the game asks for.

        Raises:
            ValueError, TypeError: it is none.
        """

    def prepare(self, observation: Any) -> None:
        """Compute what the model says of a round, for all attacks: where it fails, all have."""


@dataclass(frozen=True, eq=False)
class Hearing:
    """Attacks that listen to one view, and what their game gives an adversary besides."""

    given: Given
    attacks: tuple[Wanted, ...]


def score_in_step(
    hearings: Sequence[Hearing],
    rounds: Iterable[Sequence[Seen | None]],
    at: Callable[[str], None] = lambda name: None,
) -> list[dict[str, Scores]]:
    """Hand every round of every view to its attacks, then ask each for its scores.

    Adversaries that are one (:meth:`Adversary.among`) compute the shadows of a round once for all
    views of the same parameters.

    Args:
        hearings: one per view.
        rounds: for each round what is seen of it in each view; None where that view is over.
        at: told whose code runs next: an attack's name, or :data:`MODEL`.

    Returns:
        For each hearing, attack -> scores, or why there are none.
    """
    listeners = [_Listener(hearing, at) for hearing in hearings]
    memory = KeptMemory()
    for observations in rounds:
        for listener, observation in zip(listeners, observations, strict=True):
            if observation is not None:
                listener.hear(observation)
        memory.after_round()
    return [listener.scores() for listener in listeners]


def in_step(views: Sequence[Iterable[Seen]]) -> Iterable[tuple[Seen | None, ...]]:
    """Round by round through all views: what :func:`score_in_step` takes.

    A view that is there several times is read once.
    """
    apart = {id(view): view for view in views}
    places = [list(apart).index(id(view)) for view in views]
    for seen in zip_longest(*apart.values()):
        yield tuple(seen[place] for place in places)


@dataclass(eq=False)
class _Listener:
    """The attacks of one hearing that have not failed, and those that have."""

    hearing: Hearing
    at: Callable[[str], None]
    attacks: dict[str, GameAttack] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)
    rounds: int = 0

    def __post_init__(self) -> None:
        for wanted in self.hearing.attacks:
            with _Guard(self, wanted.name):
                self.attacks[wanted.name] = wanted.make()

    def hear(self, observation: Seen) -> None:
        self.rounds += 1
        given = self.hearing.given
        if self.attacks:
            with _Guard(self, MODEL):
                given.prepare(observation)
        for name, attack in list(self.attacks.items()):
            with _Guard(self, name):
                attack.listen(observation, given)

    def scores(self) -> dict[str, Scores]:
        found: dict[str, Scores] = {}
        for name, attack in list(self.attacks.items()):
            with _Guard(self, name):
                found[name] = self.hearing.given.checked(attack.answer(), self.rounds)
        found |= self.failed
        return {wanted.name: found[wanted.name] for wanted in self.hearing.attacks}


class _Guard:
    """Around a call of other people's code: what it raises becomes a failure of its name."""

    def __init__(self, listener: _Listener, name: str) -> None:
        self._listener, self._name = listener, name

    def __enter__(self) -> None:
        self._listener.at(self._name)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is None:
            return False
        failure = failure_of(self._name, error)
        listener = self._listener
        for name in [self._name] if self._name != MODEL else list(listener.attacks):
            listener.failed[name] = failure
            listener.attacks.pop(name, None)
        return True


def failure_of(name: str, error: BaseException) -> Failure:
    """The failure of an attack (or of the model, :data:`MODEL`) that ended with this exception.

    Raises:
        KeyboardInterrupt: it was one.
    """
    reason = f"{called(name)} failed: {failure_of_others(error)}"
    return Failure(reason, "".join(traceback.format_exception(error)))


def called(name: str) -> str:
    """How a sentence begins about an attack, or about the model."""
    return f"attack '{name}'" if name != MODEL else "the model"
