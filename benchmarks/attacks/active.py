"""What a participant gains by sending crafted deltas, what that costs, and whether it stands out.

    python benchmarks/attacks/active.py runs/active
    python benchmarks/attacks/active.py runs/active-2 --participants 2 --others without \\
        --set audit.property_share=0.125

The scenario `active`, with bystanders that hold no record with the property ("without") and that
hold it like anybody ("natural"): the adversary only listens (alpha 0), sends crafted deltas
(--alpha), and sends them --boost times as long. These are the same federations with the same
batches, so the gain is a difference within a run; its 95 % interval is Student's t over runs, and
no narrower than their rounds allow. Longer than 95 or 99 %: share of the rounds in which a norm
bound at that percentile of the honest clients' deltas would have refused the adversary's. Finished
audits in the folder are not run again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from tabulate import tabulate

from privaudit.audit import run_audit
from privaudit.custody.folder import RunFolder
from privaudit.evaluation.records import Record, parse_records
from privaudit.games.ending import ABOVE_95, ABOVE_99, ACCURACY, LOSS
from privaudit.scenario.load import load_scenario
from privaudit.statistics.paired import auc_difference
from privaudit.statistics.roc import run_auc


def main() -> None:
    options = _options()
    alpha = f"audit.alpha={options.alpha}"
    sent = {
        "listens": ["audit.alpha=0.0"],
        f"alpha {options.alpha:g}": [alpha],
        f"alpha {options.alpha:g}, times {options.boost:g}": [
            alpha,
            f"audit.boost={options.boost}",
        ],
    }
    rows: list[dict[str, Any]] = []
    for others in options.others.split(","):
        base = [f"audit.others={others}", f"audit.participants=[{options.participants}]"]
        base += [f"runs={options.runs}", "sweep=null", *options.set]
        found = [
            _records(options.folder / f"{others}-{number}", [*base, *settings])
            for number, settings in enumerate(sent.values())
        ]
        for what, records in zip(list(sent)[1:], found[1:], strict=True):
            rows += _rows({"others": others, "sends": what}, found[0], records)
        page = tabulate(rows, "keys", "github", floatfmt=".2f")
        (options.folder / "active.md").write_text(page + "\n", encoding="utf-8")
    print(page)


def _records(place: Path, settings: Sequence[str]) -> list[Record]:
    if not (place / "report").is_dir():
        run_audit(load_scenario("active", settings), place, workers=1)
    return parse_records(RunFolder.open(place).read_lines("records.jsonl"), where=str(place))


def _rows(
    setting: dict[str, Any], passive: Sequence[Record], active: Sequence[Record]
) -> Iterator[dict[str, Any]]:
    """One per number of participants and attack."""
    for clients, attack in dict.fromkeys((r.participants, r.attack) for r in passive):
        before, after = (
            sorted(
                (r for r in records if (r.participants, r.attack) == (clients, attack)),
                key=lambda r: r.run,
            )
            for records in (passive, active)
        )
        pairs = [(a.run_scores(), p.run_scores()) for p, a in zip(before, after, strict=True)]
        gain = auc_difference([pairs])
        assert gain is not None
        yield setting | {
            "K": clients,
            "attack": attack,
            "runs": len(pairs),
            "listening": np.mean([run_auc(passive) for _, passive in pairs]),
            "active": np.mean([run_auc(active) for active, _ in pairs]),
            "gain": f"{gain.value:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]",
            "test loss": _change(before, after, LOSS),
            "accuracy": _change(before, after, ACCURACY),
            "longer than 95 %": np.mean([r.facts[ABOVE_95] for r in after]),
            "than 99 %": np.mean([r.facts[ABOVE_99] for r in after]),
        }


def _change(before: Sequence[Record], after: Sequence[Record], name: str) -> str:
    """From listening to active, mean over runs with the paired 95 % interval of the difference."""
    first, second = (np.array([r.facts.get(name, np.nan) for r in rs]) for rs in (before, after))
    by_run = second - first
    reach = stats.t.ppf(0.975, len(by_run) - 1) * by_run.std(ddof=1) / np.sqrt(len(by_run))
    return (
        f"{first.mean():.2f} {by_run.mean():+.2f} "
        f"[{by_run.mean() - reach:+.2f}, {by_run.mean() + reach:+.2f}]"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--participants", default="9,17,33")
    parser.add_argument("--others", default="without,natural")
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--alpha", type=float, default=0.9)
    parser.add_argument("--boost", type=float, default=10.0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
