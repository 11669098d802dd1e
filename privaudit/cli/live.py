"""``privaudit seal`` and ``privaudit judge``: federations that run elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from privaudit.cli.app import app
from privaudit.cli.options import (
    Confirmations,
    Contract,
    Json,
    Keystore,
    PasswordFile,
    Rpc,
    key_values,
)

if TYPE_CHECKING:
    from privaudit.taps.sealing import Sealed


@app.command()
def seal(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="Folder of one run of a tap.")],
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="Folder to create.")],
    participants: Annotated[
        int,
        typer.Option("--participants", help="Clients whose deltas the server averages in a round."),
    ],
    total_examples: Annotated[
        float | None,
        typer.Option(
            "--total-examples",
            help="Of all these clients: what the node counts for is its share of them.",
        ),
    ] = None,
    own_weight: Annotated[
        float | None, typer.Option("--own-weight", help="Or that share itself, in (0, 1].")
    ] = None,
    server_lr: Annotated[
        float, typer.Option("--server-lr", help="Learning rate of the server.")
    ] = 1.0,
    rules: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Rule of the federation."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a trace of what a tap saw of a live federation.

    \b
    privaudit seal out/tap/run-1 out/trace --participants 4 --total-examples 128
    privaudit seal out/tap/run-1 out/trace --participants 4 --set lr=0.1 --set batch_size=32

    It says which rounds are in it, which are lost, and what was assumed (docs/live.md).
    """
    from privaudit.taps.sealing import seal as make_trace

    found = make_trace(
        journal,
        trace,
        participants=participants,
        total_examples=total_examples,
        own_weight=own_weight,
        server_lr=server_lr,
        rules=key_values(rules, "--set"),
    )
    typer.echo(json.dumps(_sealed(found), indent=1) if as_json else _sealed_text(found))


def _sealed(found: Sealed) -> dict[str, Any]:
    return {
        "trace": str(found.path),
        "rounds": list(found.rounds),
        "own": list(found.own),
        "lost": list(found.lost),
        "assumed": list(found.assumed),
        "notes": list(found.notes),
    }


def _sealed_text(found: Sealed) -> str:
    lines = [
        f"{found.path}: {len(found.rounds)} rounds ({_spans(found.rounds)} of the server); the "
        f"node sent something in {len(found.own)} of them."
    ]
    if found.lost:
        lines.append(
            f"Lost: {len(found.lost)} rounds in which it sent something ({_spans(found.lost)}): "
            "the model was not seen both before and after them."
        )
    lines += [f"Assumed: {what}." for what in found.assumed]
    lines += [f"Not kept by the tap: {what}." for what in found.notes]
    return "\n".join(lines)


def _spans(numbers: tuple[int, ...]) -> str:
    """[1, 2, 3, 7] as "1-3, 7"."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return ", ".join(str(s[0]) if len(s) == 1 else f"{s[0]}-{s[-1]}" for s in spans)


@app.command()
def judge(
    traces: Annotated[
        list[Path], typer.Argument(metavar="TRACE...", help="Folders of traces, one per run.")
    ],
    truths: Annotated[
        list[Path],
        typer.Option("--truth", metavar="DIR", help="What the audited client kept; one per trace."),
    ],
    auxiliary: Annotated[
        list[Path],
        typer.Option(
            "--auxiliary", help="The listener's records, .npz; one per trace, or one for all."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", help="Model of the federation: package.module:Class."),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="Argument of the model."),
    ] = None,
    properties: Annotated[
        list[str] | None,
        typer.Option("--property", help="Which property (default: all in the file)."),
    ] = None,
    attacks: Annotated[
        list[str] | None,
        typer.Option("--attack", help="Which attack (default: magnitude-stack and melis-rf)."),
    ] = None,
    rules: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Rule of the federation."),
    ] = None,
    shadows: Annotated[
        int, typer.Option("--shadows", help="Shadow batches of each kind per round.")
    ] = 8,
    seed: Annotated[int, typer.Option("--seed", help="Of everything that is drawn.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder to keep it in, for table, report and verify."),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also where the rules do not explain what the node sent."),
    ] = False,
    with_ledger: Annotated[
        bool,
        typer.Option("--ledger", help="Put plan and results on a ledger, in --out or at --rpc."),
    ] = False,
    rpc: Rpc = None,
    keystore: Keystore = None,
    password_file: PasswordFile = None,
    contract: Contract = None,
    confirmations: Confirmations = 1,
    as_json: Json = False,
) -> None:
    """Attack traces of a live federation, and judge by the truth an audited client kept.

    \b
    privaudit judge out/trace --truth out/truth --auxiliary mine.npz --model my_models:Net
    privaudit judge a/trace b/trace --truth a/truth --truth b/truth \\
        --auxiliary a/mine.npz --auxiliary b/mine.npz --model my_models:Net --out runs/live

    With several runs intervals are over runs; of one run they say how its rounds scatter.
    """
    from privaudit.cli.own_trace import refuse_unless_explained
    from privaudit.ledger.place import Place
    from privaudit.library.judging import judge as judge_traces
    from privaudit.report.live import live_json, live_text

    place = Place(rpc, keystore, password_file, contract, confirmations)
    place.refuse_without(with_ledger, "leave it out, or say --ledger")
    found = judge_traces(
        traces,
        truths,
        auxiliary,
        properties=tuple(properties or ()),
        attacks=tuple(attacks or ("magnitude-stack", "melis-rf")),
        model=model,
        model_options=key_values(options, "--option"),
        rules=key_values(rules, "--set"),
        shadows=shadows,
        seed=seed,
        out=out,
        ledger=place if with_ledger else None,
        before=lambda case: refuse_unless_explained(case, force=force),
    )
    if as_json:
        typer.echo(json.dumps(live_json(found), indent=1))
        return
    typer.echo(live_text(found))
    if out is not None:
        typer.echo(f"\nrun:    {out}\nreport: {out / 'report' / 'index.html'}")
