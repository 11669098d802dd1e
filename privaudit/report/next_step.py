"""The next measurement that would change a decision, as a command. Pure functions of records."""

from __future__ import annotations

from dataclasses import dataclass

from privaudit.evaluation.gate import seeds_needed
from privaudit.report.content import Content
from privaudit.report.provenance import command
from privaudit.report.verdict import HARMLESS, LEAK, verdicts
from privaudit.scenario.schema import PROPERTY, Scenario

LOWER = 10.0
"""A learning rate that diverged is tried again this many times smaller."""

MANY = 200
"""Runs that nobody waits for."""


@dataclass(frozen=True)
class Next:
    """What to measure next, and what it would decide."""

    command: str
    why: str

    def __str__(self) -> str:
        return f"Next: {self.command} ({self.why})"


def next_of_run(content: Content) -> Next:
    """Of one run."""
    scenario, troubles = content.scenario, content.troubles
    wrong = "; ".join(reason for reasons in troubles.values() for reason in reasons)
    if "diverged" in wrong:
        lower = f"--set federation.lr={scenario.federation.lr / LOWER:g}"
        if scenario.audit.lr is not None:
            lower += f" --set audit.lr={scenario.audit.lr / LOWER:g}"
        return Next(_again(scenario, lower), "nothing is said of a leak until it trains")
    if "norm_bound" in wrong:
        lift = "--set federation.norm_bound=null"
        return Next(_again(scenario, lift), "nothing was heard of clients that were refused")
    found = verdicts(scenario, content.cells, troubles, content.rebuilt)
    if any(verdict.outcome == LEAK for verdict in found):
        return Next(
            dilution_command(scenario),
            "with how many honest clients is it gone, if it goes at all?",
        )
    if not content.cells:
        more = f"--seeds {2 * scenario.runs}"
        return Next(_again(scenario, more), "rounds of twice as many runs tell smaller leaks")
    aucs = [cell.auc for cell in content.cells]
    if all(auc and auc.low > 1 - HARMLESS and auc.high < HARMLESS for auc in aucs):
        return Next(
            dilution_command(scenario),
            "hidden in a round is not hidden in a run: fewer clients, and an attacker who adds up "
            "rounds",
        )
    return _more_runs(content)


def _more_runs(content: Content) -> Next:
    """As many as would tell, or say that there is nothing; or more than now, where nobody waits."""
    scenario = content.scenario
    seeds = seeds_needed(content.scored, content.cells, HARMLESS)
    if seeds is None or seeds <= scenario.runs:
        seeds = 2 * scenario.runs
    if seeds > MANY:
        why = (
            f"tells smaller leaks; to show that there is none above {HARMLESS:g} would take about "
            f"{seeds:,} runs, as the target holds so few records"
        )
        return Next(_again(scenario, f"--seeds {4 * scenario.runs}"), why)
    more = f"--seeds {seeds + seeds % 2} --gate {HARMLESS:g}"
    return Next(_again(scenario, more), "enough to show a leak, or that there is none above it")


def _again(scenario: Scenario, more: str) -> str:
    return f"{command(scenario)} {more}"


def dilution_command(scenario: Scenario) -> str:
    """The same question at several numbers of clients."""
    made = command(scenario).replace("privaudit run", "privaudit dilution", 1)
    if scenario.audit.targets == "rotate":
        made += " --participants 3,5,9,17"
    if PROPERTY not in scenario.games:
        made += " --whole-runs 0"
    return made
