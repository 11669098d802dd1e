"""Audit evidence: plans before results, packed entries, supersession, the hash chain."""

from __future__ import annotations

import pytest
from ledger_world import AUDITOR, PLAN, RECORDS, World, entry, word
from reference import Entry, batch_head, plan_head, property_id, supersede_head

NONE = bytes(32)


def _planned(world: World) -> int:
    world.as_auditor("register_plan", PLAN)
    round_id = world.open_round()
    world.chain.mine()
    return round_id


def _record(world: World, entries: list[Entry], round_id: int = 0) -> None:
    count = world.view("audit_count")
    world.as_auditor("record_audits", round_id, count, PLAN, RECORDS, entries)


def _stored(world: World, index: int) -> Entry:
    return tuple(vars(world.view("get_audit", index).entry).values())


def test_a_plan_is_registered_once_and_says_when(world: World) -> None:
    world.open_round()
    world.chain.mine(50)
    event = world.as_auditor("register_plan", PLAN).only("PlanRegistered")
    head = plan_head(world.hashes.genesis_head(), 1, PLAN, 1, world.chain.now)
    expected = {"plan_hash": PLAN, "plan_id": 0, "link": 1, "round_count": 1, "head": head}
    assert event == expected
    plan = world.view("get_plan", PLAN)
    assert vars(plan) == {
        "plan_id": 0,
        "link": 1,
        "block_number": world.chain.number,
        "timestamp": world.chain.now,
        "round_count": 1,
    }
    assert (world.view("plan_count"), world.view("plan_hash_at", 0)) == (1, PLAN)
    world.refused("plan already registered", "register_plan", PLAN, sender=AUDITOR)
    world.refused("plan hash is zero", "register_plan", NONE, sender=AUDITOR)
    second = world.as_auditor("register_plan", word("second")).only("PlanRegistered")
    assert (second["plan_id"], second["link"]) == (1, 2)
    assert set(vars(world.view("get_plan", word("third"))).values()) == {0}


EXTREMES = [
    entry(),
    entry(property_id=property_id("gender", b"salt"), fraction=0, metric=65_535, runs=2**24 - 1),
    entry(fraction=10_000, value=-(2**39), low=-(2**39), high=2**39 - 1),
    entry(value=2**39 - 1, low=-1, high=0, participants=2**32 - 1, metric=0),
    entry(value=0, low=0, high=0, runs=0, participants=1),
    entry(property_id=property_id("gender", b"salt"), value=-1, low=-5, high=-5),
]


def test_entries_come_back_as_they_went_in(world: World) -> None:
    _planned(world)
    for index, item in enumerate(EXTREMES):
        _record(world, [item, EXTREMES[-1 - index]])
    for index, item in enumerate(EXTREMES):
        assert _stored(world, 2 * index) == item
        assert _stored(world, 2 * index + 1) == EXTREMES[-1 - index]
        assert world.view("get_audit", 2 * index + 1).batch == index
    assert world.view("property_count") == 2
    assert world.view("property_at", 2) == property_id("gender", b"salt")


def test_a_batch_says_what_it_is_about(world: World) -> None:
    round_id = _planned(world)
    _record(world, [entry()])
    world.chain.mine(7)
    entries = EXTREMES[:3]
    call = ("record_audits", round_id, 1, PLAN, word("more"), entries)
    event = world.as_auditor(*call).only("AuditsRecorded")
    recorded = [tuple(vars(item).values()) for item in event.pop("entries")]
    assert recorded == entries
    head = world.view("head_at", 2)
    assert event.pop("head") == batch_head(
        head, 3, round_id, PLAN, word("more"), 1, world.chain.now, entries
    )
    expected = {"round_id": round_id, "plan_hash": PLAN, "records_sha256": word("more")}
    assert event == {"batch": 1, "first_index": 1, "link": 3, **expected}
    batch = vars(world.view("get_batch", 1))
    assert batch == {
        "first_index": 1,
        "count": 3,
        "link": 3,
        "timestamp": world.chain.now,
        **expected,
    }


def test_many_entries_are_read_at_once(world: World) -> None:
    _planned(world)
    entries = [entry(value=800_000 + number) for number in range(128)]
    _record(world, entries)
    _record(world, [entry(value=1, low=0)])
    page = world.view("get_audits", 0, 1_000)
    assert [item.entry.value for item in page] == [item[3] for item in entries]
    assert [item.entry.value for item in world.view("get_audits", 127, 128)] == [800_127, 1]
    assert len(world.view("get_audits", 5, 3)) == 3
    assert world.view("get_audits", 129, 128) == []
    assert world.view("get_audits", 10**6, 1) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"property_id": NONE}, "property id is zero"),
        ({"fraction": 10_001}, "fraction above 10000"),
        ({"participants": 0}, "no participants"),
        ({"low": 880_001}, "interval upside down"),
        ({"runs": 0, "low": 0, "high": 0}, "failed cell with numbers"),
        ({"runs": 0, "value": 0, "low": 0}, "failed cell with numbers"),
        ({"runs": 0, "value": 0, "low": -1, "high": 0}, "failed cell with numbers"),
    ],
)
def test_bad_entries_are_refused(world: World, change: dict[str, int], reason: str) -> None:
    round_id = _planned(world)
    entries = [entry(), entry(**change)]
    call = ("record_audits", round_id, 0, PLAN, RECORDS, entries)
    world.refused(reason, *call, sender=AUDITOR)


def test_bad_batches_are_refused(world: World) -> None:
    round_id = _planned(world)
    good = [entry()]
    for arguments, reason in [
        ((round_id + 1, 0, PLAN, RECORDS, good), "no such round"),
        ((round_id, 1, PLAN, RECORDS, good), "audit count out of sequence"),
        ((round_id, 0, word("unregistered"), RECORDS, good), "plan not registered"),
        ((round_id, 0, PLAN, NONE, good), "records hash is zero"),
        ((round_id, 0, PLAN, RECORDS, []), "empty batch"),
    ]:
        world.refused(reason, "record_audits", *arguments, sender=AUDITOR)
    _record(world, good)
    repeated = (round_id, 0, PLAN, RECORDS, good)
    world.refused("audit count out of sequence", "record_audits", *repeated, sender=AUDITOR)


def test_a_plan_in_the_same_block_is_too_late(world: World) -> None:
    world.as_auditor("register_plan", PLAN)
    round_id = world.open_round()
    call = ("record_audits", round_id, 0, PLAN, RECORDS, [entry()])
    world.refused("plan not older than its results", *call, sender=AUDITOR)
    world.chain.mine(0)
    world.as_auditor(*call)


def test_a_plan_after_the_round_is_too_late(world: World) -> None:
    early = world.open_round()
    world.as_auditor("register_plan", PLAN)
    later = world.open_round()
    world.chain.mine()
    rest = (0, PLAN, RECORDS, [entry()])
    world.refused("plan not older than the round", "record_audits", early, *rest, sender=AUDITOR)
    world.as_auditor("record_audits", later, *rest)


def test_superseded_entries_stay(world: World) -> None:
    _planned(world)
    _record(world, [entry(), entry(value=850_000), entry(value=860_000)])
    event = world.as_auditor("supersede_audit", 0, 2).only("AuditSuperseded")
    head = supersede_head(world.view("head_at", 2), 3, 0, 2)
    assert event == {"old_index": 0, "new_index": 2, "link": 3, "head": head}
    old = world.view("get_audit", 0)
    assert (old.superseded, old.superseded_by, old.superseded_link) == (True, 2, 3)
    assert _stored(world, 0) == entry()
    new = world.view("get_audit", 2)
    assert (new.superseded, new.superseded_by, new.superseded_link) == (False, 0, 0)


def test_bad_supersessions_are_refused(world: World) -> None:
    _planned(world)
    _record(world, [entry(), entry(), entry()])
    world.as_auditor("supersede_audit", 0, 1)
    for indices, reason in [
        ((0, 2), "already superseded"),
        ((1, 3), "no such audit"),
        ((1, 1), "superseded by an earlier audit"),
        ((2, 1), "superseded by an earlier audit"),
    ]:
        world.refused(reason, "supersede_audit", *indices, sender=AUDITOR)


@pytest.mark.parametrize(
    ("name", "reason"), [("audit", "no such audit"), ("batch", "no such batch")]
)
def test_what_was_never_recorded_cannot_be_read(world: World, name: str, reason: str) -> None:
    world.refused(reason, f"get_{name}", 0, sender=AUDITOR)


def test_the_chain_is_recomputed_from_the_views_alone(world: World) -> None:
    round_id = _planned(world)
    _record(world, EXTREMES, round_id)
    world.as_auditor("register_plan", word("second"))
    world.as_auditor("supersede_audit", 1, 4)
    world.chain.mine(9)
    _record(world, EXTREMES[:1], round_id)
    world.as_auditor("supersede_audit", 0, 6)
    assert _links_from_views(world) == [
        world.view("head_at", link) for link in range(world.view("link_count") + 1)
    ]


def _links_from_views(world: World) -> list[bytes]:
    """What an auditor with nothing but view calls recomputes."""
    plans = [world.view("plan_hash_at", number) for number in range(world.view("plan_count"))]
    batches = [world.view("get_batch", number) for number in range(world.view("batch_count"))]
    audits = world.view("get_audits", 0, 128)
    links: dict[int, tuple] = {}
    for plan_hash in plans:
        plan = world.view("get_plan", plan_hash)
        links[plan.link] = (plan_head, plan_hash, plan.round_count, plan.timestamp)
    for batch in batches:
        items = audits[batch.first_index : batch.first_index + batch.count]
        entries = [tuple(vars(item.entry).values()) for item in items]
        about = (batch.round_id, batch.plan_hash, batch.records_sha256, batch.first_index)
        links[batch.link] = (batch_head, *about, batch.timestamp, entries)
    for index, item in enumerate(audits):
        if item.superseded:
            links[item.superseded_link] = (supersede_head, index, item.superseded_by)
    heads = [world.hashes.genesis_head()]
    for link in range(1, len(links) + 1):
        head, *fields = links[link]
        heads.append(head(heads[-1], link, *fields))
    return heads
