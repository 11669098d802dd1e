"""One colour and one mark per attack, in every figure."""

from __future__ import annotations

import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from report_content import content, scenario

from privaudit.report.curves import auc_by_window
from privaudit.report.figures import NARROW, as_svg, auc_by_fraction
from privaudit.report.looks import ATTACKS, COLOURS, MARKS, look_of, numbered

ROOT = Path(__file__).resolve().parents[2]


def test_every_attack_of_this_repository_has_its_place() -> None:
    """A new one goes last in both lists: those before keep their colour."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert list(ATTACKS) == list(project["entry-points"]["privaudit.attacks"])


def test_no_two_look_alike() -> None:
    places = range(len(COLOURS) * len(MARKS))
    assert len({numbered(place) for place in places}) == len(places)
    assert len({look_of(attack) for attack in ATTACKS}) == len(ATTACKS)
    assert look_of("somebody's") == look_of("somebody's")


def marks(figure: Figure, attack: str) -> set[tuple[str, str]]:
    """Colour and mark of what bears an attack's name in a figure's panels."""
    found = set()
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        for handle, label in zip(handles, labels, strict=True):
            if label == attack:
                line = handle[0]  # type: ignore[index]
                found.add((to_hex(line.get_color()), line.get_marker()))
    return found


def test_figures_and_their_narrow_forms_use_it() -> None:
    """In another order of attacks, and with one of them alone."""
    for attacks in (["magnitude-stack", "linear"], ["linear"]):
        made = content(scenario(audit={"attacks": attacks}))
        for narrow in (False, True):
            drawn = (
                auc_by_fraction(made.cells, narrow=narrow),
                auc_by_window(made.records, made.cells, narrow=narrow),
            )
            for figure in drawn:
                assert figure is not None
                for attack in attacks:
                    assert marks(figure, attack) == {tuple(look_of(attack))}
                assert (figure.get_figwidth() <= NARROW) == narrow


def test_lines_are_named_beside_them_and_names_keep_apart() -> None:
    made = content(scenario(audit={"attacks": ["magnitude-stack", "linear", "melis-rf"]}))
    figure = auc_by_fraction(made.cells)
    assert figure is not None
    texts = {text.get_text(): text.get_position()[1] for text in figure.axes[-1].texts}
    assert set(texts) == {"magnitude-stack", "linear", "melis-rf"}
    heights = sorted(texts.values())
    assert all(b - a > 0.08 for a, b in pairwise(heights))
    assert not figure.legends


@pytest.mark.filterwarnings("error:constrained_layout not applied")
@pytest.mark.parametrize("narrow", [False, True])
def test_many_names_leave_room_for_the_panel_and_lie_within_the_figure(narrow: bool) -> None:
    many = {"participants": [2, 3, 5, 9, 17, 33, 65, 100], "fractions": [1.0]}
    made = content(scenario(audit=many | {"attacks": ["melis-rf", "magnitude-stack"]}))
    figure = auc_by_fraction(made.cells, narrow=narrow)
    assert figure is not None
    as_svg(figure)
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 16
    box, page = legend.get_window_extent(), figure.bbox
    assert page.x0 <= box.x0
    assert box.x1 <= page.x1
    assert figure.axes[0].get_window_extent().height > 0.3 * page.height
