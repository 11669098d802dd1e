"""The story of one run, from deployment to the last withdrawal."""

from __future__ import annotations

from ledger_chain import START
from ledger_world import (
    ACCEPTED,
    AUDITOR,
    CLIENTS,
    PLAN,
    RECORDS,
    REJECTED,
    World,
    entry,
    word,
)
from reference import batch_head, plan_head


def test_a_run_pays_its_clients_and_keeps_its_evidence(world: World) -> None:
    registered = world.as_auditor("register_plan", PLAN).only("PlanRegistered")
    head = plan_head(world.hashes.genesis_head(), 1, PLAN, 0, START)
    assert registered["head"] == head

    round_id = world.submitted_round()
    settlements = [(client, 100, ACCEPTED) for client in CLIENTS[:5]]
    world.as_coordinator("settle", round_id, [*settlements, (CLIENTS[5], 0, REJECTED)])
    closed = world.as_coordinator("close_round", round_id, word("result")).only("RoundClosed")
    assert (closed["spent"], closed["returned"]) == (500, 500)

    entries = [entry(), entry(fraction=10_000, value=930_000, high=960_000)]
    recorded = world.as_auditor("record_audits", round_id, 0, PLAN, RECORDS, entries)
    now = world.chain.now
    head = batch_head(head, 2, round_id, PLAN, RECORDS, 0, now, entries)
    assert recorded.only("AuditsRecorded")["head"] == head == world.view("audit_head")

    for client in CLIENTS[:5]:
        before = world.chain.evm.get_balance(client)
        world.call("withdraw_for", client, sender=AUDITOR)
        assert world.chain.evm.get_balance(client) - before == 100
    assert world.balance() == world.view("treasury") == 9_500
