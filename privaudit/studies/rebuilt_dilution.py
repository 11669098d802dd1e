"""How many honest clients keep records from being rebuilt: table, figure and answer."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from privaudit.evaluation.rebuilding import MEASURES
from privaudit.evaluation.rebuilt_cells import RebuiltCell
from privaudit.report import rebuilt
from privaudit.report.drawings import Drawing
from privaudit.report.figures import NARROW, PLAIN, name_lines
from privaudit.report.findings import Part, error_bars
from privaudit.report.looks import look_of
from privaudit.scenario.schema import LABELS, Scenario

HEADS = ("batch", "shared", "honest clients")


def part(scenario: Scenario, cells: Sequence[RebuiltCell]) -> Part:
    """What the page says of rebuilt records."""
    measure = rebuilt.measure_of(cells)
    title = measure.title if measure else "records rebuilt"
    text = (
        "Points with 95 % intervals; a row of panels per size of batch, a column per share of the "
        "parameters; dashed: a guess."
    )
    return Part(
        table=table(cells),
        heads=len(HEADS),
        caption=rebuilt.caption(cells, "number of honest clients"),
        notes=[*rebuilt.by_clients(cells), *rebuilt.reading(scenario, cells)],
        drawing=Drawing.of("rebuilt", f"{title} by number of honest clients", text, figure, cells),
    )


def answers(cells: Sequence[RebuiltCell]) -> list[str]:
    """For each size of batch up to how many honest clients records were rebuilt."""
    return [
        _answer([cell for cell in cells if cell.batch == batch])
        for batch in dict.fromkeys(cell.batch for cell in cells)
    ]


def _answer(cells: Sequence[RebuiltCell]) -> str:
    start = f"Batches of {cells[0].batch}"
    numbers = sorted({cell.honest for cell in cells})
    told = [cell for cell in cells if cell.told]
    labels = rebuilt.measure_of(cells) is MEASURES[LABELS]
    done = "labels not named" if labels else "not rebuilt"
    if not told:
        return (
            f"{start}: {done} better than by a guess at any of {_list(numbers)} honest "
            "clients, by no attack and at no share (no proof of privacy: a stronger attack may "
            "exist)."
        )
    most = max(cell.honest for cell in told)
    how = [c for c in told if c.honest == most]
    best = max(how, key=lambda c: c.gain.value if c.gain else 0.0)
    line = (
        f"{start}: {done.replace('not ', '')} better than by a guess at up to {most} honest "
        f"client{'' if most == 1 else 's'} ({best.attack}, {100 * best.fraction:g} % shared: "
        f"{rebuilt.cell_text(best).rstrip('*')}"
        f"{f', in {best.measure.unit}' if best.measure and best.measure.unit else ''})"
    )
    above = [n for n in numbers if n > most]
    return f"{line}; at {_list(above)} by no attack." if above else f"{line}, the most measured."


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def table(cells: Sequence[RebuiltCell]) -> pd.DataFrame:
    """One row per size, share and number of honest clients, one column per attack."""
    attacks = list(dict.fromkeys(cell.attack for cell in cells))
    found = {(c.batch, _share(c), c.honest, c.attack): c for c in cells}
    keys = dict.fromkeys(key[:3] for key in found)
    order = sorted(keys, key=lambda key: (key[0], list(dict.fromkeys(map(_share, cells))), key[2]))
    rows = []
    for batch, share, honest in order:
        row = dict(zip(HEADS, (str(batch), share, str(honest)), strict=True))
        texts = {a: rebuilt.cell_text(found.get((batch, share, honest, a))) for a in attacks}
        rows.append(row | texts)
    return pd.DataFrame(rows)


def _share(cell: RebuiltCell) -> str:
    rule = "" if cell.sent == "all" else f" ({cell.sent})"
    return f"{100 * cell.fraction:g} %{rule}"


@matplotlib.rc_context(PLAIN)
def figure(cells: Sequence[RebuiltCell], *, narrow: bool = False) -> Figure:
    """What was rebuilt by number of honest clients."""
    cells = [cell for cell in cells if cell.found is not None and cell.answered]
    batches = sorted({cell.batch for cell in cells})
    shares = list(dict.fromkeys(map(_share, cells)))
    attacks = list(dict.fromkeys(cell.attack for cell in cells))
    places = [(batch, share) for batch in batches for share in shares]
    columns = 1 if narrow else max(1, len(shares))
    rows = max(1, -(-len(places) // columns))
    size = (NARROW if narrow else max(2.6 * columns + 1.8, 5.6), 2.3 * rows + 0.4)
    drawn = Figure(figsize=size, layout="constrained")
    if not cells:
        return drawn
    panels = drawn.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (batch, share) in zip(panels.flat, places, strict=True):
        _panel(axes, [c for c in cells if (c.batch, _share(c)) == (batch, share)], attacks)
        axes.set_title(f"batches of {batch}, {share} shared", fontsize="small")
    measure = cells[0].measure
    assert measure is not None
    drawn.supylabel(f"{measure.title}{f', {measure.unit}' if measure.unit else ''}")
    for axes in panels[-1]:
        axes.set_xlabel("honest clients")
    name_lines(drawn, list(panels.flat))
    return drawn


def _panel(axes: Axes, cells: Sequence[RebuiltCell], attacks: Sequence[str]) -> None:
    for number, attack in enumerate(attacks):
        line = sorted((c for c in cells if c.attack == attack), key=lambda c: c.honest)
        found = [c.found for c in line if c.found is not None]
        x = np.array([c.honest for c in line]) * 1.04 ** (number - (len(attacks) - 1) / 2)
        colour, mark = look_of(attack)
        axes.errorbar(
            x,
            [f.value for f in found],
            yerr=error_bars(found),
            marker=mark,
            color=colour,
            capsize=3,
            label=attack,
        )
    guesses = sorted({(c.honest, c.guess.value) for c in cells if c.guess is not None})
    axes.plot(*zip(*guesses, strict=True), color="grey", linewidth=1, linestyle="--")
    axes.set_xscale("log")
    ticks = sorted({c.honest for c in cells})
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
