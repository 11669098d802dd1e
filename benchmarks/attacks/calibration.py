"""Do an attack's log odds mean what they say? Over finished runs, by kind of data and K.

    python benchmarks/attacks/compare.py --cells runs/cells     # four federations of the list
    python benchmarks/attacks/calibration.py runs/cells/*/*

Rounds of all cells of a kind and K together. Slope: of a logistic regression of the truth on the
log odds; 1 is right, less is too sure, more is not sure enough; in brackets the least and the
greatest of single federations, which are dealt with seeds of their own. Brier: mean squared error
of the probabilities, .25 where each is one half. Then, of rounds that were said to hold the
property with a probability within .1 of that in the head, the share that does.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from tabulate import tabulate

from privaudit.custody.folder import RunFolder
from privaudit.evaluation.records import parse_records

SAID = (0.1, 0.3, 0.5, 0.7, 0.9)
FEWEST = 30
"""Rounds below which a share is not shown."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--attack", default="magnitude-stack")
    options = parser.parse_args()
    rounds = pd.concat(found for path in options.runs for found in rounds_of(path, options.attack))
    rows = [
        {"data": kind, "K": clients, "rounds": len(found)} | reliability(found)
        for (kind, clients), found in rounds.groupby(["kind", "K"])
    ]
    print(tabulate(rows, headers="keys", tablefmt="github", floatfmt=".2f", missingval="-"))


def rounds_of(path: Path, attack: str) -> Iterator[pd.DataFrame]:
    """Every round of every cell of a run: its kind of data, K, federation, log odds and truth."""
    folder = RunFolder.open(path)
    scenario = folder.scenario()
    for record in parse_records(folder.read_lines("records.jsonl"), where=str(path)):
        if record.attack == attack and record.scores:
            yield pd.DataFrame(
                {
                    "kind": scenario.name.partition("-")[0],
                    "K": record.participants,
                    "federation": f"{scenario.seed}, {record.run}",
                    "odds": record.scores,
                    "present": record.present,
                }
            )


def reliability(rounds: pd.DataFrame) -> dict[str, Any]:
    """A row of the table."""
    said = expit(rounds.odds)
    single = [slope(found) for _, found in rounds.groupby("federation")]
    nearest = np.abs(np.subtract.outer(said.to_numpy(), SAID)).argmin(axis=1)
    shares = rounds.present.groupby(nearest).agg(["mean", "size"])
    return {
        "slope": f"{slope(rounds):.2f} [{min(single):.2f}, {max(single):.2f}]",
        "Brier": float(np.mean((said - rounds.present) ** 2)),
        **{
            f"said {said:g}": shares["mean"][number]
            if number in shares.index and shares["size"][number] >= FEWEST
            else None
            for number, said in enumerate(SAID)
        },
    }


def slope(rounds: pd.DataFrame) -> float:
    """Of the truth on the log odds."""
    fit = LogisticRegression(C=np.inf).fit(rounds[["odds"]], rounds.present)
    return float(fit.coef_[0, 0])


if __name__ == "__main__":
    main()
