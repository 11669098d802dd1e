"""Large cohorts: one commitments root per round, one cumulative reward root per ledger."""

from __future__ import annotations

import pytest
from ledger_world import (
    ADMIN,
    BUDGET,
    CLIENTS,
    COORDINATOR,
    OUTSIDER,
    STRANGER,
    SUBMIT_SECONDS,
    World,
    word,
)
from reference import Hashes, MerkleTree

NONE = bytes(32)
Grants = dict[str, int]


class Rewards:
    """A published list of cumulative rewards, its tree, and claims against it."""

    def __init__(self, hashes: Hashes, grants: Grants) -> None:
        self.grants = grants
        leaves = [hashes.reward_leaf(c, wei, word(f"salt {c}")) for c, wei in grants.items()]
        self.tree = MerkleTree(leaves)

    def claim(self, client: str) -> tuple[str, int, bytes, list[bytes]]:
        """The arguments of ``claim``."""
        proof = self.tree.proof(list(self.grants).index(client))
        return client, self.grants[client], word(f"salt {client}"), proof


def _post(world: World, round_id: int, grants: Grants, allocated: int) -> Rewards:
    rewards = Rewards(world.hashes, grants)
    epoch = world.view("reward_epoch")
    world.as_coordinator("post_rewards", round_id, epoch, rewards.tree.root, allocated)
    return rewards


def test_a_commitments_root_is_posted_once(world: World) -> None:
    round_id = world.open_round()
    post = ("post_commitments", round_id)
    world.refused("root is zero", *post, NONE, 3, sender=COORDINATOR)
    world.refused("count is zero", *post, word("root"), 0, sender=COORDINATOR)
    for count in (7, 2**32 - 1):
        world.refused("more leaves than clients", *post, word("root"), count, sender=COORDINATOR)
    world.chain.mine(SUBMIT_SECONDS - 1)
    event = world.as_coordinator(*post, word("root"), 6).only("CommitmentsPosted")
    assert event == {"round_id": round_id, "root": word("root"), "count": 6}
    stored = world.view_round(round_id)
    assert (stored.commitments_root, stored.rooted) == (word("root"), 6)
    assert (stored.submitted, stored.settled, stored.rewards_posted) == (0, 0, False)
    again = "commitments already posted"
    world.refused(again, *post, word("other"), 3, sender=COORDINATOR)


def test_no_commitments_once_submissions_have_ended(world: World) -> None:
    for end in (SUBMIT_SECONDS, 10 * SUBMIT_SECONDS):
        late = ("post_commitments", world.open_round(), word("root"), 1)
        world.chain.mine(end)
        world.refused("submissions have ended", *late, sender=COORDINATOR)


def test_who_is_left_out_of_the_root_can_still_submit(world: World) -> None:
    round_id = world.open_round()
    world.as_coordinator("post_commitments", round_id, word("root"), 3)
    world.submit(round_id, CLIENTS[:1])
    world.chain.mine(SUBMIT_SECONDS)
    world.as_coordinator("post_rewards", round_id, 0, word("rewards"), 5)
    close = ("close_round", round_id, word("result"))
    world.refused("submissions not settled", *close, sender=COORDINATOR)
    world.as_coordinator("settle", round_id, [(CLIENTS[0], 5, 1)])
    world.as_coordinator(*close)
    assert world.view_round(round_id).spent == 10


def test_rewards_move_from_the_budget_to_the_pool(world: World) -> None:
    round_id = world.rooted_round()
    event = world.as_coordinator("post_rewards", round_id, 0, word("rewards"), 700)
    assert event.only("RewardsPosted") == {
        "epoch": 0,
        "round_id": round_id,
        "root": word("rewards"),
        "allocated": 700,
    }
    names = ("reserved", "reward_pool", "reward_epoch", "reward_root")
    assert [world.view(name) for name in names] == [300, 700, 1, word("rewards")]
    after = world.view_round(round_id)
    assert (after.spent, after.rewards_posted) == (700, True)
    again = ("post_rewards", round_id, 1, word("rewards"), 1)
    world.refused("rewards already posted", *again, sender=COORDINATOR)
    world.refused("nothing to sweep", "sweep_forced", sender=STRANGER)  # the pool is somebody's


@pytest.mark.parametrize(
    ("epoch", "root", "allocated", "reason"),
    [
        (1, word("r"), 5, "reward epoch out of sequence"),
        (0, NONE, 5, "root is zero"),
        (0, word("r"), BUDGET + 1, "over budget"),
    ],
)
def test_bad_rewards_are_refused(
    world: World, epoch: int, root: bytes, allocated: int, reason: str
) -> None:
    round_id = world.rooted_round()
    post = ("post_rewards", round_id, epoch, root, allocated)
    world.refused(reason, *post, sender=COORDINATOR)


def test_rewards_need_a_rooted_round_whose_submissions_ended(world: World) -> None:
    plain = world.submitted_round()
    post = ("post_rewards", plain, 0, word("r"), 5)
    world.refused("no commitments posted", *post, sender=COORDINATOR)
    early = world.open_round()
    world.as_coordinator("post_commitments", early, word("root"), 3)
    post = ("post_rewards", early, 0, word("r"), 5)
    world.refused("submissions have not ended", *post, sender=COORDINATOR)


def test_a_rooted_round_closes_after_its_rewards_only(world: World) -> None:
    round_id = world.rooted_round()
    close = ("close_round", round_id, word("result"))
    world.refused("rewards not posted", *close, sender=COORDINATOR)
    world.as_coordinator("post_rewards", round_id, 0, word("rewards"), 0)
    world.as_coordinator(*close)


def test_a_claim_pays_the_difference_over_many_rounds(world: World) -> None:
    first = _post(
        world, world.rooted_round(), {CLIENTS[0]: 100, CLIENTS[1]: 50, CLIENTS[2]: 7}, 157
    )
    event = world.call("claim", *first.claim(CLIENTS[0]), sender=STRANGER).only("RewardClaimed")
    assert event == {"client": CLIENTS[0], "amount": 100, "cumulative": 100}
    world.refused("nothing to claim", "claim", *first.claim(CLIENTS[0]), sender=STRANGER)

    grants = {CLIENTS[0]: 130, CLIENTS[1]: 90, CLIENTS[2]: 7}
    second = _post(world, world.rooted_round(), grants, 70)
    world.refused("proof does not match", "claim", *first.claim(CLIENTS[1]), sender=STRANGER)
    for client in CLIENTS[:3]:
        world.call("claim", *second.claim(client), sender=client)
        assert world.view("claimed", client) == grants[client]
    assert [world.credit(client) for client in CLIENTS[:3]] == [130, 90, 7]
    assert (world.view("reward_pool"), world.view("total_credits")) == (0, 227)


def test_claims_never_exceed_the_allocation(world: World) -> None:
    rewards = _post(world, world.rooted_round(), {CLIENTS[0]: 60, CLIENTS[1]: 60}, 100)
    world.open_round()
    world.call("claim", *rewards.claim(CLIENTS[0]), sender=STRANGER)
    over = rewards.claim(CLIENTS[1])
    world.refused("claims exceed the allocation", "claim", *over, sender=STRANGER)


def test_a_lower_grant_takes_nothing_back(world: World) -> None:
    first = _post(world, world.rooted_round(), {CLIENTS[0]: 60}, 60)
    world.call("claim", *first.claim(CLIENTS[0]), sender=STRANGER)
    second = _post(world, world.rooted_round(), {CLIENTS[0]: 59}, 0)
    world.refused("nothing to claim", "claim", *second.claim(CLIENTS[0]), sender=STRANGER)
    assert world.credit(CLIENTS[0]) == 60


def test_only_a_registered_client_claims(world: World) -> None:
    rewards = _post(world, world.rooted_round(), {CLIENTS[0]: 60, OUTSIDER: 40}, 100)
    world.refused("not registered", "claim", *rewards.claim(OUTSIDER), sender=OUTSIDER)
    world.as_coordinator("register_clients", [OUTSIDER])
    world.call("claim", *rewards.claim(OUTSIDER), sender=OUTSIDER)


def test_a_changed_leaf_does_not_match(world: World) -> None:
    rewards = _post(world, world.rooted_round(), {c: 10 + i for i, c in enumerate(CLIENTS)}, 75)
    client, wei, salt, proof = rewards.claim(CLIENTS[3])
    for changed in [
        (CLIENTS[4], wei, salt, proof),
        (client, wei + 1, salt, proof),
        (client, wei, word("other salt"), proof),
        (client, wei, salt, proof[:-1]),
        (client, wei, salt, [*proof, NONE]),
        (client, wei, salt, proof[::-1]),
    ]:
        world.refused("proof does not match", "claim", *changed, sender=client)
    world.call("claim", client, wei, salt, proof, sender=client)


def test_leaves_of_another_ledger_do_not_match(world: World) -> None:
    for elsewhere in (Hashes(1, world.ledger.address), Hashes(world.chain.chain_id, CLIENTS[0])):
        rewards = Rewards(elsewhere, {CLIENTS[0]: 10, CLIENTS[1]: 5})
        epoch = world.view("reward_epoch")
        round_id = world.rooted_round()
        world.as_coordinator("post_rewards", round_id, epoch, rewards.tree.root, 15)
        claim = rewards.claim(CLIENTS[0])
        world.refused("proof does not match", "claim", *claim, sender=STRANGER)


def test_without_a_root_there_is_nothing_to_claim(world: World) -> None:
    unproven = (CLIENTS[0], 10, word("salt"), list[bytes]())
    world.refused("proof does not match", "claim", *unproven, sender=STRANGER)


def test_what_nobody_claims_returns_after_a_year(world: World) -> None:
    """Version 1 kept for ever what was allocated beyond the leaves, or to who has lost a key."""
    year = world.view("CLAIM_SECONDS")
    assert world.view("claims_end") == 0
    world.refused("nothing to sweep", "sweep_rewards", sender=ADMIN)
    first = _post(world, world.rooted_round(), {CLIENTS[0]: 60, CLIENTS[1]: 40}, 250)
    posted = world.chain.now
    world.call("claim", *first.claim(CLIENTS[0]), sender=STRANGER)
    world.chain.mine(year - 1)
    assert world.view("claims_end") == posted + year
    world.refused("claims have not ended", "sweep_rewards", sender=ADMIN)
    world.chain.mine(1)
    event = world.as_admin("sweep_rewards").only("RewardsSwept")
    assert event == {"epoch": 1, "amount": 190}
    names = ("reward_pool", "reward_root", "reward_epoch", "treasury", "reserved")
    assert [world.view(name) for name in names] == [0, NONE, 1, 9_190, 750]
    world.refused("proof does not match", "claim", *first.claim(CLIENTS[1]), sender=STRANGER)
    world.refused("nothing to sweep", "sweep_rewards", sender=ADMIN)


def test_a_new_root_starts_the_year_anew(world: World) -> None:
    year = world.view("CLAIM_SECONDS")
    _post(world, world.rooted_round(), {CLIENTS[0]: 60}, 60)
    world.chain.mine(year)
    second = _post(world, world.rooted_round(), {CLIENTS[0]: 60, CLIENTS[1]: 5}, 5)
    world.chain.mine(year - 1)
    world.refused("claims have not ended", "sweep_rewards", sender=ADMIN)
    world.call("claim", *second.claim(CLIENTS[0]), sender=STRANGER)
    world.chain.mine(1)
    assert world.as_admin("sweep_rewards").only("RewardsSwept") == {"epoch": 2, "amount": 5}
    third = _post(world, world.rooted_round(), {CLIENTS[0]: 60, CLIENTS[1]: 7}, 7)
    world.call("claim", *third.claim(CLIENTS[1]), sender=STRANGER)
    assert world.credit(CLIENTS[1]) == 7
