"""What was assumed of federation and adversary, and what the result does not say."""

from __future__ import annotations

from pathlib import Path

from privaudit.report import rebuilt
from privaudit.scenario.schema import LABELS, NO_DEFENCE, Scenario


def assumptions(scenario: Scenario) -> list[tuple[str, str]]:
    """(what, how) for every assumption of the run, in the order a reader asks."""
    audit, federation = scenario.audit, scenario.federation
    honest = "curious, and not honest" if is_active(scenario) else "honest but curious"
    sees = (
        "sees each client's delta; it is honest but curious"
        if audit.threat_model == "server"
        else f"is client 0 of K, {honest}; it sees the global model before and after each "
        "round, its own delta and K"
    )
    training = (
        f"{federation.rounds} rounds of {federation.protocol} before the audit"
        if federation.rounds
        else "none before the audit: it starts at the initial weights"
    )
    rows = [
        ("Threat model", f"{audit.threat_model}: the adversary {sees}"),
        *([("What it sends", _crafted(scenario))] if audit.alpha is not None else []),
        *([("Colluders", _colluders(scenario))] if audit.colluders else []),
        ("Auxiliary data", auxiliary(scenario)),
        *(_audited(scenario) if audit.properties else []),
        *(_asked_for_members(scenario) if scenario.membership else []),
        *rebuilt.assumed(scenario),
        ("Data", f"{_data_named(scenario)}, dealt by partition '{federation.partition}'"),
        *([("Training", training)] if audit.properties or scenario.reconstruction else []),
    ]
    return [*rows, ("Defences", defence)] if (defence := _defences(scenario)) else rows


def _colluders(scenario: Scenario) -> str:
    counts = [(k, scenario.audit.colluding(k)) for k in scenario.participants]
    each = "; ".join(f"K = {k}: {count}, so {k - 1 - count} honest" for k, count in counts)
    return (
        f"{scenario.audit.colluders} besides the adversary ({each}), clients 2 and on; they train "
        "like everybody else and pool with it their records and what they send, which it takes off "
        "the aggregate"
    )


def is_active(scenario: Scenario) -> bool:
    """Whether the adversary sends anything else than an ordinary client."""
    return bool(scenario.audit.alpha) or scenario.audit.boost != 1


def _crafted(scenario: Scenario) -> str:
    audit = scenario.audit
    boosted = f", times {audit.boost:g}" if audit.boost != 1 else ""
    if not audit.alpha:
        return f"what an ordinary client sends (alpha = 0){boosted}"
    return (
        f"deltas that lower {1 - audit.alpha:g} times the loss of the main task plus "
        f"{audit.alpha:g} times that of telling the property from the model's last shared "
        f"representation{boosted}; everybody else trains as usual"
    )


def with_crafting(scenario: Scenario) -> str:
    """To add to the threat model; empty where the adversary only listens."""
    audit = scenario.audit
    if not is_active(scenario):
        return ""
    boosted = f", boost = {audit.boost:g}" if audit.boost != 1 else ""
    return f", who sends crafted deltas (alpha = {audit.alpha:g}{boosted})"


def with_colluders(scenario: Scenario) -> str:
    """To add to the threat model; empty where nobody colludes."""
    colluders = scenario.audit.colluders
    if not colluders:
        return ""
    of_all = " of them" if isinstance(colluders, str) else ""
    return f", and {colluders}{of_all} who collude: they pool records and deltas with the adversary"


def _audited(scenario: Scenario) -> list[tuple[str, str]]:
    audit = scenario.audit
    lr = scenario.federation.lr if audit.lr is None else audit.lr
    steps = "one step" if audit.local_steps == 1 else f"{audit.local_steps} local steps"
    return [
        ("Shadows", f"{audit.shadows} batches of own records of each kind a round"),
        (
            "Audited rounds",
            f"{audit.rounds} per cell and run, {audit.protocol}, {steps}, batch size "
            f"{audit.batch_size}, learning rate {lr:g}",
        ),
        ("Parameters of the audited rounds", _trajectory(scenario)),
        ("Whose records", _targets(scenario)),
        ("When the property is there", _schedule(scenario)),
        ("Other clients", others(scenario)),
    ]


def _asked_for_members(scenario: Scenario) -> list[tuple[str, str]]:
    federation, wanted = scenario.federation, scenario.membership
    assert wanted is not None
    epochs = (
        f"{federation.local_epochs} passes over its records a round"
        if federation.protocol == "fedavg"
        else "one batch a round"
    )
    return [
        (
            "Membership",
            f"{wanted.candidates} records of the target's, of which it trains on a random half; "
            f"every client trains on {wanted.candidates // 2} records, from the initial weights, "
            f"{federation.rounds} round{'s' if federation.rounds != 1 else ''} of "
            f"{federation.protocol}, {epochs}, batch size "
            f"{federation.batch_size}, learning rate {federation.lr:g}; a federation for each cell",
        )
    ]


def _data_named(scenario: Scenario) -> str:
    path = scenario.data.options.get("path")
    return f"{scenario.data.name}, file {Path(path).name}" if path else scenario.data.name


def _trajectory(scenario: Scenario) -> str:
    if scenario.audit.trajectory == "own":
        return "each cell is a federation of its own: its model moves by what is sent in it"
    return (
        f"those of one federation of {scenario.federation.participants} clients per run, which "
        "goes on as usual; each audited round is set beside one of its rounds, for all cells"
    )


def limits(scenario: Scenario) -> list[str]:
    """What the result does not say."""
    lines = [
        f"Nothing about {', about '.join(not_asked(scenario))}: only what was asked, with the "
        "attacks and the threat model named here.",
        "Nothing about federations whose rounds were not given: other models, data, batch sizes or "
        "later rounds may leak more or less.",
        "A cell without a star is not a proof of privacy; a stronger attack may exist, and what "
        "these n could have seen is stated beside it.",
    ]
    if scenario.audit.properties and scenario.audit.schedule == "single-batch":
        lines.append(
            "The property comes and goes by the round here; an attacker of a property that stays "
            "for the whole run can add up its rounds and do better."
        )
    if scenario.ledger.enabled:
        lines.append("Rewards are paid for verified deltas; they are no compensation for a leak.")
    return lines


def not_asked(scenario: Scenario) -> list[str]:
    """What a reader might take to be answered, and is not."""
    members = [] if scenario.membership else ["membership of single records"]
    properties = [] if scenario.audit.properties else ["properties of records"]
    active = "other active attackers" if is_active(scenario) else "active attackers"
    asked = scenario.reconstruction
    records = [] if asked and asked.of != LABELS else ["rebuilding records"]
    return [active, *members, *properties, *records]


def _defences(scenario: Scenario) -> str:
    """What is done to deltas besides sharing a fraction of them."""
    federation, audited = scenario.federation, scenario.audit.defences
    parts = [
        f"while training '{federation.defence}'" if federation.defence else "",
        f"in audited rounds {', '.join(audited)}" if audited != [NO_DEFENCE] else "",
        f"deltas clipped to L2 norm {federation.clip_norm:g}" if federation.clip_norm else "",
        f"Gaussian noise of deviation {federation.noise:g}" if federation.noise else "",
    ]
    return ", ".join(part for part in parts if part)


def _schedule(scenario: Scenario) -> str:
    audit = scenario.audit
    share = f"{100 * audit.property_share:g} % of the target's records"
    if audit.schedule == "single-batch":
        return f"in half of the rounds, then in {share} of the batch; in the others in none"
    if audit.schedule == "episodes":
        stays = f"for {audit.episode} rounds" if audit.episode else "to the end"
        return (
            "in half of the runs it appears after the first quarter of the rounds, in a round that "
            f"is drawn, and stays {stays}, in {share} of each batch; in the other runs never"
        )
    return (
        "each federation is run twice, all else the same: once in every round, in "
        f"{share}, once in none"
    )


def _targets(scenario: Scenario) -> str:
    if scenario.audit.targets == "fixed":
        return "those of one target, client 1"
    return (
        "those of each honest client in turn: round t is about client 1 + t mod (K - 1); AUCs are "
        "within the rounds of each and averaged"
    )


def others(scenario: Scenario) -> str:
    """What the other honest clients do."""
    if scenario.audit.others == "without":
        return "hold no record with the property in these rounds"
    return "hold the property at its natural rate"


def auxiliary(scenario: Scenario) -> str:
    """What the adversary's auxiliary data share with the target: part of every result."""
    by_group = scenario.federation.partition == "by-group"
    text = "disjoint " + (
        "groups (nobody else holds records of the same group)" if by_group else "records"
    )
    overlap, held_out = scenario.audit.auxiliary_overlap, scenario.audit.auxiliary_held_out
    if held_out:
        text += f", {100 * held_out:g} % of its own, which it did not train on"
    return f"{text}, plus {100 * overlap:g} % of the target's own records" if overlap else text
