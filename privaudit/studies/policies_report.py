"""The report of policies: table, figure, answers; a pure function of its records."""

from __future__ import annotations

import json
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from privaudit.custody.folder import RunFolder
from privaudit.report.assumptions import limits
from privaudit.report.defences import epsilon_number, epsilon_text
from privaudit.report.drawings import Drawing
from privaudit.report.figures import NARROW, PLAIN
from privaudit.report.findings import Findings, Part, error_bars, write_findings
from privaudit.report.looks import MARKS
from privaudit.report.next_step import Next
from privaudit.report.provenance import SCENARIO
from privaudit.report.tables import interval_text
from privaudit.scenario.schema import NO_DEFENCE
from privaudit.studies import in_short
from privaudit.studies.paid import Paid
from privaudit.studies.policies import Policies, Policy

NOT_MEASURED = "not measured"
"""Of what the ledger leaks, of pay beside worth, and of free riders."""

UNMEASURED = "ledger's leak, pay error, free rider's share"
COMMAND = f"privaudit policies RUN/participant/{SCENARIO}"
CAPTION = (
    "Leak (AUC with 95 % interval), promise and price of every policy; a row for all reward rules "
    "that differ in nothing"
)

LEDGER_NOTE = (
    "Public ledger: AUC of the better of two attacks by somebody who never took part and reads "
    "verdicts and pay alone, and of the one on verdicts; '-per-N' and '-pool-N' settle N rounds at "
    "once. Sizes found: share of the clients whose number of records is told within 20 % by pay in "
    "ordinary training (every second one uses 0.4 of its own there). Pay error: share of all pay "
    "that would have to move for pay to be as leave-one-out on held-out records says. Free rider: "
    "what a client earns, in equal shares, that sends a random direction, or the last step of the "
    "global model. The rule and * take the larger leak of participant and public ledger."
)
NO_LEDGER_NOTE = (
    "Not measured: what the ledger leaks by a reward policy, how far pay is from what a delta is "
    "worth, and what a free rider earns. It takes properties that come and go by the round, and "
    "nobody active; here reward policies differ in what they exclude alone."
)


def write_policies(folder: RunFolder, found: Policies) -> None:
    """Write ``report/policies.{md,csv,json,svg}`` and ``report/index.html``."""
    title = found.scenario.title or found.scenario.name
    text = (
        "Points with 95 % intervals over runs: shape by defence, colour by reward policy; leak: "
        "the larger of participant and public ledger, so that policies whose ledgers leak less lie "
        "on one another; joined: those that no other beats. Left and up is better; dashed: a blind "
        "guess."
    )
    answer, step = policies_answer(found), next_of_policies(found)
    findings = Findings(
        kind="policies",
        title=f"Which protection, at what price: {title}",
        answer=answer,
        parts=[
            Part(
                table=policies_table(found),
                heads=1,
                stacked=True,
                caption=CAPTION,
                notes=policies_notes(found),
                drawing=Drawing.of("policies", "Leak against accuracy", text, _figure, found),
            )
        ],
        limits=limits(found.scenario),
        command=COMMAND,
        next=step,
        in_short=in_short.of_policies(found, answer, step),
        runs=found.runs,
    )
    document = json.dumps(policies_json(found), indent=1, allow_nan=False)
    write_findings(folder, findings, document=document, rows=policies_csv(found))


def policies_table(found: Policies) -> pd.DataFrame:
    """One row for all reward rules of a defence that differ in nothing, as text.

    ``*`` marks those that no other beats.
    """
    front = {id(policy) for policy in found.front()}
    rows: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for policy in found.policies:
        row = _row(policy, found, front=id(policy) in front)
        rows.setdefault(tuple(row.items()), []).append(policy.reward)
    return pd.DataFrame(
        [dict(row) | {"reward rule": ", ".join(rewards)} for row, rewards in rows.items()]
    )


def _row(policy: Policy, found: Policies, *, front: bool) -> dict[str, str]:
    """What is said of a policy, but for its reward rule."""
    asked = dict.fromkeys(key for p in found.policies for key in p.leaks)
    several = len({p.participants for p in found.policies}) > 1
    cost = policy.price
    row = {"defence": _name(policy) + (" *" if front else "")}
    row |= {"K": str(policy.participants)} if several else {}
    row["ε"] = _promises(policy)
    row["main task"] = interval_text(cost.accuracy) if cost.accuracy else NOT_MEASURED
    row["accuracy lost"] = interval_text(cost.lost) if cost.lost else "–"
    for game, who in asked:
        leak, ceiling = policy.leaks.get((game, who)), policy.ceilings.get((game, who))
        limit = f" (≤ {ceiling.auc:.2f})" if ceiling else ""
        row[f"{game}, {who}"] = f"{interval_text(leak)}{limit}" if leak else "–"
    for who in dict.fromkeys(who for p in found.policies for who in p.rebuilt):
        answer = policy.rebuilt.get(who)
        row[f"batch rebuilt, {who}"] = (
            f"{interval_text(answer[0])} (guess {answer[1].value:.2f})" if answer else "–"
        )
    row["bytes up"] = f"{cost.bytes_up:,.0f}" if cost.bytes_up else "–"
    return row | _of_ledger(policy.paid, found)


def _of_ledger(paid: Paid | None, found: Policies) -> dict[str, str]:
    """What the ledger leaks and pays, in columns of their own."""
    if not any(policy.paid for policy in found.policies):
        return {UNMEASURED: NOT_MEASURED}
    kinds = dict.fromkeys(kind for p in found.policies if p.paid for kind in p.paid.riders)
    of = [policy.paid for policy in found.policies if policy.paid]
    known = {
        "verdicts alone": (any(one.verdicts for one in of), paid.verdicts if paid else None),
        "sizes found": (any(one.sizes for one in of), paid.sizes if paid else None),
    }
    return {
        "public ledger, outsider": interval_text(paid.leak if paid else None),
        **{name: interval_text(value) for name, (there, value) in known.items() if there},
        "pay error": interval_text(paid.error if paid else None),
        **{
            f"free rider, {kind}": interval_text(paid.riders.get(kind) if paid else None)
            for kind in kinds
        },
    }


def _promises(policy: Policy) -> str:
    """ε, by game where games differ in it; who has none in any game, has none."""
    texts = {game: epsilon_text(claim) for game, claim in policy.claims.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{game}: {text}" for game, text in texts.items()) or epsilon_text(None)


def policies_notes(found: Policies) -> list[str]:
    """How to read the table."""
    lines = [
        "Leak: the highest AUC of all attacks and questions of a game, with what is sent looked at "
        "whole; in brackets the ceiling while the promise of ε is kept. The attacks know the "
        "defence. ε, and why there is none: the report of the run.",
        "Main task: test accuracy of the model after as many rounds under the defence as are "
        "audited; lost: by how much less that is than without a defence in the same run. * = no "
        "other policy leaks less at no less accuracy, by the values as measured (intervals may "
        "overlap).",
        LEDGER_NOTE if any(policy.paid for policy in found.policies) else NO_LEDGER_NOTE,
    ]
    if any(policy.rebuilt for policy in found.policies):
        lines.append(
            "Batch rebuilt: share of the target's batch in the best answer, beside that in a "
            "guess; it is no AUC, and neither the rule nor * looks at it."
        )
    return [*lines, *(f"Impossible: {why}." for why in found.impossible)]


def policies_answer(found: Policies) -> list[str]:
    """Which policy to take by the rule that is stated, and what else is not beaten."""
    plain, least, most_leak = found.undefended, found.least_accuracy, found.asked.most_leak
    looked = any(policy.paid for policy in found.policies)
    by_ledger = " to a participant" + " and by its ledger" * looked
    rule = (
        f"Rule: the most accurate policy whose leak{by_ledger} lies wholly between "
        f"{1 - most_leak:g} and {most_leak:g} (--max-leak) with an accuracy of at least "
        f"{least:.2f} (--min-accuracy)"
    )
    if not any(policy.leak for policy in found.policies):
        return ["No leak was measured as an AUC, so that the rule has nothing to choose by."]
    chosen = found.chosen(least)
    lines = [f"{rule}: {_said(chosen) if chosen else 'none of those measured'}."]
    if chosen is None:
        safe = found.chosen(0.0)
        lines.append(
            f"Without the bound on accuracy: {_said(safe)}."
            if safe
            else "No policy keeps the leak within these bounds, whatever it costs."
        )
    if plain:
        lines.append(f"Without a defence: {_said(plain)}.")
    alike: dict[str, list[Policy]] = {}
    for policy in found.front():
        alike.setdefault(_said(policy, ""), []).append(policy)
    for of in alike.values():
        lines.append(f"Not beaten: {_said(of[0], ', '.join(p.reward for p in of))}.")
    return lines


def next_of_policies(found: Policies) -> Next:
    """Does the choice hold with fewer clients; or else more runs, where intervals are the limit."""
    chosen = found.chosen(found.least_accuracy)
    if chosen is not None:
        named = json.dumps([_name(chosen)])
        return Next(
            f"privaudit dilution RUN/participant/{SCENARIO} --set 'audit.defences={named}'",
            "does the policy hold with fewer honest clients, and for who adds up rounds?",
        )
    return Next(
        f"{COMMAND} --seeds {2 * found.scenario.runs}",
        "shorter intervals, where no policy is shown to be within the bounds",
    )


def _said(policy: Policy, rewards: str | None = None) -> str:
    leak = f"AUC {interval_text(policy.leak)}" if policy.leak else "no leak measured"
    accuracy = interval_text(policy.accuracy) if policy.accuracy else NOT_MEASURED
    promise = policy.claim.epsilon if policy.claim else None
    said = f"ε = {epsilon_number(promise)}" if promise is not None else "no ε"
    return (
        f"'{_name(policy)}' with reward {policy.reward if rewards is None else rewards} at K = "
        f"{policy.participants} ({leak}, main task {accuracy}, {said})"
    )


def _name(policy: Policy) -> str:
    return policy.defence or NO_DEFENCE


def policies_csv(found: Policies) -> str:
    """The same as CSV."""
    return str(pd.DataFrame(policies_json(found)).to_csv(index=False, lineterminator="\n"))


def policies_json(found: Policies) -> list[dict[str, Any]]:
    """One object per policy, unrounded; None for what is not there."""
    front = {id(policy) for policy in found.front()}
    rows = []
    for policy in found.policies:
        claim, accuracy, lost = policy.claim, policy.accuracy, policy.price.lost
        row: dict[str, Any] = {
            "participants": policy.participants,
            "defence": _name(policy),
            "reward": policy.reward,
            "epsilon": claim.epsilon if claim else None,
            "delta": claim.delta if claim else None,
            "unit": claim.unit if claim and claim.epsilon is not None else None,
            "none": claim.none if claim else "nothing is promised",
            "accuracy": accuracy.value if accuracy else None,
            "accuracy_low": accuracy.low if accuracy else None,
            "accuracy_high": accuracy.high if accuracy else None,
            "lost": lost.value if lost else None,
            "lost_low": lost.low if lost else None,
            "lost_high": lost.high if lost else None,
            "bytes_up": policy.price.bytes_up,
            "front": id(policy) in front,
            **_ledger_json(policy.paid),
        }
        for (game, who), leak in policy.leaks.items():
            name = f"{game}_{who}"
            row |= {name: leak.value, f"{name}_low": leak.low, f"{name}_high": leak.high}
        for (game, who), ceiling in policy.ceilings.items():
            row[f"{game}_{who}_ceiling"] = ceiling.auc
        for who, (answer, guess) in policy.rebuilt.items():
            name = f"rebuilt_{who}"
            row |= {name: answer.value, f"{name}_low": answer.low, f"{name}_high": answer.high}
            row[f"{name}_guess"] = guess.value
        rows.append(row)
    return rows


def _ledger_json(paid: Paid | None) -> dict[str, Any]:
    """Value and limits of what is known of a ledger."""
    if paid is None:
        return {}
    known = {
        "public_ledger": paid.leak,
        "ledger_verdicts": paid.verdicts,
        "sizes_found": paid.sizes,
        "pay_error": paid.error,
    }
    known |= {f"free_rider_{kind}": earned for kind, earned in paid.riders.items()}
    row: dict[str, Any] = {"public_ledger_attack": paid.attack}
    for name, of in known.items():
        if of is not None:
            row |= {name: of.value, f"{name}_low": of.low, f"{name}_high": of.high}
    return row


@matplotlib.rc_context(PLAIN)
def _figure(found: Policies, *, narrow: bool = False) -> Figure:
    """Leak against accuracy: shape by defence, a ring for each reward policy.

    Where the ledger leaks less than a participant learns, rings of a defence lie on one another.
    """
    drawn = Figure(figsize=(NARROW if narrow else 7.0, 4.6), layout="constrained")
    axes = drawn.subplots()
    rewards, known = found.asked.rewards, [p for p in found.policies if p.leak and p.accuracy]
    places = list(dict.fromkeys(_label(policy, found) for policy in known))
    for policy in known:
        assert policy.leak
        assert policy.accuracy
        order = rewards.index(policy.reward)
        axes.errorbar(
            [policy.leak.value],
            [policy.accuracy.value],
            xerr=error_bars([policy.leak]),
            yerr=error_bars([policy.accuracy]),
            marker=MARKS[places.index(_label(policy, found)) % len(MARKS)],
            markersize=5 + 4 * (len(rewards) - 1 - order),
            color=f"C{order}",
            elinewidth=0.6,
            capsize=2,
        )
    line = sorted(
        {(p.leak.value, p.accuracy.value) for p in found.front() if p.leak and p.accuracy}
    )
    if line:
        axes.plot(*zip(*line, strict=True), color="grey", linewidth=1)
    axes.axvline(0.5, color="grey", linewidth=1, linestyle="--")
    axes.set_xlabel("leak to a participant or by the ledger: highest AUC")
    axes.set_ylabel("accuracy of the main task")
    handles = [
        *(
            Line2D([], [], color=f"C{n}", marker="o", ls="", label=f"reward {reward}")
            for n, reward in enumerate(rewards)
        ),
        *(
            Line2D([], [], color="grey", marker=MARKS[n % len(MARKS)], ls="", label=name)
            for n, name in enumerate(places)
        ),
    ]
    if known:
        columns = 2 if narrow else 4
        drawn.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize="small")
    return drawn


def _label(policy: Policy, found: Policies) -> str:
    name = _name(policy)
    several = len({p.participants for p in found.policies}) > 1
    return f"{name}, K = {policy.participants}" if several else name
