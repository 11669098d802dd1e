"""What ``dilution`` and ``sweep`` share: a folder of several audits, and telling its report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from privaudit.cli.options import timestamp
from privaudit.cli.resume import resumable
from privaudit.cli.where import HERE, Where
from privaudit.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from privaudit.experiment.executors.protocol import Executor
    from privaudit.report.next_step import Next
    from privaudit.studies.dilution_curves import Dilution


def one_run(path: Path) -> Path:
    """The folder itself, for verbs that look at a single run.

    Raises:
        UserError: there are several in it; names one.
    """
    from privaudit.studies.kinds import kind_of

    kind = kind_of(path)
    if kind == "run":
        return path
    if kind in ("canaries", "live"):
        remedy = f"see {path / 'report' / 'index.html'}"
        what = "an audit by canaries" if kind == "canaries" else "a judged live federation"
        raise UserError(f"{what}, no run", where=str(path), remedy=remedy)
    runs = sorted(file.parent.name for file in path.glob("*/scenario.json"))
    remedy = f"name one of them, e.g. {path / runs[0]}" if runs else ""
    raise UserError(
        f"a {kind}: several runs, each with files of its own", where=str(path), remedy=remedy
    )


def folder_of(verb: str, name: str, out: Path | None, *, resume: bool) -> Path:
    """``--out``, or a new folder below ``runs/``.

    Raises:
        UserError: there is no folder to go on in.
    """
    if resume and out is None:
        raise UserError(f"needs the folder of the {verb}", where="--resume", remedy="give --out")
    return out or Path("runs") / f"{verb}-{name}-{timestamp()}"


@contextmanager
def worker_processes(folder: Path, where: Where = HERE) -> Iterator[Executor]:
    """Who computes; whatever interrupts them says how to go on."""
    again = f"the same command, --out {folder} --resume"
    with resumable(again, fewer_workers=f"{again} --workers 1"), where.open() as executor:
        yield executor


def tell(
    tables: Sequence[pd.DataFrame],
    notes: Iterable[str],
    page: Path,
    step: Next,
    *,
    quiet: bool,
) -> None:
    """Tables and, unless ``quiet``, their notes, where the report lies and what to do next."""
    from privaudit.report.tables import as_text

    typer.echo("\n\n".join(as_text(table) for table in tables))
    if quiet:
        return
    typer.echo()
    for note in notes:
        typer.echo(f"- {note}")
    typer.echo(f"\nreport: {page}\n{next_line(step, page)}")


def next_line(step: Next, page: Path) -> str:
    """What to measure next, with the folder of the report ``page`` in its place."""
    return f"next:   {step.command.replace('RUN', str(page.parents[1]))}  ({step.why})"


def refuse_unmeasured_dilution(found: Dilution) -> None:
    """Exit code 1 where a measurement has neither scores nor answers."""
    reasons = [f for c in found.curves for f in c.failures]
    reasons += [f for c in found.rebuilt for f in c.failures]
    scored = any(c.honest for c in found.curves) or any(c.runs for c in found.rebuilt)
    refuse_unmeasured(scored, reasons)


def refuse_unmeasured(scored: bool, failures: Iterable[str]) -> None:
    """Exit code 1 where not one audit has scores."""
    if not scored:
        first = next(iter(failures), "")
        typer.echo("privaudit: no audit has scores" + (f": {first}" if first else ""), err=True)
        raise typer.Exit(1)
