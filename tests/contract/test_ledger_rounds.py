"""Rounds: opening, submitting, settling, closing, expiring, and their deadlines."""

from __future__ import annotations

import pytest
from ledger_world import (
    ACCEPTED,
    ADMIN,
    BUDGET,
    CLIENTS,
    COORDINATOR,
    MODEL,
    OUTSIDER,
    REJECTED,
    SETTLE_SECONDS,
    STRANGER,
    SUBMIT_SECONDS,
    World,
    word,
)

NONE = bytes(32)
FULL_YEAR = 366 * 86_400


def test_opening_reserves_the_budget(world: World) -> None:
    now = world.chain.now
    result = world.as_coordinator("open_round", 0, MODEL, 400, now + 1, now + FULL_YEAR)
    assert result.only("RoundOpened") == {
        "round_id": 0,
        "opener": COORDINATOR,
        "model_hash": MODEL,
        "budget": 400,
        "submit_deadline": now + 1,
        "settle_deadline": now + FULL_YEAR,
    }
    names = ("treasury", "reserved", "total_credits", "round_count")
    assert [world.view(name) for name in names] == [9_600, 400, 0, 1]
    opened = world.view("get_round", 0)
    assert (opened.state, opened.model_hash, opened.budget, opened.spent) == (1, MODEL, 400, 0)
    assert (opened.submit_deadline, opened.settle_deadline) == (now + 1, now + FULL_YEAR)
    assert (opened.submitted, opened.settled, opened.rooted) == (0, 0, 0)
    assert (opened.result_hash, opened.commitments_root) == (NONE, NONE)
    assert opened.rewards_posted is False


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((1, MODEL, 10, 5, 9), "round id out of sequence"),
        ((0, NONE, 10, 5, 9), "model hash is zero"),
        ((0, MODEL, 0, 5, 9), "budget is zero"),
        ((0, MODEL, 10_001, 5, 9), "treasury too small"),
        ((0, MODEL, 10, 0, 9), "submit deadline has passed"),
        ((0, MODEL, 10, 5, 5), "settle deadline not after submit deadline"),
        ((0, MODEL, 10, 5, FULL_YEAR + 1), "settle deadline too far"),
    ],
)
def test_bad_openings_are_refused(world: World, arguments: tuple, reason: str) -> None:
    round_id, model, budget, submit, settle = arguments
    deadlines = (world.chain.now + submit, world.chain.now + settle)
    arguments = (round_id, model, budget, *deadlines)
    world.refused(reason, "open_round", *arguments, sender=COORDINATOR)


def test_a_repeated_opening_is_refused(world: World) -> None:
    world.open_round()
    deadlines = (world.chain.now + 5, world.chain.now + 9)
    arguments = (0, MODEL, 10, *deadlines)
    world.refused("round id out of sequence", "open_round", *arguments, sender=COORDINATOR)


def test_clients_submit_once(world: World) -> None:
    round_id = world.open_round()
    event = world.call("submit", round_id, word("c"), sender=CLIENTS[2]).only("Submitted")
    assert event == {"round_id": round_id, "client": CLIENTS[2], "commitment": word("c")}
    submission = world.view("get_submission", round_id, CLIENTS[2])
    assert (submission.commitment, submission.outcome) == (word("c"), 0)
    assert world.view("get_round", round_id).submitted == 1
    world.refused("already submitted", "submit", round_id, word("d"), sender=CLIENTS[2])
    world.refused("commitment is zero", "submit", round_id, NONE, sender=CLIENTS[3])
    world.refused("not registered", "submit", round_id, word("d"), sender=OUTSIDER)
    world.refused("round not open", "submit", round_id + 1, word("d"), sender=CLIENTS[3])


def test_rounds_are_apart(world: World) -> None:
    first, second = world.open_round(), world.open_round()
    world.submit(first, CLIENTS[:2])
    world.submit(second, CLIENTS[1:4])
    world.chain.mine(SUBMIT_SECONDS)
    world.as_coordinator("settle", second, [(CLIENTS[1], 1_000, ACCEPTED)])
    assert world.view("get_submission", first, CLIENTS[1]).outcome == 0
    counts = [(r.submitted, r.settled, r.spent) for r in map(world.view_round, (first, second))]
    assert counts == [(2, 0, 0), (3, 1, 1_000)]


def test_the_submit_deadline_divides_submitting_from_settling(world: World) -> None:
    round_id = world.open_round()
    world.submit(round_id, CLIENTS[:1])
    settlement = [(CLIENTS[0], 5, ACCEPTED)]
    world.chain.mine(SUBMIT_SECONDS - 1)
    early = "submissions have not ended"
    world.refused(early, "settle", round_id, settlement, sender=COORDINATOR)
    world.refused(early, "close_round", round_id, word("result"), sender=COORDINATOR)
    world.submit(round_id, CLIENTS[1:2])
    world.chain.mine(1)
    late = "submissions have ended"
    world.refused(late, "submit", round_id, word("late"), sender=CLIENTS[2])
    world.refused(late, "end_submissions", round_id, sender=COORDINATOR)
    world.as_coordinator("settle", round_id, settlement)


def test_a_complete_cohort_need_not_wait(world: World) -> None:
    round_id = world.open_round()
    world.submit(round_id, CLIENTS[:1])
    event = world.as_coordinator("end_submissions", round_id).only("SubmissionsEnded")
    assert event == {"round_id": round_id, "timestamp": world.chain.now}
    world.refused("submissions have ended", "submit", round_id, word("c"), sender=CLIENTS[1])
    world.as_coordinator("settle", round_id, [(CLIENTS[0], 5, ACCEPTED)])
    world.as_coordinator("close_round", round_id, word("result"))


def test_settling_credits_the_accepted_and_keeps_the_reason_of_the_rejected(world: World) -> None:
    round_id = world.submitted_round()
    settlements = [(CLIENTS[0], 600, ACCEPTED), (CLIENTS[5], 0, 255), (CLIENTS[1], 0, ACCEPTED)]
    events = world.as_coordinator("settle", round_id, settlements).events
    assert [(event.name, *event.args.values()) for event in events] == [
        ("Settled", round_id, *settlement) for settlement in settlements
    ]
    outcomes = [world.view("get_submission", round_id, client).outcome for client in CLIENTS]
    assert outcomes == [1, 1, 0, 0, 0, 255]
    assert [world.credit(client) for client in CLIENTS] == [600, 0, 0, 0, 0, 0]
    after = world.view("get_round", round_id)
    assert (after.settled, after.spent) == (3, 600)
    assert (world.view("reserved"), world.view("total_credits")) == (400, 600)


def test_outcomes_of_neighbours_do_not_touch(world: World) -> None:
    clients = [f"0x{number:040x}" for number in range(1, 101)]
    world.as_coordinator("register_clients", clients)
    round_id = world.open_round()
    world.submit(round_id, clients)
    world.chain.mine(SUBMIT_SECONDS)
    outcomes = {client: 255 - number for number, client in enumerate(clients)}
    world.as_coordinator("settle", round_id, [(c, 0, code) for c, code in outcomes.items()])
    for client, outcome in outcomes.items():
        assert world.view("get_submission", round_id, client).outcome == outcome


@pytest.mark.parametrize(
    ("settlements", "reason"),
    [
        ([], "empty batch"),
        ([(OUTSIDER, 5, ACCEPTED)], "nothing submitted"),
        ([(CLIENTS[5], 5, ACCEPTED)], "nothing submitted"),
        ([(CLIENTS[0], 5, ACCEPTED)], "already settled"),
        ([(CLIENTS[1], 0, REJECTED)], "already settled"),
        ([(CLIENTS[2], 5, ACCEPTED), (CLIENTS[2], 5, ACCEPTED)], "already settled"),
        ([(CLIENTS[2], 5, 0)], "outcome is missing"),
        ([(CLIENTS[2], 5, REJECTED)], "rejected clients earn nothing"),
        ([(CLIENTS[2], BUDGET - 9, ACCEPTED)], "over budget"),
        ([(CLIENTS[2], 500, ACCEPTED), (CLIENTS[3], 491, ACCEPTED)], "over budget"),
    ],
)
def test_bad_settlements_are_refused(world: World, settlements: list, reason: str) -> None:
    round_id = world.submitted_round(CLIENTS[:5])
    first = [(CLIENTS[0], 10, ACCEPTED), (CLIENTS[1], 0, REJECTED)]
    world.as_coordinator("settle", round_id, first)
    world.refused(reason, "settle", round_id, settlements, sender=COORDINATOR)
    assert [world.credit(client) for client in CLIENTS] == [10, 0, 0, 0, 0, 0]


def test_amounts_cannot_wrap_around(world: World) -> None:
    round_id = world.submitted_round()
    settlements = [(CLIENTS[0], 2**256 - 1, ACCEPTED), (CLIENTS[1], 2, ACCEPTED)]
    world.refused("", "settle", round_id, settlements, sender=COORDINATOR)


def test_the_whole_budget_can_be_spent(world: World) -> None:
    round_id = world.submitted_round(CLIENTS[:1])
    world.as_coordinator("settle", round_id, [(CLIENTS[0], BUDGET, ACCEPTED)])
    closed = world.as_coordinator("close_round", round_id, word("result")).only("RoundClosed")
    assert (closed["spent"], closed["returned"]) == (BUDGET, 0)


def test_closing_returns_what_is_left(world: World) -> None:
    round_id = world.settled_round(CLIENTS[:3], amount=50)
    event = world.as_coordinator("close_round", round_id, word("result")).only("RoundClosed")
    assert event == {
        "round_id": round_id,
        "result_hash": word("result"),
        "spent": 150,
        "returned": 850,
    }
    names = ("treasury", "reserved", "total_credits")
    assert [world.view(name) for name in names] == [9_850, 0, 150]
    closed = world.view("get_round", round_id)
    assert (closed.state, closed.result_hash) == (2, word("result"))


def test_bad_closings_are_refused(world: World) -> None:
    round_id = world.submitted_round(CLIENTS[:2])
    world.as_coordinator("settle", round_id, [(CLIENTS[0], 1, ACCEPTED)])
    close = ("close_round", round_id)
    world.refused("submissions not settled", *close, word("result"), sender=COORDINATOR)
    world.as_coordinator("settle", round_id, [(CLIENTS[1], 0, REJECTED)])
    world.refused("result hash is zero", *close, NONE, sender=COORDINATOR)
    world.as_coordinator(*close, word("result"))
    world.refused("round not open", *close, word("result"), sender=COORDINATOR)


def test_a_closed_round_takes_nothing(world: World) -> None:
    round_id = world.settled_round(CLIENTS[:2])
    world.as_coordinator("close_round", round_id, word("result"))
    gone = "round not open"
    world.refused(gone, "submit", round_id, word("c"), sender=CLIENTS[4])
    world.refused(gone, "end_submissions", round_id, sender=COORDINATOR)
    world.refused(gone, "post_commitments", round_id, word("r"), 1, sender=COORDINATOR)
    world.refused(gone, "settle", round_id, [(CLIENTS[4], 1, ACCEPTED)], sender=COORDINATOR)
    world.refused(gone, "post_rewards", round_id, 0, word("r"), 1, sender=COORDINATOR)
    world.chain.mine(10 * SETTLE_SECONDS)
    world.refused(gone, "expire_round", round_id, sender=STRANGER)


def test_a_new_coordinator_takes_over_open_rounds(world: World) -> None:
    round_id = world.settled_round(CLIENTS[:1])
    world.as_admin("set_coordinator", STRANGER)
    close = ("close_round", round_id, word("result"))
    world.refused("only the coordinator", *close, sender=COORDINATOR)
    world.call(*close, sender=STRANGER)
    assert world.view("treasury") == 9_990


def test_who_is_replaced_or_late_has_nothing_at_stake(world: World) -> None:
    """Version 1 took bonds: lost to a replaced coordinator, locked for ever by a late one."""
    round_id = world.submitted_round()
    world.chain.mine(SETTLE_SECONDS)
    late = ("post_commitments", round_id, word("no such tree"), 2**32 - 1)
    world.refused("submissions have ended", *late, sender=COORDINATOR)
    world.as_admin("set_coordinator", STRANGER)
    world.call("expire_round", round_id, sender=ADMIN)
    assert world.balance() == world.view("treasury") == 10_000


def test_anyone_expires_a_stalled_round(world: World) -> None:
    round_id = world.submitted_round(CLIENTS[:4])
    world.as_coordinator("settle", round_id, [(CLIENTS[0], 100, ACCEPTED)])
    world.chain.mine(SETTLE_SECONDS - SUBMIT_SECONDS - 1)
    world.refused("settle deadline not reached", "expire_round", round_id, sender=STRANGER)
    world.chain.mine(1)
    event = world.call("expire_round", round_id, sender=STRANGER).only("RoundExpired")
    assert event == {
        "round_id": round_id,
        "caller": STRANGER,
        "spent": 100,
        "returned": 900,
    }
    names = ("treasury", "reserved", "total_credits")
    assert [world.view(name) for name in names] == [9_900, 0, 100]
    assert world.view("get_round", round_id).state == 3
    world.refused("round not open", "expire_round", round_id, sender=STRANGER)
    world.refused("round not open", "close_round", round_id, word("r"), sender=COORDINATOR)


def test_a_late_coordinator_may_settle_until_somebody_expires(world: World) -> None:
    round_id = world.submitted_round(CLIENTS[:1])
    world.chain.mine(10 * SETTLE_SECONDS)
    world.as_coordinator("settle", round_id, [(CLIENTS[0], 100, ACCEPTED)])
    world.as_coordinator("close_round", round_id, word("result"))


def test_a_round_never_opened_is_all_zero(world: World) -> None:
    values = set(vars(world.view_round(7)).values())
    assert values == {0, NONE}
    submission = world.view("get_submission", 7, OUTSIDER)
    assert (submission.commitment, submission.outcome) == (NONE, 0)
