"""``privaudit verify``: everything that can be checked from a run's files and its ledger alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from privaudit.chain.errors import RpcError
from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import ANCHOR, MANIFEST, SEAL, read_seal, unreadable
from privaudit.errors import UserError
from privaudit.evaluation.live_folder import is_live
from privaudit.ledger.anchor_note import read_note, utc
from privaudit.ledger.commitments import SECRET, is_open_to_others
from privaudit.verify import data as verify_data
from privaudit.verify import files as verify_files
from privaudit.verify import records as verify_records
from privaudit.verify.files import Subject
from privaudit.verify.live import LiveSubject, live_checks, live_notes
from privaudit.verify.report import check_report
from privaudit.verify.verdict import LIVE, Check, Verdict

if TYPE_CHECKING:
    from privaudit.chain.views import LedgerView
    from privaudit.verify.anchor import AnchorCheck
    from privaudit.verify.ledger import LedgerSubject
    from privaudit.verify.live_ledger import LiveLedgerSubject

S = TypeVar("S", bound="LedgerSubject")

FILE_CHECKS: tuple[tuple[str, str, Callable[[Subject], list[str]]], ...] = (
    (
        "files",
        "no file was changed, lost or added since the run ended",
        verify_files.check_manifest,
    ),
    (
        "seal",
        "manifest and journal are those the run ended with",
        verify_files.check_seal,
    ),
    (
        "inputs",
        "plan and scenario are of each other, and of the data in the records",
        verify_records.check_inputs,
    ),
    (
        "truth",
        "it follows from the scenario and the data; it is taken from no file",
        verify_records.check_truth,
    ),
    (
        "records",
        "every one follows from plan, scores and truth; its metrics, where the code is the same",
        verify_records.check_records,
    ),
    (
        "data",
        "what targets held, data.json and remarks follow from data and scenario",
        verify_data.check_data,
    ),
    (
        "layers",
        "one finite score for every round and layer, beside the ground truth",
        verify_records.check_layers,
    ),
    (
        "report",
        "every page, table and figure is what the records give, to the byte",
        check_report,
    ),
    (
        "models",
        "every round starts from the model the round before led to",
        verify_files.check_models,
    ),
    (
        "traces",
        "what the adversary saw is what the federation did",
        verify_files.check_traces,
    ),
    (
        "rewards",
        "they follow from the evidence by the reward rule, within the budget",
        verify_files.check_book,
    ),
)
NEED_EVIDENCE = ("models", "rewards")
LEDGER_CHECKS = {
    "journal": "it is the chain's: replayed, or compared, transaction by transaction",
    "rounds": "models, commitments and verdicts on the ledger are those of the files",
    "payments": "the ledger paid what the book says, and no wei is missing",
    "plan": "what would be measured was on the ledger before the first round",
    "results": "the ledger has every cell of the table and the hash of every file",
    "head": "the hash chain over plan and results ends in the ledger's head",
}
ANCHOR_CHECK = (
    "anchor",
    "what the account anchored first is a head of this run, after its last entry",
)


def verify_run(
    path: Path,
    *,
    rpc: str | None = None,
    head: str | None = None,
    data_dir: Path | None = None,
    anchor_rpc: str | None = None,
    anchor_tx: str | None = None,
    model: str | None = None,
) -> Verdict:
    """Make every check; a check that cannot be carried out has failed.

    Whether there is a ledger, and of which kind, is what scenario and plan say.

    Args:
        path: the run folder.
        rpc: node of the ledger's chain, for a run that was made with ``--rpc``.
        head: a head of the audit chain that was noted elsewhere.
        data_dir: where data sets lie; None = ``PRIVAUDIT_DATA`` or the user's cache. What the run
            says of its data is computed again if they are there.
        anchor_rpc: node of the chain on which the head of an embedded ledger was anchored.
        anchor_tx: hash of the transaction that did, noted elsewhere; None = as the run says.
        model: of a live run, to attack its traces again; its code is then run.

    Raises:
        UserError: no run there, or a node is missing, not needed, of another chain or out of reach.
    """
    if is_live(path):
        live = LiveSubject(RunFolder(path), data_dir, model)
        return _verify_live(live, rpc, head, anchor_rpc, anchor_tx)
    if model is not None:
        raise UserError("only live runs are attacked again", where="--model", remedy="leave it out")
    if not any((path / name).is_file() for name in ("scenario.json", MANIFEST, SEAL)):
        raise UserError("no run folder (no scenario.json)", where=str(path))
    run = Subject(RunFolder(path), data_dir)
    reason = _not_to_be_read(run)
    kind = "" if reason else _kind(run)
    if kind:
        _right_chain(kind, rpc)
    anchor = _anchor_check(run, kind, anchor_rpc, anchor_tx)
    checks = []
    for name, meaning, function in FILE_CHECKS:
        why = _not_applicable(run, name, kind) if kind else _not_made(name, reason)
        problems = () if why else _problems(lambda f=function: f(run))  # type: ignore[misc]
        checks.append(Check(name, meaning, problems, why))
    notes = _notes(run, kind) if kind else []
    notes += _unread_anchor(run) if kind and anchor is None else []
    if kind in ("embedded", "rpc"):
        more, about_head = _ledger_checks(run, rpc, head, anchor)
        checks, notes = checks + more, about_head + notes
    else:
        checks += _without_ledger(kind, head)
    facts = _facts(run) if kind else {}
    return Verdict(
        tuple(checks),
        kind,
        facts,
        head,
        tuple(notes),
        anchor.facts if anchor else None,
        same_code=not kind or run.same_code,
    )


def _verify_live(
    run: LiveSubject,
    rpc: str | None,
    head: str | None,
    anchor_rpc: str | None,
    anchor_tx: str | None,
) -> Verdict:
    """Every check of a judged live run.

    Raises:
        UserError: something of a ledger was given, and it has none; and as :func:`verify_run`.
    """
    reason = _not_to_be_read(run)
    if reason:
        name, meaning, check = FILE_CHECKS[0]
        return Verdict((Check(name, meaning, _problems(lambda: check(run))),), LIVE, {})
    kind = _planned_kind(run)
    given = {"--rpc": rpc, "--head": head, "--anchor-rpc": anchor_rpc, "--anchor-tx": anchor_tx}
    if kind == "none":
        for flag, value in given.items():
            if value is not None:
                raise UserError("this live run has no ledger", where=flag, remedy="leave it out")
    if kind:
        _right_chain(kind, rpc)
    anchor = _anchor_check(run, kind, anchor_rpc, anchor_tx)
    checks, notes = live_checks(run, _problems), live_notes(run)
    if kind in ("embedded", "rpc"):
        more, about_head = _live_ledger_checks(run, rpc, head, anchor)
        checks, notes = checks + more, about_head + notes
        notes += _unread_anchor(run) if anchor is None else []
    return Verdict(
        tuple(checks),
        LIVE,
        _facts(run) if kind in ("embedded", "rpc") else {},
        head,
        tuple(notes),
        anchor.facts if anchor else None,
        same_code=run.same_code,
    )


def _planned_kind(run: LiveSubject) -> str:
    """Of the ledger; empty without a plan."""
    try:
        return run.plan.ledger
    except UserError:
        return ""


def _anchor_check(
    run: Subject, kind: str, rpc: str | None, transaction: str | None
) -> AnchorCheck | None:
    """The anchor that was asked for; None where none was, or there is nothing to hold it against.

    Raises:
        UserError: there can be no anchor of such a run, or not on this chain.
    """
    if rpc is None:
        if transaction is not None:
            remedy = "give a node of its chain with --anchor-rpc"
            raise UserError("an anchor is on a chain", where="--anchor-tx", remedy=remedy)
        return None
    if kind in ("rpc", "none"):
        raise UserError(
            "the ledger of this run is on a chain itself"
            if kind == "rpc"
            else "the run has no ledger",
            where="--anchor-rpc",
            remedy="leave it out",
        )
    if not kind:
        return None
    from privaudit.verify.anchor import AnchorCheck  # the chain library takes a second to import

    return AnchorCheck(run.folder, rpc, transaction)


def _not_to_be_read(run: Subject) -> str:
    """Why nothing is read: somebody put a link or a pipe where files are."""
    try:
        found = unreadable(run.folder.path)
    except OSError as error:
        found = [str(error)]
    return f"nothing is read where there are links or pipes ({found[0]})" if found else ""


def _kind(run: Subject) -> str:
    """Of the ledger; empty without a plan. The seal has no say: whoever forges a run writes it."""
    try:
        planned = run.plan.ledger
        if run.scenario.ledger.enabled and planned == "none":
            return "embedded"
        return planned if run.scenario.ledger.enabled else "none"
    except UserError:
        return ""


def _not_made(name: str, reason: str) -> str:
    """Why a check is not made of a run that has no plan, or whose files are better not read."""
    if reason:
        return "" if name == "files" else reason
    return "" if name in ("files", "seal", "inputs") else "there is no plan to hold it against"


def _facts(run: Subject) -> dict[str, Any]:
    try:
        return read_seal(run.folder)[1]
    except (UserError, OSError, ValueError, KeyError, TypeError):
        return {}  # the check of the seal says so


def _right_chain(kind: str, rpc: str | None) -> None:
    if kind == "rpc" and rpc is None:
        raise UserError(
            "the ledger of this run is on a JSON-RPC chain",
            where="--rpc",
            remedy="give the URL of one of its nodes",
        )
    if kind == "embedded" and rpc is not None:
        raise UserError(
            "the ledger of this run is in its folder", where="--rpc", remedy="leave it out"
        )


def _not_applicable(run: Subject, name: str, kind: str) -> str:
    if kind == "none" and name in NEED_EVIDENCE:
        return "the run was made without a ledger"
    if name in ("report", "data") and not run.same_code:
        return f"made by another version: {_version(run)}"
    return "traces were not kept" if name == "traces" and not run.scenario.audit.keep_traces else ""


def _version(run: Subject) -> str:
    plan = run.plan
    return f"privaudit {plan.audit.version}, commit {plan.commit or 'unknown'}"


def _notes(run: Subject, kind: str) -> list[str]:
    notes = []
    if not run.same_code:
        notes.append(
            f"The run was made by other code or packages than these ({_version(run)}): metrics, "
            "report, holdings and rules were not computed again. That version verifies them, too."
        )
    elif run.without_data:
        rebuilt = ", and what was rebuilt is as the run says" * bool(run.scenario.reconstruction)
        notes.append(
            f"The data are not at hand ({run.without_data}): what targets held was compared with "
            f"the scenario and data.json alone{rebuilt}. With the data, say where: --data-dir."
        )
    if run.plan.dirty:
        notes.append("The code it was made with had changes that are in no commit.")
    secret = run.folder.file(SECRET)
    if kind != "none" and secret.is_file() and is_open_to_others(secret):
        notes.append(
            f"{SECRET} can be read by others on this machine (chmod 600): whoever has it can "
            "confirm a guess at a client's delta."
        )
    return notes


def _unread_anchor(run: Subject) -> list[str]:
    """What ``anchor.json`` says where no chain was asked."""
    try:
        note = read_note(run.folder)
    except UserError:
        return []  # the check of the files says so
    return (
        []
        if note is None
        else [
            f"{ANCHOR} says that account {note.sender} anchored this run on chain {note.chain_id} "
            f"on {utc(note.block_time)}. Nobody looked: give a node of it with --anchor-rpc."
        ]
    )


def _without_ledger(kind: str, head: str | None) -> list[Check]:
    if not kind:
        return [Check(*about, skipped="not before the above") for about in LEDGER_CHECKS.items()]
    wrong = ("--head: the run was made without a ledger, which has no head",) if head else ()
    return [
        Check(name, meaning, wrong if name == "head" else (), "the run was made without")
        for name, meaning in LEDGER_CHECKS.items()
    ]


def _not_looked_at(name: str, meaning: str, *, head: str | None) -> Check:
    wrong = ("--head: there is no ledger to hold it against",) if head and name == "head" else ()
    return Check(name, meaning, wrong, "no ledger to look at")


def _ledger_checks(
    run: Subject, rpc: str | None, head: str | None, anchor: AnchorCheck | None
) -> tuple[list[Check], list[str]]:
    from privaudit.verify import ledger as verify_chain  # imports the chain library, a second

    def made(subject: LedgerSubject) -> Sequence[Callable[[], list[str]]]:
        return (
            lambda: verify_chain.check_chain(subject),
            lambda: verify_chain.check_rounds(subject),
            lambda: verify_chain.check_money(subject),
            lambda: verify_chain.check_plan(subject),
            lambda: verify_chain.check_results(subject),
            lambda: verify_chain.check_head(subject, head),
        )

    subject = partial(verify_chain.LedgerSubject, run)
    return _held_against(run, rpc, head, anchor, LEDGER_CHECKS, subject, made)


def _live_ledger_checks(
    run: LiveSubject, rpc: str | None, head: str | None, anchor: AnchorCheck | None
) -> tuple[list[Check], list[str]]:
    from privaudit.verify import ledger as verify_chain
    from privaudit.verify import live_ledger

    def made(subject: LiveLedgerSubject) -> Sequence[Callable[[], list[str]]]:
        return (
            lambda: verify_chain.check_chain(subject),
            lambda: live_ledger.check_round(subject),
            lambda: verify_chain.check_plan(subject),
            lambda: verify_chain.check_results(subject),
            lambda: verify_chain.check_head(subject, head),
        )

    subject = partial(live_ledger.LiveLedgerSubject, run)
    return _held_against(run, rpc, head, anchor, live_ledger.MEANINGS, subject, made)


def _held_against(
    run: Subject,
    rpc: str | None,
    head: str | None,
    anchor: AnchorCheck | None,
    meanings: Mapping[str, str],
    opened: Callable[[LedgerView], S],
    made: Callable[[S], Sequence[Callable[[], list[str]]]],
) -> tuple[list[Check], list[str]]:
    """The checks of a ledger, and what to say of its head; ``made`` gives one per meaning."""
    from privaudit.chain.opening import view_ledger
    from privaudit.verify.ledger import head_note

    (first, meaning), *others = meanings.items()
    try:
        ledger = view_ledger(run.folder.file("ledger"), rpc=rpc, alone=True)
    except RpcError:
        raise
    except Exception as error:  # bytes that were flipped in a database may raise anything
        checks = [Check(first, meaning, (_say(error),))]
        checks += [_not_looked_at(*about, head=head) for about in others]
        wrong = ("there is no ledger to hold it against",)
        return checks + [Check(*ANCHOR_CHECK, wrong)] * (anchor is not None), []
    with ledger:
        subject = opened(ledger)
        checks = [
            Check(name, about, _problems(function))
            for (name, about), function in zip(meanings.items(), made(subject), strict=True)
        ]
        notes = []
        if anchor is not None:
            checks.append(Check(*ANCHOR_CHECK, _problems(lambda: anchor.check(subject))))
            notes = anchor.notes(subject)
        if not any(c.problems for c in checks):
            notes.insert(0, head_note(subject, head))
        return checks, [note for note in notes if note]


def _problems(check: Callable[[], list[str]]) -> tuple[str, ...]:
    try:
        return tuple(check())
    except RpcError:
        raise
    except Exception as error:  # a file with a flipped byte may raise anything when it is read
        return (_say(error),)


def _say(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
