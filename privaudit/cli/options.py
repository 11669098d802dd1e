"""Options that several verbs share, and how their values are read."""

from __future__ import annotations

import contextlib
import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from privaudit.errors import UserError


def run_folders(incomplete: str) -> list[str]:
    """For shell completion: folders of audits, and folders on the way to some.

    Those in ``runs/`` are offered before anything is typed.
    """
    typed = Path(incomplete)
    places = [typed if incomplete.endswith("/") else typed.parent]
    places += [Path("runs")] * (not incomplete)
    found: list[str] = []
    for place in places:
        with contextlib.suppress(OSError):
            for folder in sorted(entry for entry in place.iterdir() if entry.is_dir()):
                audit = (folder / "scenario.json").is_file() or (folder / "plan.json").is_file()
                name = str(folder) if audit else f"{folder}/"
                hidden = folder.name.startswith(".")
                found += [name] * (name.startswith(incomplete) and not hidden)
    return found


DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Folder with the data sets (default: $PRIVAUDIT_DATA or a user cache)."
    ),
]
RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of a run.", autocompletion=run_folders)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the result and nothing else.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value, e.g. audit.rounds=40."),
]
Workers = Annotated[
    int | None, typer.Option("--workers", help="Processes (default: one per core).")
]
Device = Annotated[
    str, typer.Option("--device", help="Where models are computed: cpu, cuda, cuda:1 ...")
]
Rpc = Annotated[
    str | None,
    typer.Option(
        "--rpc", metavar="URL", help="JSON-RPC node of the ledger's chain (default: in the folder)."
    ),
]
Keystore = Annotated[
    Path | None,
    typer.Option("--keystore", help="With --rpc: folder of admin, coordinator, auditor .json."),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        help="Password of the keystore (default: $PRIVAUDIT_KEYSTORE_PASSWORD, or a prompt).",
    ),
]
Contract = Annotated[
    str | None,
    typer.Option("--contract", help="With --rpc: a deployed ledger (default: deploys one)."),
]
Confirmations = Annotated[
    int,
    typer.Option("--confirmations", min=1, max=10_000, help="Blocks until something is final."),
]


def key_values(assignments: list[str] | None, flag: str) -> dict[str, Any]:
    """``KEY=VALUE`` of an option that may be given several times, values as in a scenario.

    Raises:
        UserError: one of them is no such pair.
    """
    from privaudit.scenario.load import parse_value

    pairs = {}
    for assignment in assignments or []:
        key, equals, value = assignment.partition("=")
        if not equals or not key.strip():
            raise UserError(f"'{assignment}' is not key=value", where=flag)
        pairs[key.strip()] = parse_value(value)
    return pairs


def scenario_names(incomplete: str) -> list[str]:
    """For shell completion; the shell itself adds files."""
    from privaudit.scenario.load import bundled

    return [name for name in bundled() if name.startswith(incomplete)]


def whole_numbers(text: str, where: str) -> list[int]:
    """The numbers of a comma-separated list, as typed."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UserError(
            f"'{text}' is not a list of whole numbers", where=where, remedy="e.g. 2,5,9"
        ) from error


def timestamp() -> str:
    """Now, in UTC, as part of a folder's name."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
