"""The registry: somebody else's broken package is one line, not a traceback."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import Field

from privaudit.attack import registry
from privaudit.attack.protocol import Attack, make_attack, options_of_attack
from privaudit.attack.registry import GROUP, load_attack, registered, source_of
from privaudit.errors import UserError
from privaudit.inventory import inventory
from privaudit.options import Options, Setting
from privaudit.randomness import Seed
from privaudit_attacks.linear import LinearDelta


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Registered: one of ours, some that cannot be imported, some that are no proper attack."""
    module = ModuleType("odd_attacks")
    module.number, module.function, module.Other = 3, lambda: None, type("Other", (), {})
    module.Renamed = type("Renamed", (LinearDelta,), {"name": "linear"})
    module.Nameless = type("Nameless", (Attack,), {"score": None, "partial_fit": None})
    module.Half = type("Half", (Attack,), {"name": "half", "score": None})
    module.Blind = type("Blind", (LinearDelta,), {"name": "blind", "view": "participant"})
    module.Free = type("Free", (LinearDelta,), {"name": "free", "Options": {"width": 3}})
    monkeypatch.setitem(sys.modules, "odd_attacks", module)
    (tmp_path / "leaving.py").write_text("raise SystemExit(0)")
    monkeypatch.syspath_prepend(str(tmp_path))
    values = {
        "absent": "no_such_module_anywhere:Attack",
        "nameless": "odd_attacks:Missing",
        "number": "odd_attacks:number",
        "function": "odd_attacks:function",
        "other": "odd_attacks:Other",
        "renamed": "odd_attacks:Renamed",
        "anonymous": "odd_attacks:Nameless",
        "half": "odd_attacks:Half",
        "blind": "odd_attacks:Blind",
        "free": "odd_attacks:Free",
        "leaves": "leaving:Attack",
        "linear": "privaudit_attacks.linear:LinearDelta",
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
        ("renamed", "has the class attribute name = 'linear', not the registered name"),
        ("anonymous", "name = None"),
        ("half", "does not implement partial_fit"),
        ("blind", "needs the view 'participant', which there is not"),
        ("free", "has Options that are no subclass of privaudit.options.Options"),
        ("leaves", "cannot be imported: SystemExit: 0"),
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


@pytest.mark.usefixtures("rivals")
@pytest.mark.parametrize("name", ["mine", "linear"])
def test_a_name_that_two_distributions_registered_is_nobodys(name: str) -> None:
    """Also one of ours; whichever comes first on the path."""
    for asked in (load_attack, source_of):
        with pytest.raises(UserError) as caught:
            asked(name)
        said = str(caught.value)
        assert f"attack '{name}' is registered 2 times: by " in said
        assert "rival-attacks (rival_attacks:Rival)" in said
        assert "honest-attacks (" in said or "privaudit (privaudit_attacks." in said
        assert "uninstall all but one of them" in said
    rows = {row["name"]: row for row in inventory(None)["attacks"]}
    assert "is registered 2 times" in rows[name]["source"]
    assert rows[name]["from"].endswith("rival-attacks")
    assert rows["magnitude-stack"]["view"] == "participant", "the others are as ever"


@pytest.fixture(params=["before", "after"])
def rivals(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two distributions that call an attack ``mine``; one of them has a ``linear``, too."""
    for name, lines in (
        ("honest", "mine = honest_attacks:Mine"),
        ("rival", "mine = rival_attacks:Rival\nlinear = rival_attacks:Rival"),
    ):
        info = tmp_path / f"{name}_attacks-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}-attacks\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}\n")
    here = str(tmp_path)
    monkeypatch.setattr(
        sys, "path", [here, *sys.path] if request.param == "before" else [*sys.path, here]
    )


def test_names_are_sorted_and_an_unknown_one_is_answered_with_the_nearest() -> None:
    assert list(registered()) == sorted(registered())
    with pytest.raises(UserError, match="unknown attack 'linaer'; did you mean 'linear'"):
        load_attack("linaer")


class WidthOptions(Options):
    width: int = Field(3, ge=1, description="how wide, at least 1")


class Declared(Attack):
    """An attack that declares its option."""

    name, source = "declared", "made up"
    Options = WidthOptions

    def partial_fit(self, observation, shadow, layout):  # type: ignore[no-untyped-def]
        return self

    def score(self):  # type: ignore[no-untyped-def]
        raise NotImplementedError


class Plain(Declared):
    """One whose constructor has an argument and checks it: an option as well."""

    name = "plain"

    def __init__(self, *, seed: Seed, height: float = 1.0) -> None:
        super().__init__(seed=seed)
        if height < 0:
            raise ValueError(f"height must not be negative, got {height}")
        self.height = height


class Both(Declared):
    """One with both."""

    name = "both"

    def __init__(self, *, seed: Seed, depth: int, **options: Any) -> None:
        super().__init__(seed=seed, **options)
        self.depth = depth


def test_options_reach_the_attack() -> None:
    assert make_attack(Declared, {"width": 5}, Seed(1)).options.width == 5
    assert make_attack(Declared, {}, Seed(1)).options.width == 3
    assert Declared(seed=Seed(1), width=4).options.width == 4
    assert make_attack(Plain, {"height": 2.0}, Seed(1)).height == 2.0
    both = make_attack(Both, {"depth": 1, "width": 2}, Seed(1))
    assert (both.depth, both.options.width) == (1, 2)


def test_what_can_be_set_is_described() -> None:
    [width] = options_of_attack(Declared)
    assert width == Setting("width", False, 3, "how wide, at least 1")
    assert options_of_attack(Plain) == [Setting("height", False, 1.0)]
    assert options_of_attack(Both) == [Setting("depth", True), width]


@pytest.mark.parametrize(
    ("attack", "options", "message"),
    [
        (Declared, {"widht": 5}, "attacks.declared: unknown option 'widht'; did you mean 'width'"),
        (Declared, {"seed": 5}, "unknown option 'seed'"),
        (Declared, {"width": 0}, "attacks.declared: option 'width' = 0: .*; allowed: how wide, at"),
        (Declared, {"width": True}, "'width' = True: input should be a valid integer"),
        (Declared, {"width": 2.0}, "'width' = 2.0: input should be a valid integer"),
        (Plain, {"width": 5}, "attacks.plain: unknown option 'width'"),
        (Plain, {"seed": 5}, "unknown option 'seed'"),
        (Plain, {"height": -1.0}, "attacks.plain: height must not be negative, got -1.0"),
        (Both, {}, "attacks.both: .*missing.*'depth'"),
        (Both, {"depth": 1, "width": 0}, "attacks.both: option 'width' = 0"),
    ],
)
def test_bad_options_are_refused(
    attack: type[Attack], options: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make_attack(attack, options, Seed(1))


@pytest.mark.parametrize("name", registered())
def test_every_option_says_what_it_is(name: str) -> None:
    for option in options_of_attack(load_attack(name)):
        assert option.description, f"{name}.{option.name}"
