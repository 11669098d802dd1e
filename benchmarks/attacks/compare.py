"""One attack against another in every cell of finished runs, over the same rounds.

    privaudit run quickstart --set 'audit.participants=[2,5,9,17,33]' \\
        --set federation.adversary_share=0.2 --out runs/compare-quickstart
    python benchmarks/attacks/compare.py runs/compare-* --out reports/attack-comparison
    python benchmarks/attacks/compare.py --cells runs/cells --out reports/attack-comparison

``--cells``: a folder for runs of the list in ``cells.py``; what is finished there is not run again,
so the command can be stopped and given again. ``--most-minutes 30``: begin no scenario after that.
``--seeds 20261131,20261132 --only clinic-after-0``: other federations, of some scenarios.

``--out``: a folder for ``comparison.csv`` and ``comparison.md``, beside what is printed.

``--set federation.adversary_share=0.2``: the adversary holds a fifth of the training records
whatever the number of participants, so that a column shows dilution by honest clients and not the
adversary's shrinking share.

The difference of the AUCs is a mean over federation runs. Its 95 % interval is DeLong's for two
attacks on the same rounds, so it speaks of these runs and not of other federations; that part is in
the intervals of the runs' own tables. The p-value is of no difference, two-sided, from the same
error; behind (ahead) after Benjamini-Hochberg: with a false discovery rate of 5 % over all cells.

Where the error is larger than what counts as level, many cells in which nothing lies between the
two attacks are seen behind by more. So it is also said what the differences would look like without
their errors: :func:`level_share`.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cells
import numpy as np
import pandas as pd
from scipy.stats import chi2, false_discovery_control, norm
from tabulate import tabulate

from privaudit.audit import run_audit
from privaudit.custody.folder import RunFolder
from privaudit.evaluation.records import Record, parse_records
from privaudit.scenario.schema import Scenario
from privaudit.statistics.roc import auc
from privaudit.statistics.variance import delong_difference_variance

Z95 = 1.96

LEVEL = 0.02
"""Two attacks that differ by no more are level."""

LEAST_ERROR, STEPS, TINY = 0.01, 200, 1e-300
"""Of a difference, that of the grid; steps of a fit; no mass at all."""

FORMATS = ("",) * 3 + ("g",) * 4 + (".2f",) * 6 + (".3f",)
"""Of the columns of a row of :func:`compared`."""


def main() -> None:
    options = _options()
    runs = [*options.runs, *(run_cells(options.cells, options) if options.cells else [])]
    rows = list(compared(runs, options.ours, options.theirs))
    if not rows:
        raise SystemExit(f"no cell of these runs has scores of {options.ours} and {options.theirs}")
    table = pd.DataFrame(rows).sort_values(["scenario", "property", "rule", "shared", "K"])
    page = as_markdown(table, options.ours, options.theirs)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(options.out / "comparison.csv", index=False, float_format="%.4f")
        (options.out / "comparison.md").write_text(page, encoding="utf-8")
    print(page, end="")


def run_cells(place: Path, options: argparse.Namespace) -> list[Path]:
    """The runs of the list in ``cells.py`` that are finished, once the time is up or all are."""
    place.mkdir(parents=True, exist_ok=True)
    cells.write_tables(place)
    started, found = time.monotonic(), []
    for out, made in cells.federations(place, options.seeds):
        if options.only and made["name"] not in options.only:
            continue
        scenario = Scenario.model_validate(made)
        if not (out / "records.jsonl").is_file():
            if time.monotonic() - started > 60 * options.most_minutes:
                continue
            print(f"{time.monotonic() - started:6.0f} s {scenario.name}", flush=True)
            out.parent.mkdir(exist_ok=True)
            run_audit(
                scenario,
                out,
                data_dir=options.data_dir,
                workers=options.workers,
                resume=out.exists(),
            )
        found.append(out)
    return found


def compared(paths: list[Path], ours: str, theirs: str) -> Iterator[dict[str, Any]]:
    """One row per scenario, property, rule, fraction and K, over all runs of a scenario."""
    cells: dict[tuple[Any, ...], dict[tuple[int, int], dict[str, Record]]] = defaultdict(dict)
    for number, path in enumerate(paths):
        folder = RunFolder.open(path)
        name = folder.scenario().name
        for r in parse_records(folder.read_lines("records.jsonl"), where=str(path)):
            if r.scores and r.attack in (ours, theirs):
                key = (name, r.property, r.rule, r.fraction, r.participants)
                cells[key].setdefault((number, r.run), {})[r.attack] = r
    for (scenario, name, rule, fraction, participants), runs in cells.items():
        pairs = [(r[ours], r[theirs]) for r in runs.values() if len(r) == 2]
        if not pairs:
            continue
        mine, other = (np.mean([_auc(pair[i]) for pair in pairs]) for i in (0, 1))
        error = np.sqrt(sum(_variance(*pair) for pair in pairs)) / len(pairs)
        yield {
            "scenario": scenario,
            "property": name,
            "rule": rule,
            "shared": fraction,
            "K": participants,
            "runs": len(pairs),
            "rounds": len(pairs[0][0].scores),
            theirs: other,
            ours: mine,
            "difference": mine - other,
            "error": float(error),
            "low": mine - other - Z95 * error,
            "high": mine - other + Z95 * error,
            "p": float(2 * norm.sf(abs(mine - other) / error)) if error > 0 else 1.0,
        }


def as_markdown(table: pd.DataFrame, ours: str, theirs: str) -> str:
    """What is printed: the summary, then every cell."""
    cells = tabulate(table.to_dict("records"), headers="keys", tablefmt="github", floatfmt=FORMATS)
    return (
        f"# {ours} against {theirs}\n\n{summary(table, ours, theirs)}\n\n"
        f"## Every cell\n\nAUC, mean over runs; low and high: 95 % interval of the difference.\n\n"
        f"{cells}\n"
    )


def summary(table: pd.DataFrame, ours: str, theirs: str) -> str:
    """Who is ahead in how many cells: in all, then by K.

    A cell counts as *above* (*below*) where the whole interval of the difference is.
    """
    rows = [_counts("all", table, ours, theirs)]
    rows += [_counts(k, part, ours, theirs) for k, part in table.groupby("K")]
    first = rows[0]
    found = false_discovery_control(table["p"].to_numpy()) <= 0.05
    ahead, behind = (int((found & (sign * table["difference"] > 0)).sum()) for sign in (1, -1))
    level = int((table["difference"] >= -LEVEL).sum())
    sentence = (
        f"{ours} is ahead of {theirs} in {first['ahead']} of {first['cells']} cells; the interval "
        f"of the difference lies above 0 in {first['above 0']} and below 0 in {first['below 0']}. "
        f"After Benjamini-Hochberg at 5 % it is ahead in {ahead} and behind in {behind}; ahead or "
        f"level (no more than {LEVEL:g} behind) in {level}."
    )
    likely, least = level_share(table)
    sentence += (
        f" Less the errors of the differences, about {np.floor(100 * least):.0f} % or more are "
        "truly ahead or level, with 95 % confidence; "
        f"most likely {np.floor(100 * likely + 1e-6):.0f} %."
    )
    return sentence + "\n\n" + tabulate(rows, headers="keys", tablefmt="github", floatfmt=".2f")


def level_share(table: pd.DataFrame) -> tuple[float, float]:
    """Share of the cells that truly are ahead or level: estimate, and lower 95 % bound.

    The distribution of the true differences that makes those seen most likely, each being normal
    around its own (J. Kiefer & J. Wolfowitz, Annals of Mathematical Statistics 27, 1956; by EM on a
    grid: N. Laird, JASA 73, 1978). The estimate is too high where many differences are about as
    large as what counts as level. The bound is where the likelihood falls by half of the 90 % point
    of chi-squared, and approximate: cells of one scenario and property have their rounds in common,
    and are counted as one for that.
    """
    seen, error = (table[name].to_numpy() for name in ("difference", "error"))
    grid = np.arange(-1.0, 1.0 + LEAST_ERROR, LEAST_ERROR)
    behind = grid < -LEVEL - 1e-9
    likely = norm.pdf(seen[:, None], grid, np.maximum(error, LEAST_ERROR)[:, None])
    alike = len(table) / len(table.groupby(["scenario", "property"]))

    def fitted(below: float | None) -> tuple[float, float]:
        """Mass not behind, and log likelihood; with that much mass behind, or any."""
        mass = np.full(len(grid), 1 / len(grid))
        for _ in range(STEPS):
            part = likely * mass
            mass = (part / part.sum(1, keepdims=True)).mean(0)
            if below is not None:
                mass[behind] *= below / max(mass[behind].sum(), TINY)
                mass[~behind] *= (1 - below) / mass[~behind].sum()
        return float(mass[~behind].sum()), float(np.log((likely * mass).sum(1)).sum()) / alike

    best, most = fitted(None)
    allowed, refused = 1 - best, 1.0
    while refused - allowed > 1e-3:
        half = (allowed + refused) / 2
        if fitted(half)[1] > most - chi2.ppf(0.9, 1) / 2:
            allowed = half
        else:
            refused = half
    return best, 1 - refused


def _counts(k: object, part: pd.DataFrame, ours: str, theirs: str) -> dict[str, Any]:
    return {
        "K": k,
        "cells": len(part),
        "ahead": int((part["difference"] > 0).sum()),
        "above 0": int((part["low"] > 0).sum()),
        "below 0": int((part["high"] < 0).sum()),
        f"mean {theirs}": part[theirs].mean(),
        f"mean {ours}": part[ours].mean(),
        "mean difference": part["difference"].mean(),
        "least": part["difference"].min(),
        "most": part["difference"].max(),
    }


def _auc(record: Record) -> float:
    return auc(np.array(record.scores), np.array(record.present))


def _variance(mine: Record, other: Record) -> float:
    return delong_difference_variance(
        np.array(mine.scores), np.array(other.scores), np.array(mine.present)
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN")
    parser.add_argument("--cells", type=Path, metavar="FOLDER")
    parser.add_argument("--most-minutes", type=float, default=float("inf"))
    parser.add_argument("--seeds", type=_numbers, default=cells.SEEDS)
    parser.add_argument("--only", type=_names, default=[], metavar="SCENARIO,...")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--ours", default="magnitude-stack")
    parser.add_argument("--theirs", default="melis-rf")
    parser.add_argument("--out", type=Path, metavar="FOLDER")
    return parser.parse_args()


def _names(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    return [int(name) for name in text.split(",")]


if __name__ == "__main__":
    main()
