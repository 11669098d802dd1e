"""``privaudit new``, and what ``privaudit run --dry-run`` prints."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from privaudit.cli.app import app
from privaudit.cli.options import Assignments
from privaudit.cli.where import Where
from privaudit.errors import UserError

if TYPE_CHECKING:
    from privaudit.scenario.schema import Scenario


@app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="The file to write.")] = Path(
        "scenario.toml"
    ),
    source: Annotated[
        str, typer.Option("--from", metavar="SCENARIO", help="A bundled scenario, or a TOML file.")
    ] = "quickstart",
    assignments: Assignments = None,
) -> None:
    """Write a scenario to start from, every setting explained; never overwrites a file.

    \b
    privaudit new my.toml --from letters
    privaudit new my.toml --from income --set 'audit.properties=["sex"]'
    """
    from privaudit.scenario.load import load_scenario
    from privaudit.scenario.write import commented_toml

    if file.suffix != ".toml":
        raise UserError(f"'{file}' does not end in .toml", where="FILE", remedy="name it so")
    stem = re.sub(r"[^a-z0-9-]", "-", file.stem.lower()).strip("-")[:40]
    title = stem.replace("-", " ").capitalize()
    named = [f'name="{stem}"', f'title="{title}"'] if stem else []
    scenario = load_scenario(source, [*named, *(assignments or [])])
    text = commented_toml(_beside(scenario, file), str(file))
    try:
        with file.open("x", encoding="utf-8") as stream:
            try:
                stream.write(text)
                stream.flush()
            except OSError:
                file.unlink()
                raise
    except FileExistsError as error:
        raise UserError("is there already", where=str(file), remedy="name another file") from error
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror}", where=str(file)) from error
    typer.echo(file)


def _beside(scenario: Scenario, file: Path) -> Scenario:
    """The scenario as it stands in this file: data below its folder are named from there."""
    from privaudit.scenario.schema import DataSection

    path = scenario.data.options.get("path")
    folder = file.absolute().parent
    if not (isinstance(path, str) and Path(path).is_relative_to(folder)):
        return scenario
    options = scenario.data.options | {"path": str(Path(path).relative_to(folder))}
    data = DataSection.model_validate({"name": scenario.data.name, **options})
    return scenario.model_copy(update={"data": data})


def print_dry_run(
    scenario: Scenario,
    out: Path,
    data_dir: Path | None,
    where: Where,
    as_json: bool,
    permute_all: int | None = None,
) -> None:
    """The resolved scenario, what the data became, and what it would take; nothing is written.

    Raises:
        UserError: the scenario, or as many repetitions, cannot be run on this data.
    """
    from privaudit.evaluation.repeating import check_repetitions
    from privaudit.experiment.tasks import Job
    from privaudit.scenario.load import refuse_sweep

    if permute_all is not None:
        refuse_sweep(scenario)
        job = Job.of(scenario, data_dir, out, "cpu")
        check_repetitions(job.world(), job, permute_all)
    document, text = _dry_run(scenario, out, data_dir, where)
    if permute_all is not None:
        document["permute_all"] = permute_all
        text += f"\n# - {permute_all} times more with the property permuted"
    typer.echo(json.dumps(document, indent=1) if as_json else text)


def print_dry_runs(
    plans: Mapping[str, Scenario],
    out: Path,
    data_dir: Path | None,
    where: Where,
    as_json: bool,
) -> None:
    """The same of several audits, and what they would take together."""
    from privaudit.experiment.estimate_words import several_lines

    found = {name: _dry_run(plan, out, data_dir, where) for name, plan in plans.items()}
    if as_json:
        audits = {name: document for name, (document, _) in found.items()}
        typer.echo(json.dumps({"audits": audits}, indent=1))
        return
    for name, (_, text) in found.items():
        typer.echo(f"# --- {name}\n{text}\n")
    typer.echo("# --- All of it, one audit after the other:")
    for line in several_lines([document["estimate"] for document, _ in found.values()]):
        typer.echo(f"# - {line}")


def _dry_run(
    scenario: Scenario, out: Path, data_dir: Path | None, where: Where
) -> tuple[dict[str, Any], str]:
    """As a document, and as text."""
    from privaudit.data.files import default_data_dir
    from privaudit.experiment.data_sheet import describe_data
    from privaudit.experiment.estimate import estimate
    from privaudit.experiment.estimate_words import estimate_lines
    from privaudit.report.data import column_table, data_rows
    from privaudit.report.tables import as_text
    from privaudit.scenario.write import as_toml
    from privaudit.world import load_world

    with where.open() as executor:  # this process may have been told keys or passwords
        found = estimate(scenario, out, data_dir=data_dir, workers=where.workers, executor=executor)
    data = describe_data(load_world(scenario.model_dump_json(), data_dir or default_data_dir()))
    document = {
        "scenario": scenario.model_dump(mode="json"),
        "data": data,
        "estimate": asdict(found),
    }
    lines = [as_toml(scenario), "# The data:"]
    lines += [f"# - {what}: {how}" for what, how in data_rows(data)]
    if data["columns"]:
        table = as_text(column_table(data), "github")
        lines += ["#", *(f"# {line}" for line in table.splitlines()), "#"]
    lines.append("# An estimate, from a few steps timed now; nothing was written:")
    lines += [f"# - {line}" for line in estimate_lines(found)]
    return document, "\n".join(lines)
