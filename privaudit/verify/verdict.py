"""What was checked of a run, what came of it, and what that proves, in plain words."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

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
        kind: of the ledger, by the plan: ``embedded``, ``rpc`` or ``none``; ``live`` of a judged
            live run, whose ledger, if it has one, ``facts`` name.
        facts: where the ledger is, by the seal; empty where that is not to be read.
        head: the head that was noted elsewhere and given.
        notes: what is not wrong, and good to know.
        anchor: what the anchor's chain has of the run, where it was asked and has something.
        same_code: whether the run was made by this code and these packages.
    """

    checks: tuple[Check, ...]
    kind: str
    facts: dict[str, Any]
    head: str | None = None
    notes: tuple[str, ...] = ()
    anchor: dict[str, Any] | None = None
    same_code: bool = True

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
    "layers, how training went and rounds ended, how alike records are, seconds) is bound by hash "
    "and not computed again."
)
LIVE = "live"
LIVE_AGREES = (
    "Verified: the files agree with one another and with their hashes; records, table and page "
    "follow from scores and truth{again}. Traces and truth are what listener and auditor kept: "
    "nothing is proven about the federation itself, when it ran, or that it was not judged "
    "{before} until the numbers pleased. {kept}"
)
LIVE_SEAL = (
    "seal.json has a checksum over everything; a copy of it kept elsewhere shows that nothing was "
    "changed since."
)
LIVE_EMBEDDED = (
    "They agree with the ledger in the folder, too. Its keys follow from the seed, so whoever has "
    "the folder can write it again: only a head that was kept elsewhere (--head HEAD) or anchored "
    "on a chain (--anchor-rpc URL) shows that nobody did. Here the head is {head}."
)
LIVE_HEAD = (
    "Against the head you kept: plan, traces, truths, scores, results and every file are those "
    "that it was noted for."
)
LIVE_RPC = (
    "Proven: what was judged, which results were recorded, by which account and when, and that "
    "nothing else was recorded under this plan and nothing was changed since; it is as good as "
    "chain {chain_id}, if the contract {contract} is the one you were told of."
)
OTHER_CODE = (
    "Verified: the files agree with one another and with their hashes; ground truth follows from "
    "scenario and data. Metrics, tables and pages are what the run says of itself: other code made "
    "them, and they are bound by hash and were not computed again."
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
    if verdict.kind == LIVE:
        return _live(verdict)
    return _of_a_run(verdict)


def _live(verdict: Verdict) -> str:
    attacked = any(check.name == "scores" and not check.skipped for check in verdict.checks)
    again = ", scores from traces and the listener's records" if attacked else ""
    kept = _kept_of_live(verdict)
    before = "again" if kept == LIVE_SEAL else "before"
    return LIVE_AGREES.format(again=again, before=before, kept=kept)


def _kept_of_live(verdict: Verdict) -> str:
    """What shows that nothing was changed."""
    from privaudit.verify.anchor import anchored

    kind = verdict.facts.get("kind", "none")
    if kind == "none":
        return LIVE_SEAL
    if kind == "rpc":
        return LIVE_RPC.format(**verdict.facts)
    if verdict.anchor:
        return f"Against the anchor: {anchored(verdict.anchor)}; all of it was there by then."
    return LIVE_HEAD if verdict.head else LIVE_EMBEDDED.format(head=verdict.facts["audit_head"])


def _of_a_run(verdict: Verdict) -> str:
    agree = FILES_AGREE if verdict.same_code else OTHER_CODE
    if verdict.kind == "none":
        return (
            f"{agree} The run was made without a ledger, so nothing is proven about when it "
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
        f"{agree} They agree with the ledger in the run folder, too: plan before results, "
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
