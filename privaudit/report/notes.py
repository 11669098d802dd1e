"""What a reader must know: notes under the table, assumptions, and what the result does not say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from privaudit.evaluation.cells import TableCell
from privaudit.report.published import published_gaps
from privaudit.scenario.schema import Scenario


def footnotes(
    scenario: Scenario, cells: Sequence[TableCell], remarks: Sequence[str] = ()
) -> list[str]:
    """What a reader must know to read the table; what ``run`` and ``table`` print below it.

    ``remarks`` are those of the engine on the model.
    """
    audit = scenario.audit
    notes = [
        *reading(scenario),
        f"Threat model: {audit.threat_model}. K participants include the adversary and the target; "
        f"protocol of the audited rounds: {audit.protocol}; other honest clients: "
        f"{_others(scenario)}.",
        f"Auxiliary data of the adversary: {_auxiliary(scenario)}.",
        *power_note(cells),
        *(f"Model: {remark}." for remark in remarks),
    ]
    return notes + published_notes(scenario, cells)


def reading(scenario: Scenario) -> list[str]:
    """What the numbers of the table are."""
    audit = scenario.audit
    return [
        f"AUC of telling {_what_is_told(audit.schedule)}, with its 95 % interval over federation "
        "runs; a blind guess has 0.50. "
        f"Runs: {scenario.runs}, of {audit.rounds} audited rounds each.",
        "* = above chance at a false discovery rate of 5 % over the table (permutation test, "
        "Benjamini-Hochberg), and the interval lies above 0.50.",
    ]


def published_notes(scenario: Scenario, cells: Sequence[TableCell]) -> list[str]:
    """The source of the published values, which of them lie outside our intervals, and why."""
    source = scenario.report.published_source
    lines = [f"published: {source}."] if source else []
    return [*lines, *published_gaps(scenario, cells), *scenario.report.notes]


def power_note(cells: Sequence[TableCell]) -> list[str]:
    """What this many rounds could have seen; empty where not even a perfect attack."""
    detectable = [cell.detectable for cell in cells if cell.detectable is not None]
    if not detectable:
        return []
    return [
        "Smallest AUC these n would have told from 0.50 in a single cell (80 % power, "
        f"one-sided 5 %): {max(detectable):.2f}."
    ]


def statistics(cells: Sequence[TableCell]) -> list[str]:
    """n, intervals, multiplicity and power, in words."""
    runs = sorted({cell.runs for cell in cells})
    rounds = sorted({cell.rounds for cell in cells})
    methods = dict.fromkeys(cell.auc.method for cell in cells if cell.auc)
    tested = sum(cell.p_value is not None for cell in cells)
    failed = sum(cell.auc is None for cell in cells)
    return [
        f"n: {_span(runs)} federation runs, {_span(rounds)} rounds in all of them, per cell. Runs "
        "are the unit of replication; rounds of one run are not independent.",
        f"Intervals: 95 %, {'; '.join(methods) or 'none'}. Not estimable: not enough rounds to "
        "resolve that false positive rate.",
        f"Against chance: one-sided permutation test per cell; the p-values of {tested} cells are "
        "adjusted together (Benjamini-Hochberg; starred: q below 0.05, interval above 0.50).",
        *(power_note(cells) or ["Power: not even a perfect attack would have been told reliably."]),
        *([f"Failed: {failed} of {len(cells)} cells have no result at all."] if failed else []),
        "The verdict names the highest cell of each property, and the highest of several is "
        "flattered by chance: read it with its row of the table.",
    ]


def _span(numbers: Sequence[int]) -> str:
    if not numbers:
        return "0"
    first, last = numbers[0], numbers[-1]
    return str(first) if first == last else f"{first} to {last}"


def assumptions(scenario: Scenario) -> list[tuple[str, str]]:
    """(what, how) for every assumption of the run, in the order a reader asks."""
    audit, federation = scenario.audit, scenario.federation
    lr = federation.lr if audit.lr is None else audit.lr
    sees = (
        "sees each client's delta; it is honest but curious"
        if audit.threat_model == "server"
        else "is client 0 of K, honest but curious; it sees the global model before and after each "
        "round, its own delta and K"
    )
    steps = "one step" if audit.local_steps == 1 else f"{audit.local_steps} local steps"
    training = (
        f"{federation.rounds} rounds of {federation.protocol} before the audit"
        if federation.rounds
        else "none before the audit: it starts at the initial weights"
    )
    rows = [
        ("Threat model", f"{audit.threat_model}: the adversary {sees}"),
        ("Auxiliary data", f"{_auxiliary(scenario)}; {audit.shadows} shadow batches of each kind"),
        (
            "Audited rounds",
            f"{audit.rounds} per cell and run, {audit.protocol}, {steps}, batch size "
            f"{audit.batch_size}, learning rate {lr:g}",
        ),
        ("Parameters of the audited rounds", _trajectory(scenario)),
        ("When the property is there", _schedule(scenario)),
        ("Other clients", _others(scenario)),
        ("Data", f"{_data_named(scenario)}, dealt by partition '{federation.partition}'"),
        ("Training", training),
    ]
    return [*rows, ("Defences", defence)] if (defence := _defences(scenario)) else rows


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
        "Nothing about active attackers, about membership of single records, or about rebuilding "
        "records: only the properties, attacks and threat model named here were tried.",
        "Nothing about federations whose rounds were not given: other models, data, batch sizes or "
        "later rounds may leak more or less.",
        "A cell without a star is not a proof of privacy; a stronger attack may exist, and what "
        "these n could have seen is stated beside it.",
    ]
    if scenario.audit.schedule == "single-batch":
        lines.append(
            "The property comes and goes by the round here; an attacker of a property that stays "
            "for the whole run can add up its rounds and do better."
        )
    if scenario.ledger.enabled:
        lines.append("Rewards are paid for verified deltas; they are no compensation for a leak.")
    return lines


def _defences(scenario: Scenario) -> str:
    """What clients do to their deltas besides sharing a fraction of them."""
    federation = scenario.federation
    parts = [
        f"deltas clipped to L2 norm {federation.clip_norm:g}" if federation.clip_norm else "",
        f"Gaussian noise of deviation {federation.noise:g}" if federation.noise else "",
    ]
    return ", ".join(part for part in parts if part)


def _schedule(scenario: Scenario) -> str:
    audit = scenario.audit
    share = f"{100 * audit.property_share:g} % of the target's records"
    if audit.schedule == "single-batch":
        return f"in half of the rounds, then in {share} of the batch; in the others in none"
    return f"in half of the runs, in every round, in {share}; the other runs are controls"


def _others(scenario: Scenario) -> str:
    if scenario.audit.others == "without":
        return "hold no record with the property in these rounds"
    return "hold the property at its natural rate"


def _auxiliary(scenario: Scenario) -> str:
    """What the adversary's auxiliary data share with the target: part of every result."""
    by_group = scenario.federation.partition == "by-group"
    text = "disjoint " + (
        "groups (nobody else holds records of the same group)" if by_group else "records"
    )
    overlap = scenario.audit.auxiliary_overlap
    return f"{text}, plus {100 * overlap:g} % of the target's own records" if overlap else text


def _what_is_told(schedule: str) -> str:
    if schedule == "single-batch":
        return "rounds in which the target's records have the property from the other rounds"
    return "rounds of runs in which the target's records have the property from rounds of controls"
