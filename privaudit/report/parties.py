"""A picture of the federation: who takes part, who listens, who is the target."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

from privaudit.report.drawings import Drawing
from privaudit.report.figures import INK, NARROW, PLAIN, QUIET
from privaudit.scenario.schema import NO_DEFENCE, Scenario

LISTENS, TARGET, COLLUDES, OTHER = "listens", "target", "colludes", ""
MOST_DRAWN, MOST_NARROW = 9, 5
"""Clients that have room; more are counted."""

RADIUS = 0.3
TITLE = "Who takes part, who listens, who is the target"


@dataclass(frozen=True)
class Parties:
    """The smallest federation of a run.

    Attributes:
        clients: of each client what it is: :data:`LISTENS`, :data:`TARGET`, :data:`COLLUDES` or
            :data:`OTHER`; of a public ledger nobody of them listens.
        server_listens: whether the server is the adversary.
        outsider: whether somebody reads the public ledger who takes no part.
        rotates: whether each honest client is the target in its turn.
        sent: what clients send, in a few words.
    """

    clients: tuple[str, ...]
    server_listens: bool
    outsider: bool
    rotates: bool
    sent: str


def picture(scenario: Scenario) -> Drawing:
    """The picture with its words, for the page of a run."""
    found = parties_of(scenario)
    return Drawing.of("federation", TITLE, in_words(found), federation, found)


def parties_of(scenario: Scenario) -> Parties:
    """Who is who, by the settings of a run."""
    audit, count = scenario.audit, min(scenario.participants)
    server = audit.threat_model == "server"
    outside = bool(scenario.public_ledger)
    inside = bool(audit.properties or scenario.membership or scenario.reconstruction)
    colluders = audit.colluding(count)
    who = [OTHER if server or not inside else LISTENS, TARGET]
    who += [COLLUDES] * colluders
    who += [OTHER] * (count - len(who))
    shares = sorted({100 * fraction for fraction in audit.fractions})
    sent = f"{' / '.join(f'{share:g}' for share in shares)} % of its update"
    named = [name for name in audit.defences if name != NO_DEFENCE]
    if len(audit.defences) == 1 and named:
        sent += f", behind {named[0]}"
    elif named:
        sent += f", behind {len(named)} defences in turn"
    return Parties(
        clients=tuple(who[:count]),
        server_listens=server and inside,
        outsider=outside,
        rotates=audit.targets == "rotate",
        sent=sent,
    )


def in_words(found: Parties) -> str:
    """The same for who does not see the picture."""
    count, colluders = len(found.clients), found.clients.count(COLLUDES)
    listeners = []
    if LISTENS in found.clients:
        listeners.append("client 0 listens")
    if found.server_listens:
        listeners.append("the server listens")
    if found.outsider:
        listeners.append("an outsider reads the public ledger")
    others = 0 if found.rotates else found.clients.count(OTHER)
    target = "each honest client is the target in its turn" if found.rotates else "client 1 is it"
    parts = [
        f"each of {count} clients sends {found.sent} to a server, which sends the average back",
        " and ".join(listeners) if listeners else "nobody listens",
        target.replace("is it", "is the target"),
        *([f"{colluders} collude with who listens"] if colluders else []),
        *([f"{others} other client{'s take' if others > 1 else ' takes'} part"] if others else []),
    ]
    return "; ".join(parts) + "."


@matplotlib.rc_context(PLAIN)
def federation(found: Parties, *, narrow: bool = False) -> Figure:
    """Server above, clients below; who listens has a second ring, the target is filled."""
    shown = _shown(found.clients, MOST_NARROW if narrow else MOST_DRAWN)
    left_out = len(found.clients) - len(shown)
    width = NARROW if narrow else 7.2
    figure = Figure(figsize=(width, 2.9), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_aspect("equal")
    columns = len(shown) + bool(left_out)
    step = (width - 0.5) / max(columns, 3)
    places = [(number - (columns - 1) / 2) * step for number in range(columns)]
    axes.set_xlim(-width / 2, width / 2)
    axes.set_ylim(-0.75, 2.1)
    _box(axes, (-0.6, 1.45), "server", found.server_listens)
    if found.outsider:
        _box(axes, (width / 2 - 1.5, 1.45), "public ledger", False)
        axes.text(width / 2 - 0.85, 1.22, "an outsider\nreads it", **_text())
        axes.plot([0.62, width / 2 - 1.52], [1.67, 1.67], color=QUIET, linewidth=1)
    for x, (number, what) in zip(places, shown, strict=False):
        top = max(-0.55, min(0.55, x * 0.35))
        axes.plot([top, x], [1.43, 0.5 + RADIUS], color=QUIET, linewidth=1)
        _client(axes, x, number, what, found.rotates)
    if left_out:
        axes.text(places[-1], 0.5, f"+ {left_out}\nmore", **_text())
    lines = textwrap.wrap(f"each sends {found.sent}", 34 if narrow else 70)
    axes.text(0, -0.45, "\n".join(lines), **_text())
    return figure


def _shown(clients: Sequence[str], most: int) -> list[tuple[int, str]]:
    """Those with a part first in what room there is, in the order of their numbers."""
    numbered = list(enumerate(clients))
    if len(numbered) <= most:
        return numbered
    return numbered[: most - 1]


def _client(axes: Axes, x: float, number: int, what: str, rotates: bool) -> None:
    target = what == TARGET or (rotates and what == OTHER)
    face = (QUIET, 0.45) if target else "none"
    style = "--" if what == COLLUDES else "-"
    place = (x, 0.5)
    axes.add_patch(Circle(place, RADIUS, facecolor=face, edgecolor=INK, linestyle=style))
    if what in (LISTENS, COLLUDES):
        axes.add_patch(
            Circle(place, RADIUS + 0.07, facecolor="none", edgecolor=INK, linestyle=style)
        )
    axes.text(x, 0.5, str(number), ha="center", va="center")
    said = "target in turn" if rotates and target else what
    axes.text(x, 0.03, said.replace(" ", "\n", 1), **_text())


def _box(axes: Axes, corner: tuple[float, float], name: str, listens: bool) -> None:
    x, y = corner
    for margin in (0.02, 0.09) if listens else (0.02,):
        box = FancyBboxPatch(
            (x, y), 1.2, 0.42, boxstyle=f"round,pad={margin}", facecolor="none", edgecolor=INK
        )
        axes.add_patch(box)
    axes.text(x + 0.6, y + 0.21, name, ha="center", va="center", fontsize="small")
    if listens:
        axes.text(x + 0.6, y + 0.58, "listens", **_text() | {"va": "bottom"})


def _text() -> Any:
    """How small text stands below its place."""
    return {"ha": "center", "va": "top", "fontsize": "small"}
