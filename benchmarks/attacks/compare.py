"""One attack against another in every cell of finished runs, over the same rounds.

    privaudit run quickstart --set 'audit.participants=[2,5,9,17,33]' \\
        --set federation.adversary_share=0.2 --out runs/compare-quickstart
    python benchmarks/attacks/compare.py runs/compare-* --out compare.csv

``--set federation.adversary_share=0.2``: the adversary holds a fifth of the training records
whatever the number of participants, so that a column shows dilution by honest clients and not the
adversary's shrinking share.

The difference of the AUCs is a mean over federation runs. Its 95 % interval is DeLong's for two
attacks on the same rounds, so it speaks of these runs and not of other federations; that part is in
the intervals of the runs' own tables.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tabulate import tabulate

from privaudit.evaluation.records import Record, parse_records
from privaudit.experiment.folder import RunFolder
from privaudit.statistics.roc import auc
from privaudit.statistics.variance import delong_difference_variance

Z95 = 1.96


def main() -> None:
    options = _options()
    rows = [row for path in options.runs for row in compared(path, options.ours, options.theirs)]
    if not rows:
        raise SystemExit(f"no cell of these runs has scores of {options.ours} and {options.theirs}")
    table = pd.DataFrame(rows)
    if options.out:
        table.to_csv(options.out, index=False, float_format="%.4f")
    print(tabulate(rows, headers="keys", tablefmt="github", floatfmt=".2f"))
    print("\n" + summary(table))


def compared(path: Path, ours: str, theirs: str) -> Iterator[dict[str, Any]]:
    """One row per property, rule, fraction and K of a run."""
    folder = RunFolder.open(path)
    records = parse_records(folder.read_lines("records.jsonl"), where=str(path))
    cells: dict[tuple[Any, ...], dict[int, dict[str, Record]]] = defaultdict(dict)
    for r in records:
        if r.scores and r.attack in (ours, theirs):
            key = (r.property, r.rule, r.fraction, r.participants)
            cells[key].setdefault(r.run, {})[r.attack] = r
    for (name, rule, fraction, participants), runs in cells.items():
        pairs = [(r[ours], r[theirs]) for r in runs.values() if len(r) == 2]
        if not pairs:
            continue
        mine, other = (np.mean([_auc(pair[i]) for pair in pairs]) for i in (0, 1))
        error = np.sqrt(sum(_variance(*pair) for pair in pairs)) / len(pairs)
        yield {
            "scenario": folder.scenario().name,
            "property": name,
            "rule": rule,
            "shared": fraction,
            "K": participants,
            "runs": len(pairs),
            "rounds": len(pairs[0][0].scores),
            theirs: other,
            ours: mine,
            "difference": mine - other,
            "low": mine - other - Z95 * error,
            "high": mine - other + Z95 * error,
        }


def summary(table: pd.DataFrame) -> str:
    """In how many cells who is ahead."""
    ahead, sure = table["difference"] > 0, table["low"] > 0
    behind = table["high"] < 0
    lines = [
        f"{len(table)} cells: ahead in {ahead.sum()}, with the whole interval in {sure.sum()}; "
        f"behind with the whole interval in {behind.sum()}.",
    ]
    for participants, part in table.groupby("K"):
        lines.append(
            f"K = {participants}: mean difference {part['difference'].mean():+.2f} "
            f"({part['difference'].min():+.2f} to {part['difference'].max():+.2f}, "
            f"{len(part)} cells)"
        )
    return "\n".join(lines)


def _auc(record: Record) -> float:
    return auc(np.array(record.scores), np.array(record.present))


def _variance(mine: Record, other: Record) -> float:
    return delong_difference_variance(
        np.array(mine.scores), np.array(other.scores), np.array(mine.present)
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--ours", default="magnitude-stack")
    parser.add_argument("--theirs", default="melis-rf")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
