"""``privaudit verify``: everything that can be checked from a run's files and its ledger alone."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from privaudit.chain.errors import RpcError
from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import ANCHOR, MANIFEST, SEAL, read_seal, unreadable
from privaudit.errors import UserError
from privaudit.ledger.anchor_note import read_note, utc
from privaudit.ledger.commitments import SECRET, is_open_to_others
from privaudit.verify import data as verify_data
from privaudit.verify import files as verify_files
from privaudit.verify import records as verify_records
from privaudit.verify.files import Subject
from privaudit.verify.report import check_report

if TYPE_CHECKING:
    from privaudit.verify.anchor import AnchorCheck

SHOWN = 20
"""Problems printed per check."""


@dataclass(frozen=True)
class Check:
    """One check: its name, what it means when it holds, what is wrong, or why it was not made."""

    name: str
    meaning: str
    problems: tuple[str, ...] = ()
    skipped: str = ""

    @property
    def result(self) -> str:
        """``ok``, ``FAILED`` or ``not checked``."""
        return "FAILED" if self.problems else "not checked" if self.skipped else "ok"


@dataclass(frozen=True)
class Verdict:
    """All checks of a run.

    Attributes:
        checks: every one, made or not.
        kind: of the ledger, by the plan: ``embedded``, ``rpc`` or ``none``.
        facts: where the ledger is, by the seal; empty where that is not to be read.
        head: the head that was noted elsewhere and given.
        notes: what is not wrong, and good to know.
        anchor: what the anchor's chain has of the run, where it was asked and has something.
    """

    checks: tuple[Check, ...]
    kind: str
    facts: dict[str, Any]
    head: str | None = None
    notes: tuple[str, ...] = ()
    anchor: dict[str, Any] | None = None

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not any(check.problems for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "verified": self.holds,
            "ledger": self.facts,
            "anchor": self.anchor,
            "checks": [
                {
                    "name": check.name,
                    "result": check.result,
                    "meaning": check.meaning,
                    "problems": list(check.problems),
                    "skipped": check.skipped,
                }
                for check in self.checks
            ],
            "notes": list(self.notes),
            "conclusion": conclusion(self),
        }


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

    Raises:
        UserError: no run there, or a node is missing, not needed, of another chain or out of reach.
    """
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
    return Verdict(tuple(checks), kind, facts, head, tuple(notes), anchor.facts if anchor else None)


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
        notes.append(
            f"The data are not at hand ({run.without_data}): what targets held was compared with "
            "the scenario and data.json alone. With the data, say where: --data-dir."
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
    # The chain library takes a second to import.
    from privaudit.chain.opening import view_ledger
    from privaudit.verify import ledger as verify_chain

    (first, meaning), *others = LEDGER_CHECKS.items()
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
        subject = verify_chain.LedgerSubject(run, ledger)
        functions: Sequence[Callable[[], list[str]]] = (
            lambda: verify_chain.check_chain(subject),
            lambda: verify_chain.check_rounds(subject),
            lambda: verify_chain.check_money(subject),
            lambda: verify_chain.check_plan(subject),
            lambda: verify_chain.check_results(subject),
            lambda: verify_chain.check_head(subject, head),
        )
        checks = [
            Check(name, about, _problems(function))
            for (name, about), function in zip(LEDGER_CHECKS.items(), functions, strict=True)
        ]
        notes = []
        if anchor is not None:
            checks.append(Check(*ANCHOR_CHECK, _problems(lambda: anchor.check(subject))))
            notes = anchor.notes(subject)
        if not any(c.problems for c in checks):
            notes.insert(0, verify_chain.head_note(subject, head))
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


def verdict_text(verdict: Verdict) -> str:
    """The checks as a table, then what is wrong, then what this proves."""
    rows = [
        {"check": c.name, "result": c.result, "what it means": c.skipped or c.meaning}
        for c in verdict.checks
    ]
    parts = [tabulate(rows, headers="keys", tablefmt="github")]
    for check in verdict.checks:
        if check.problems:
            shown = [f"  {problem}" for problem in check.problems[:SHOWN]]
            more = len(check.problems) - SHOWN
            shown += [f"  and {more} more"] if more > 0 else []
            parts.append("\n".join([f"{check.name}:", *shown]))
    parts += [textwrap.fill(text, 100) for text in [*verdict.notes, conclusion(verdict)]]
    return "\n\n".join(parts)


FILES_AGREE = (
    "Verified: the files agree with one another and with their hashes; ground truth and records "
    "follow from scenario, data and scores. What the run says of itself alone (scores of "
    "layers, how alike records are, seconds) is bound by hash and not computed again."
)
NOT_PROVEN = (
    "Not proven: that a number is true. The ledger shows who said what and when; it saw hashes, "
    "not training."
)
LEAKS = (
    "The ledger itself leaks: who took part is public, and rewards in proportion to samples "
    "disclose data-set sizes."
)


def conclusion(verdict: Verdict) -> str:
    """What was proven and what was not, in plain words."""
    if not verdict.holds:
        names = ", ".join(check.name for check in verdict.checks if check.problems)
        return f"Not verified: {names}. Nothing is proven about this run."
    if verdict.kind == "none":
        return (
            f"{FILES_AGREE} The run was made without a ledger, so nothing is proven about when it "
            "was made, by whom, that its scores are the attacks', or that it was not made again "
            "until the numbers pleased."
        )
    if verdict.kind == "rpc":
        facts = verdict.facts
        return (
            "Verified. Proven: the plan was registered before the first round; which results were "
            "recorded, by which account and in which order, and that nothing else was recorded "
            "under this plan; that records, traces, evidence, scores and report have not changed "
            "since; that every client was paid by the stated rule, the passive adversary like "
            f"everybody else. {NOT_PROVEN} The ledger is the contract {facts['contract']} on chain "
            f"{facts['chain_id']}: the proof is as good as that chain, and it is about the run you "
            f"mean if that is the contract you were told of. {LEAKS}"
        )
    if verdict.anchor:
        return _anchored(verdict.anchor)
    if verdict.head:
        return (
            "Verified against the head you kept. Proven: plan, results, order, rewards and every "
            "file of the run are those the head was noted for; nothing was changed since it was, "
            "but perhaps how long the ledger took (ledger/timings.jsonl). "
            "Not proven: who made the run, or when before you got the head: the keys of an "
            "embedded chain follow from the seed, so anybody can compute them and its times are "
            f"whatever its writer said. {NOT_PROVEN} {LEAKS}"
        )
    return (
        f"{FILES_AGREE} They agree with the ledger in the run folder, too: plan before results, "
        "rewards by the stated rule. Not proven: who made the run, when, in which order, or that "
        "these are the first results. The ledger is an embedded chain; its keys follow from the "
        "seed, so whoever has this folder can compute them and write the whole ledger again, with "
        "other scores and earlier times, and this check would say the same. Only a head that was "
        "kept elsewhere since the run ended (privaudit verify --head HEAD) or anchored on a chain "
        "(--anchor-rpc URL) shows that nobody did. "
        f"Here the head is {verdict.facts['audit_head']}; a head taken from this folder proves "
        f"nothing. {NOT_PROVEN} {LEAKS}"
    )


def _anchored(facts: dict[str, Any]) -> str:
    from privaudit.verify.anchor import anchored

    first = (
        "that it is the first head this account anchored there under this plan"
        if facts["searched"]
        else "nothing about other anchors of this account, as the node does not search"
    )
    return (
        f"Verified against the anchor: {anchored(facts)}. Proven: plan, results, rewards and every "
        "file of the run (but ledger/timings.jsonl) were by then what they are now; whoever holds "
        f"the key said so, and cannot take it back; {first}. Not proven: when the run was made "
        "before that, that its plan was there before its results, or how often it was made, with "
        "other seeds and plans too, before one was anchored; that it is the account you mean, so "
        f"compare it. The proof is as good as that chain. {NOT_PROVEN} {LEAKS}"
    )
