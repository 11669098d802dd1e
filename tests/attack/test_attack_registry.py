"""The registry: somebody else's broken package is one line, not a traceback."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from privaudit.attack import registry
from privaudit.attack.protocol import Attack, check_whole_number, make_attack
from privaudit.attack.registry import GROUP, load_attack, registered
from privaudit.errors import UserError
from privaudit.inventory import inventory
from privaudit.randomness import Seed


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registered: one of ours, two that cannot be imported, three that are no attack."""
    module = ModuleType("odd_attacks")
    module.number, module.function, module.Other = 3, lambda: None, type("Other", (), {})
    monkeypatch.setitem(sys.modules, "odd_attacks", module)
    values = {
        "absent": "no_such_module_anywhere:Attack",
        "nameless": "odd_attacks:Missing",
        "number": "odd_attacks:number",
        "function": "odd_attacks:function",
        "other": "odd_attacks:Other",
        "linear": "attacks.linear:LinearDelta",
    }
    points = [EntryPoint(name, value, GROUP) for name, value in values.items()]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "cannot be imported: ModuleNotFoundError.*no_such_module_anywhere"),
        ("nameless", "cannot be imported: AttributeError"),
        ("number", "is not an Attack class"),
        ("function", "is not an Attack class"),
        ("other", "is not an Attack class"),
    ],
)
def test_a_broken_attack_is_one_line(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_attack(name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("crowd")
def test_the_list_shows_broken_ones_beside_the_others() -> None:
    rows = {row["name"]: row for row in inventory(None)["attacks"]}
    assert rows["absent"]["source"].startswith("broken: ")
    assert rows["linear"]["view"] == "participant"


def test_names_are_sorted_and_an_unknown_one_is_answered_with_the_nearest() -> None:
    assert list(registered()) == sorted(registered())
    with pytest.raises(UserError, match="unknown attack 'linaer'; did you mean 'linear'"):
        load_attack("linaer")


class Optional(Attack):
    """An attack with one option."""

    name, source = "optional", "made up"

    def __init__(self, *, seed: Seed, width: int = 3) -> None:
        super().__init__(seed=seed)
        check_whole_number("width", width, at_least=1)
        self.width = width

    def partial_fit(self, observation, shadow, layout):  # type: ignore[no-untyped-def]
        return self

    def score(self):  # type: ignore[no-untyped-def]
        raise NotImplementedError


def test_options_reach_the_constructor() -> None:
    assert make_attack(Optional, {"width": 5}, Seed(1)).width == 5
    assert make_attack(Optional, {}, Seed(1)).width == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widht": 5}, "attacks.optional: unknown option 'widht'; did you mean 'width'"),
        ({"seed": 5}, "unknown option 'seed'"),
        ({"width": 0}, "width must be a whole number of at least 1, got 0"),
        ({"width": True}, "got True"),
        ({"width": 2.0}, "got 2.0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_attack(Optional, options, Seed(1))
