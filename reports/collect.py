"""Keep what a finished run, dilution or sweep found as a reference report.

    privaudit run table1 --seeds 10 --out runs/table1
    python reports/collect.py runs/table1 table1

Copies the report (Markdown, CSV, JSON, figures), the resolved scenarios and the records (gzip) to
``reports/NAME/``, with the machine and the seconds in ``machine.json``, and writes the index
``reports/README.md`` again from all folders beside it. The HTML pages stay with the runs: they hold
the same.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from tabulate import tabulate

HERE = Path(__file__).parent
REPORT = ("*.md", "*.csv", "*.json", "*.svg", "figures/*.svg")
INTRODUCTION = """# Reference reports

Every number here was written by `privaudit` from records that lie beside it; nothing is edited by
hand. The command of each report makes it again, `python reports/collect.py RUN NAME` puts it here
and writes this page. Real data are not part of the repository: `privaudit list` says where each
data set is looked for. Process-seconds were taken on a machine that did other work as well: they
are upper bounds.

Runs of before a page said what to measure next have no such line.

Two more, of several runs: [attack-comparison](attack-comparison/cells.md) (the strong attack
beside the published one in every cell; `benchmarks/attacks/compare.py --cells`) and
[speed](speed/speed.md) (`benchmarks/speed/run.py`).
"""


def main() -> None:
    """Collect one, then list all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", type=Path, help="folder of a run, a dilution or a sweep")
    parser.add_argument("name", help="folder in reports/")
    parser.add_argument("--command", help="what made it, where the report does not say")
    options = parser.parse_args()
    if not (options.run / "report").is_dir():
        parser.error(f"{options.run} has no report: is it a finished run?")
    collect(options.run, HERE / options.name, options.command)
    (HERE / "README.md").write_text(INTRODUCTION + "\n" + index())


def collect(run: Path, to: Path, command: str | None) -> None:
    """Fill the folder ``to``, emptied first."""
    shutil.rmtree(to, ignore_errors=True)
    for pattern in REPORT:
        for file in sorted((run / "report").glob(pattern)):
            _copy(file, to / file.relative_to(run / "report"))
    for file in sorted(run.rglob("scenario.json")):
        _copy(file, to / "records" / file.relative_to(run))
    for file in sorted(run.rglob("records.jsonl")):
        target = to / "records" / file.relative_to(run).with_suffix(".jsonl.gz")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(gzip.compress(file.read_bytes(), mtime=0))
    about = machine() | {"command": command or _command(run), "process_seconds": seconds(run)}
    (to / "machine.json").write_text(json.dumps(about, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """What this process runs on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_gb": round(memory / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def seconds(run: Path) -> dict[str, float]:
    """Process-seconds by stage, over all runs in the folder."""
    total: Counter[str] = Counter()
    for file in run.rglob("timings.jsonl"):
        for row in map(json.loads, file.read_text().splitlines()):
            if "stage" in row and "seconds" in row:
                total[row["stage"]] += row["seconds"]
    return {stage: round(value, 1) for stage, value in sorted(total.items())}


def index() -> str:
    """One row per report, and below them what made each."""
    rows, commands = [], []
    for file in sorted(HERE.glob("*/machine.json")):
        about, folder = json.loads(file.read_text()), file.parent
        page = next(iter(sorted(folder.glob("*.md"))))
        title = page.read_text().splitlines()[0].lstrip("# ")
        rows.append(
            {
                "report": f"[{folder.name}]({folder.name}/{page.name})",
                "what": title,
                "process-seconds": round(sum(about["process_seconds"].values())),
                "on": f"{about['cores']} x {about['processor']}, {about['memory_gb']:.0f} GB",
            }
        )
        commands.append(f"- {folder.name}: `{about['command']}`")
    table = tabulate(rows, headers="keys", tablefmt="github")
    return "\n".join([table, "", "## Commands", "", *commands, ""])


def _command(run: Path) -> str:
    file = run / "report" / "report.json"
    return str(json.loads(file.read_text())["command"]) if file.is_file() else "not recorded"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _copy(file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, to)


if __name__ == "__main__":
    main()
