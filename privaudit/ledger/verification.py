"""``privaudit verify``: everything that can be checked from a run's files and its ledger alone."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from privaudit.errors import UserError
from privaudit.experiment.folder import RunFolder
from privaudit.ledger import verify_files
from privaudit.ledger.errors import RpcError
from privaudit.ledger.files import MANIFEST, SEAL, read_seal
from privaudit.ledger.verify_files import Subject

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
    """All checks of a run, and where its ledger is (empty without one)."""

    checks: tuple[Check, ...]
    facts: dict[str, Any]

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not any(check.problems for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "verified": self.holds,
            "ledger": self.facts,
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
        "records",
        "they repeat the scenario, the attacks' scores and the ground truth",
        verify_files.check_records,
    ),
    (
        "layers",
        "one finite score for every round and layer, beside the ground truth",
        verify_files.check_layers,
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
NEED_EVIDENCE = ("models", "traces", "rewards")
LEDGER_CHECKS = (
    ("journal", "it is the chain's: replayed, or compared, transaction by transaction"),
    ("rounds", "models, commitments and verdicts on the ledger are those of the files"),
    ("payments", "the ledger paid what the book says, and no wei is missing"),
    ("plan", "what would be measured was on the ledger before the first round"),
    ("results", "the ledger has every cell of the table and the hash of every file"),
    ("head", "the hash chain over plan and results ends in the ledger's head"),
)


def verify_run(path: Path, *, rpc: str | None = None, head: str | None = None) -> Verdict:
    """Make every check; a check that cannot be carried out has failed.

    Args:
        path: the run folder.
        rpc: node of the ledger's chain, for a run that was made with ``--rpc``.
        head: a head of the audit chain that was noted elsewhere.

    Raises:
        UserError: no run there, or the node is missing, not needed or out of reach.
    """
    if not any((path / name).is_file() for name in ("scenario.json", MANIFEST, SEAL)):
        raise UserError("no run folder (no scenario.json)", where=str(path))
    run = Subject(RunFolder(path))
    facts = _facts(run)
    without = facts.get("kind") == "none"
    if facts and not without:
        _right_chain(facts, rpc)
    checks = []
    for name, meaning, function in FILE_CHECKS:
        why = _not_applicable(run, name, without)
        problems = () if why else _problems(lambda f=function: f(run))  # type: ignore[misc]
        checks.append(Check(name, meaning, problems, why))
    if without:
        checks += [Check(*about, skipped="the run was made without") for about in LEDGER_CHECKS]
    else:
        checks += _ledger_checks(run, rpc, head)
    return Verdict(tuple(checks), facts)


def _facts(run: Subject) -> dict[str, Any]:
    try:
        return read_seal(run.folder)[1]
    except (UserError, OSError, ValueError, KeyError, TypeError):
        return {}  # the check of the seal says so


def _right_chain(facts: dict[str, Any], rpc: str | None) -> None:
    if facts["kind"] == "rpc" and rpc is None:
        raise UserError(
            "the ledger of this run is on a JSON-RPC chain",
            where="--rpc",
            remedy="give the URL of one of its nodes",
        )
    if facts["kind"] == "embedded" and rpc is not None:
        raise UserError(
            "the ledger of this run is in its folder", where="--rpc", remedy="leave it out"
        )


def _not_applicable(run: Subject, name: str, without: bool) -> str:
    if without and name in NEED_EVIDENCE:
        return "the run was made without a ledger"
    return "traces were not kept" if name == "traces" and not _keeps_traces(run) else ""


def _keeps_traces(run: Subject) -> bool:
    try:
        return run.scenario.audit.keep_traces
    except UserError:
        return True  # the checks that need the scenario say so


def _ledger_checks(run: Subject, rpc: str | None, head: str | None) -> list[Check]:
    # The chain library takes a second to import.
    from privaudit.ledger import verify_chain
    from privaudit.ledger.opening import view_ledger

    (first, meaning), *others = LEDGER_CHECKS
    try:
        ledger = view_ledger(run.folder.file("ledger"), rpc=rpc)
    except RpcError:
        raise
    except Exception as error:  # bytes that were flipped in a database may raise anything
        checks = [Check(first, meaning, (_say(error),))]
        return checks + [Check(*about, skipped="no ledger to look at") for about in others]
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
        return [
            Check(name, about, _problems(function))
            for (name, about), function in zip(LEDGER_CHECKS, functions, strict=True)
        ]


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
    parts.append(textwrap.fill(conclusion(verdict), 100))
    return "\n\n".join(parts)


def conclusion(verdict: Verdict) -> str:
    """What was proven and what was not, in plain words."""
    if not verdict.holds:
        names = ", ".join(check.name for check in verdict.checks if check.problems)
        return f"Not verified: {names}. Nothing is proven about this run."
    kind = verdict.facts["kind"]
    if kind == "none":
        return (
            "Verified: the files agree with one another and with their hashes. The run was made "
            "without a ledger, so nothing is proven about when it was made, by whom, or that it "
            "was not made again until the numbers pleased."
        )
    where = (
        "The ledger is a chain in the run folder, which whoever ran it can rewrite as a whole: the "
        "proof is as good as a copy of the journal or of the head kept elsewhere "
        f"(privaudit verify --head {verdict.facts['audit_head']})."
        if kind == "embedded"
        else f"The ledger is the contract {verdict.facts['contract']} on chain "
        f"{verdict.facts['chain_id']}; the proof is as good as that chain."
    )
    return (
        "Verified. Proven: the plan was registered before the first round; which results were "
        "recorded, by whom and in which order; that records, traces, evidence, scores and report "
        "have not changed since; that every client was paid by the stated rule, the passive "
        "adversary like everybody else. Not proven: that a number is true. The ledger shows who "
        "said what and when; it saw hashes, not training. " + where + " The ledger itself leaks: "
        "who took part is public, and rewards in proportion to samples disclose data-set sizes."
    )
