# SPDX-License-Identifier: Apache-2.0
# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
"""
@title RewardLedger
@author privaudit
@license Apache-2.0
@notice Pays the clients of federated rounds for verified deltas out of an escrowed treasury, and
        keeps audit evidence (registered plans, measured leakage, hashes of the records) beside it.
@dev Money only ever comes in by `deposit` and leaves in `_pay_out`. Everything else moves amounts
     between four buckets whose sum never exceeds the balance: `treasury`, `reserved`,
     `reward_pool`, `total_credits` (ether forced upon the contract is in none until
     `sweep_forced`).
     With `nonreentrancy on` every external function, getters included, holds one global lock.
     There are no immutables: the code at the address equals the runtime bytecode of the artefact.
     The state machine of a round, all preimages and the invariants are in `contracts/README.md`.
"""


# ---------------------------------------------------------------------------------- constants

VERSION: public(constant(String[8])) = "2"
MAX_BATCH: public(constant(uint256)) = 256
MAX_AUDIT_BATCH: public(constant(uint256)) = 128
MAX_PROOF: constant(uint256) = 40
MAX_ROUND_SECONDS: public(constant(uint256)) = 366 * 86400
CLAIM_SECONDS: public(constant(uint256)) = 366 * 86400
FULL_FRACTION: constant(uint16) = 10_000

STATE_NONE: constant(uint256) = 0
STATE_OPEN: constant(uint256) = 1
STATE_CLOSED: constant(uint256) = 2
STATE_EXPIRED: constant(uint256) = 3

OUTCOME_UNSETTLED: constant(uint8) = 0
OUTCOME_ACCEPTED: constant(uint8) = 1

DOMAIN_NAME: constant(String[24]) = "privaudit RewardLedger"
# Of what clients sign, which version 2 of the contract has left as it was.
DOMAIN_VERSION: constant(String[8]) = "1"
DOMAIN_TYPEHASH: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
SUBMISSION_TYPEHASH: constant(bytes32) = keccak256(
    "Submission(uint256 round,address client,bytes32 commitment)"
)
# Half the order of secp256k1: (n - 1) / 2.
HALF_CURVE_ORDER: constant(uint256) = (
    57896044618658097711785492504343953926418782139537452191302581570759080747168
)

REWARD_TAG: constant(bytes32) = keccak256("privaudit.ledger.reward.v1")
GENESIS_TAG: constant(bytes32) = keccak256("privaudit.ledger.audit.genesis.v1")
PLAN_TAG: constant(bytes32) = keccak256("privaudit.ledger.audit.plan.v1")
BATCH_TAG: constant(bytes32) = keccak256("privaudit.ledger.audit.batch.v1")
SUPERSEDE_TAG: constant(bytes32) = keccak256("privaudit.ledger.audit.supersede.v1")

# Added to a signed 40-bit number before packing, so that what is stored is never negative.
BIAS: constant(int256) = 2**39
MASK8: constant(uint256) = 2**8 - 1
MASK16: constant(uint256) = 2**16 - 1
MASK24: constant(uint256) = 2**24 - 1
MASK32: constant(uint256) = 2**32 - 1
MASK40: constant(uint256) = 2**40 - 1
MASK48: constant(uint256) = 2**48 - 1


# ---------------------------------------------------------------------------------- structs

# What `get_round` returns: wei, unix seconds, counts.
struct Round:
    state: uint256
    model_hash: bytes32
    result_hash: bytes32
    commitments_root: bytes32
    budget: uint256
    spent: uint256
    submit_deadline: uint256
    settle_deadline: uint256
    submitted: uint256
    settled: uint256
    rooted: uint256
    rewards_posted: bool


# What is stored of a round; `progress` packs what changes with every submission.
struct RoundStore:
    model_hash: bytes32
    result_hash: bytes32
    commitments_root: bytes32
    budget: uint256
    spent: uint256
    progress: uint256


# The unpacked word: 8-bit state, two 48-bit deadlines, three 32-bit counts, 1 flag.
struct Progress:
    state: uint256
    submit_deadline: uint256
    settle_deadline: uint256
    submitted: uint256
    settled: uint256
    rooted: uint256
    rewards_posted: uint256


struct Submission:
    commitment: bytes32
    outcome: uint8


struct SignedSubmission:
    client: address
    commitment: bytes32
    v: uint8
    r: bytes32
    s: bytes32


# Wei; outcome 1 accepted, 2..255 why rejected.
struct Settlement:
    client: address
    amount: uint256
    outcome: uint8


# Fraction in basis points; value and interval in millionths; `runs == 0`: the cell failed.
struct AuditEntry:
    property_id: bytes32
    fraction: uint16
    metric: uint16
    value: int40
    low: int40
    high: int40
    participants: uint32
    runs: uint24


struct Audit:
    entry: AuditEntry
    batch: uint256
    superseded: bool
    superseded_by: uint256
    superseded_link: uint256


struct Plan:
    plan_id: uint256
    link: uint256
    block_number: uint256
    timestamp: uint256
    round_count: uint256


struct Batch:
    round_id: uint256
    plan_hash: bytes32
    records_sha256: bytes32
    first_index: uint256
    count: uint256
    link: uint256
    timestamp: uint256


# ---------------------------------------------------------------------------------- events

event AdminOffered:
    admin: indexed(address)
    candidate: indexed(address)

event AdminChanged:
    previous: indexed(address)
    admin: indexed(address)

event CoordinatorChanged:
    previous: indexed(address)
    coordinator: indexed(address)

event AuditorChanged:
    previous: indexed(address)
    auditor: indexed(address)

event ClientRegistered:
    client: indexed(address)
    client_id: uint256

event Deposited:
    sender: indexed(address)
    amount: uint256

event TreasuryReleased:
    to: indexed(address)
    amount: uint256

event Withdrawn:
    account: indexed(address)
    to: indexed(address)
    amount: uint256

event RoundOpened:
    round_id: indexed(uint256)
    opener: indexed(address)
    model_hash: bytes32
    budget: uint256
    submit_deadline: uint256
    settle_deadline: uint256

event Submitted:
    round_id: indexed(uint256)
    client: indexed(address)
    commitment: bytes32

event SubmissionSkipped:
    round_id: indexed(uint256)
    client: indexed(address)

event SubmissionsEnded:
    round_id: indexed(uint256)
    timestamp: uint256

event CommitmentsPosted:
    round_id: indexed(uint256)
    root: bytes32
    count: uint256

event Settled:
    round_id: indexed(uint256)
    client: indexed(address)
    amount: uint256
    outcome: uint8

event RewardsPosted:
    epoch: indexed(uint256)
    round_id: indexed(uint256)
    root: bytes32
    allocated: uint256

event RewardClaimed:
    client: indexed(address)
    amount: uint256
    cumulative: uint256

event RewardsSwept:
    epoch: indexed(uint256)
    amount: uint256

event RoundClosed:
    round_id: indexed(uint256)
    result_hash: bytes32
    spent: uint256
    returned: uint256

event RoundExpired:
    round_id: indexed(uint256)
    caller: indexed(address)
    spent: uint256
    returned: uint256

event PlanRegistered:
    plan_hash: indexed(bytes32)
    plan_id: uint256
    link: uint256
    round_count: uint256
    head: bytes32

event AuditsRecorded:
    batch: indexed(uint256)
    round_id: indexed(uint256)
    plan_hash: indexed(bytes32)
    records_sha256: bytes32
    first_index: uint256
    link: uint256
    head: bytes32
    entries: DynArray[AuditEntry, MAX_AUDIT_BATCH]

event AuditSuperseded:
    old_index: indexed(uint256)
    new_index: indexed(uint256)
    link: uint256
    head: bytes32


# ---------------------------------------------------------------------------------- storage

# Roles. The coordinator and the auditor are never the same account.
admin: public(address)
pending_admin: public(address)
coordinator: public(address)
auditor: public(address)

# Money, in wei.
treasury: public(uint256)
reserved: public(uint256)
reward_pool: public(uint256)
total_credits: public(uint256)
credits: public(HashMap[address, uint256])

# Clients. Ids count from 1; 0 means "not registered".
client_count: public(uint256)
client_id: public(HashMap[address, uint256])

# Rounds.
round_count: public(uint256)
_rounds: HashMap[uint256, RoundStore]
_commitments: HashMap[uint256, HashMap[address, bytes32]]
# One byte per client, 32 clients to a word, addressed by client id.
_outcomes: HashMap[uint256, HashMap[uint256, uint256]]

# Cumulative rewards. `_rewards` packs the number of roots posted and the time of the last.
reward_root: public(bytes32)
_rewards: uint256
claimed: public(HashMap[address, uint256])

# Audit evidence. `head_at[link_count]` is the head of the hash chain.
link_count: public(uint256)
head_at: public(HashMap[uint256, bytes32])
plan_count: public(uint256)
plan_hash_at: public(HashMap[uint256, bytes32])
_plans: HashMap[bytes32, uint256]
property_count: public(uint256)
property_at: public(HashMap[uint256, bytes32])
_property_number: HashMap[bytes32, uint256]
batch_count: public(uint256)
_batches: HashMap[uint256, uint256]
_batch_records: HashMap[uint256, bytes32]
audit_count: public(uint256)
_audits: HashMap[uint256, uint256]
_superseded: HashMap[uint256, uint256]


# ---------------------------------------------------------------------------------- set-up, roles

@deploy
def __init__(coordinator: address, auditor: address):
    """
    @notice Makes the deployer the admin and starts the audit chain.
    @param coordinator Opens, settles and closes rounds and registers clients.
    @param auditor Registers plans and records audits; never the coordinator.
    """
    self.admin = msg.sender
    log AdminChanged(previous=empty(address), admin=msg.sender)
    self._set_coordinator(coordinator)
    self._set_auditor(auditor)
    self.head_at[0] = keccak256(abi_encode(GENESIS_TAG, chain.id, self))


@external
def offer_admin(candidate: address):
    """
    @notice First step of the hand-over; the candidate must accept. The zero address withdraws it.
    @param candidate The account that may become admin.
    """
    self._only_admin()
    self.pending_admin = candidate
    log AdminOffered(admin=msg.sender, candidate=candidate)


@external
def accept_admin():
    """
    @notice Second step of the hand-over, by the candidate.
    """
    assert msg.sender == self.pending_admin, "only the offered admin"
    previous: address = self.admin
    self.admin = msg.sender
    self.pending_admin = empty(address)
    log AdminChanged(previous=previous, admin=msg.sender)


@external
def set_coordinator(coordinator: address):
    """
    @notice Replaces the coordinator, who takes over the open rounds.
    @param coordinator The new coordinator; neither zero nor the auditor.
    """
    self._only_admin()
    self._set_coordinator(coordinator)


@external
def set_auditor(auditor: address):
    """
    @notice Replaces the auditor.
    @param auditor The new auditor; neither zero nor the coordinator.
    """
    self._only_admin()
    self._set_auditor(auditor)


@external
def register_clients(clients: DynArray[address, MAX_BATCH]):
    """
    @notice Registers clients; each gets the next client id.
    @param clients Accounts that are not registered yet.
    """
    self._only_coordinator()
    assert len(clients) > 0, "empty batch"
    count: uint256 = self.client_count
    for client: address in clients:
        assert client != empty(address), "client is the zero address"
        assert self.client_id[client] == 0, "already registered"
        count += 1
        self.client_id[client] = count
        log ClientRegistered(client=client, client_id=count)
    self.client_count = count


# ---------------------------------------------------------------------------------- money in, out

@external
@payable
def deposit():
    """
    @notice Adds native token to the treasury; anyone may. Plain transfers are refused.
    """
    assert msg.value > 0, "nothing deposited"
    self.treasury += msg.value
    log Deposited(sender=msg.sender, amount=msg.value)


@external
def release_treasury(to: address, amount: uint256):
    """
    @notice Turns unreserved treasury into credit of an account, which withdraws it itself.
    @param to The account to credit.
    @param amount Wei, at most the treasury.
    """
    self._only_admin()
    assert to != empty(address), "recipient is the zero address"
    assert amount > 0, "amount is zero"
    assert amount <= self.treasury, "treasury too small"
    self.treasury -= amount
    self._credit(to, amount)
    log TreasuryReleased(to=to, amount=amount)


@external
def sweep_forced():
    """
    @notice Takes ether that was forced upon the contract (a self-destruct, a block reward) into
            the treasury; anyone may. It is logged as a deposit of the contract itself.
    """
    held: uint256 = self.treasury + self.reserved + self.reward_pool + self.total_credits
    forced: uint256 = self.balance - held
    assert forced > 0, "nothing to sweep"
    self.treasury += forced
    log Deposited(sender=self, amount=forced)


@external
def withdraw(to: address):
    """
    @notice Pays the caller's whole credit to an address of the caller's choice.
    @param to The address that receives it.
    """
    assert to != empty(address), "recipient is the zero address"
    self._pay_out(msg.sender, to)


@external
def withdraw_for(account: address):
    """
    @notice Pays an account's whole credit to that account itself. Anyone may, so that somebody
            else can pay the gas of a client that has nothing yet.
    @param account The account with the credit.
    """
    self._pay_out(account, account)


# ---------------------------------------------------------------------------------- rounds

@external
def open_round(
    round_id: uint256,
    model_hash: bytes32,
    budget: uint256,
    submit_deadline: uint256,
    settle_deadline: uint256,
):
    """
    @notice Opens a round and reserves its budget.
    @param round_id Must equal `round_count`; makes a repeated transaction fail.
    @param model_hash Hash of the global model the clients start from.
    @param budget Wei; the most the round can pay.
    @param submit_deadline Unix seconds; submissions are taken strictly before it.
    @param settle_deadline Unix seconds; from then on anyone may expire the round.
    """
    self._only_coordinator()
    assert round_id == self.round_count, "round id out of sequence"
    assert model_hash != empty(bytes32), "model hash is zero"
    assert budget > 0, "budget is zero"
    assert budget <= self.treasury, "treasury too small"
    assert submit_deadline > block.timestamp, "submit deadline has passed"
    assert settle_deadline > submit_deadline, "settle deadline not after submit deadline"
    assert settle_deadline <= block.timestamp + MAX_ROUND_SECONDS, "settle deadline too far"
    self.treasury -= budget
    self.reserved += budget
    self.round_count = round_id + 1
    self._rounds[round_id].model_hash = model_hash
    self._rounds[round_id].budget = budget
    self._store_progress(
        round_id,
        Progress(
            state=STATE_OPEN,
            submit_deadline=submit_deadline,
            settle_deadline=settle_deadline,
            submitted=0,
            settled=0,
            rooted=0,
            rewards_posted=0,
        ),
    )
    log RoundOpened(
        round_id=round_id,
        opener=msg.sender,
        model_hash=model_hash,
        budget=budget,
        submit_deadline=submit_deadline,
        settle_deadline=settle_deadline,
    )


@external
def submit(round_id: uint256, commitment: bytes32):
    """
    @notice A registered client commits to its delta, once per round.
    @param round_id An open round before its submit deadline.
    @param commitment Opaque to the contract, not zero; its preimage is in the README.
    """
    progress: Progress = self._submitting(round_id)
    assert self._commitments[round_id][msg.sender] == empty(bytes32), "already submitted"
    self._record_submission(round_id, msg.sender, commitment)
    progress.submitted += 1
    self._store_progress(round_id, progress)


@external
def submit_signed(
    round_id: uint256, submissions: DynArray[SignedSubmission, MAX_BATCH]
) -> uint256:
    """
    @notice Relays commitments that clients signed (EIP-712); anyone may relay.
    @dev The round takes the place of a nonce: a client commits once per round, and a signature
         holds for one round, one contract and one chain. Clients that have already submitted are
         skipped, so that nobody can make a whole batch fail by submitting first.
    @param round_id An open round before its submit deadline.
    @param submissions Client, commitment and signature (v of 27 or 28, low s).
    @return How many were recorded.
    """
    progress: Progress = self._submitting(round_id)
    assert len(submissions) > 0, "empty batch"
    domain: bytes32 = self._domain_separator()
    recorded: uint256 = 0
    for item: SignedSubmission in submissions:
        if self._commitments[round_id][item.client] != empty(bytes32):
            log SubmissionSkipped(round_id=round_id, client=item.client)
            continue
        assert convert(item.s, uint256) <= HALF_CURVE_ORDER, "signature not in low-s form"
        digest: bytes32 = self._digest(domain, round_id, item.client, item.commitment)
        signer: address = ecrecover(digest, item.v, item.r, item.s)
        assert signer != empty(address), "signature not recoverable"
        assert signer == item.client, "signature of another account"
        self._record_submission(round_id, item.client, item.commitment)
        recorded += 1
    progress.submitted += recorded
    self._store_progress(round_id, progress)
    return recorded


@external
def end_submissions(round_id: uint256):
    """
    @notice Ends the submissions of a round before their deadline, once the cohort is complete.
    @param round_id An open round before its submit deadline.
    """
    self._only_coordinator()
    progress: Progress = self._submitting(round_id)
    progress.submit_deadline = block.timestamp
    self._store_progress(round_id, progress)
    log SubmissionsEnded(round_id=round_id, timestamp=block.timestamp)


@external
def post_commitments(round_id: uint256, root: bytes32, count: uint32):
    """
    @notice Large cohorts: one root over all commitments instead of a submission per client.
    @param round_id An open round before its submit deadline, without a root.
    @param root Merkle root over commitment leaves (README).
    @param count Number of leaves, at least 1, at most one per registered client.
    """
    self._only_coordinator()
    progress: Progress = self._submitting(round_id)
    assert progress.rooted == 0, "commitments already posted"
    assert root != empty(bytes32), "root is zero"
    assert count > 0, "count is zero"
    progress.rooted = convert(count, uint256)
    assert progress.rooted <= self.client_count, "more leaves than clients"
    self._rounds[round_id].commitments_root = root
    self._store_progress(round_id, progress)
    log CommitmentsPosted(round_id=round_id, root=root, count=progress.rooted)


@external
def settle(round_id: uint256, settlements: DynArray[Settlement, MAX_BATCH]):
    """
    @notice Judges submissions: accepted clients are credited, rejected ones get a reason code.
    @param round_id An open round whose submissions have ended.
    @param settlements Client, amount in wei, and outcome: 1 accepted, 2..255 why rejected.
    """
    self._only_coordinator()
    progress: Progress = self._settling(round_id)
    assert len(settlements) > 0, "empty batch"
    total: uint256 = 0
    for item: Settlement in settlements:
        self._settle_one(round_id, item)
        total += item.amount
    self._spend(round_id, total)
    self.total_credits += total
    progress.settled += len(settlements)
    self._store_progress(round_id, progress)


@external
def post_rewards(round_id: uint256, epoch: uint256, root: bytes32, allocated: uint256):
    """
    @notice Settles the rooted part of a round: replaces the one cumulative reward root and moves
            what it newly allocates from the round's budget to the reward pool.
    @param round_id An open round with a commitments root whose submissions have ended.
    @param epoch Must equal `reward_epoch`; makes a repeated transaction fail.
    @param root Merkle root over reward leaves (README) of all clients and rounds so far.
    @param allocated Wei by which the sum of all leaves grew; may be 0.
    """
    self._only_coordinator()
    progress: Progress = self._settling(round_id)
    assert epoch == self._rewards & MASK40, "reward epoch out of sequence"
    assert progress.rooted > 0, "no commitments posted"
    assert progress.rewards_posted == 0, "rewards already posted"
    assert root != empty(bytes32), "root is zero"
    self._spend(round_id, allocated)
    self.reward_pool += allocated
    self.reward_root = root
    self._rewards = (epoch + 1) | (block.timestamp << 40)
    progress.rewards_posted = 1
    self._store_progress(round_id, progress)
    log RewardsPosted(epoch=epoch, round_id=round_id, root=root, allocated=allocated)


@external
def claim(
    client: address, cumulative: uint256, salt: bytes32, proof: DynArray[bytes32, MAX_PROOF]
):
    """
    @notice Credits a registered client with what the reward root grants it beyond what it has
            claimed before. Anyone may call it for the client, until the root is swept.
    @param client The client of the leaf.
    @param cumulative Wei granted in all rounds so far.
    @param salt The leaf's salt.
    @param proof Sibling hashes from leaf to root.
    """
    assert self.client_id[client] != 0, "not registered"
    leaf: bytes32 = keccak256(
        keccak256(abi_encode(REWARD_TAG, chain.id, self, client, cumulative, salt))
    )
    assert self._root_of(leaf, proof) == self.reward_root, "proof does not match"
    before: uint256 = self.claimed[client]
    assert cumulative > before, "nothing to claim"
    amount: uint256 = cumulative - before
    assert amount <= self.reward_pool, "claims exceed the allocation"
    self.claimed[client] = cumulative
    self.reward_pool -= amount
    self._credit(client, amount)
    log RewardClaimed(client=client, amount=amount, cumulative=cumulative)


@external
def sweep_rewards():
    """
    @notice Takes into the treasury what was allocated and not claimed within `CLAIM_SECONDS` of
            the last root, or never could be: more than the leaves, leaves of nobody. The root ends
            with it, so that a late claim cannot take what a later root allocates to others.
    """
    self._only_admin()
    amount: uint256 = self.reward_pool
    assert amount > 0, "nothing to sweep"
    assert block.timestamp >= self._claims_end(), "claims have not ended"
    self.reward_pool = 0
    self.treasury += amount
    self.reward_root = empty(bytes32)
    log RewardsSwept(epoch=self._rewards & MASK40, amount=amount)


@external
def close_round(round_id: uint256, result_hash: bytes32):
    """
    @notice Closes a fully settled round: unspent budget goes back to the treasury.
    @param round_id An open round in which every submission has been judged.
    @param result_hash Hash of the global model after the round.
    """
    self._only_coordinator()
    progress: Progress = self._settling(round_id)
    assert progress.settled == progress.submitted, "submissions not settled"
    assert progress.rooted == 0 or progress.rewards_posted == 1, "rewards not posted"
    assert result_hash != empty(bytes32), "result hash is zero"
    progress.state = STATE_CLOSED
    self._store_progress(round_id, progress)
    self._rounds[round_id].result_hash = result_hash
    returned: uint256 = self._return_unspent(round_id)
    log RoundClosed(
        round_id=round_id,
        result_hash=result_hash,
        spent=self._rounds[round_id].spent,
        returned=returned,
    )


@external
def expire_round(round_id: uint256):
    """
    @notice Ends a stalled round after its settle deadline; anyone may. What was settled stays;
            unspent budget goes back to the treasury.
    @param round_id An open round at or after its settle deadline.
    """
    progress: Progress = self._open(round_id)
    assert block.timestamp >= progress.settle_deadline, "settle deadline not reached"
    progress.state = STATE_EXPIRED
    self._store_progress(round_id, progress)
    returned: uint256 = self._return_unspent(round_id)
    log RoundExpired(
        round_id=round_id,
        caller=msg.sender,
        spent=self._rounds[round_id].spent,
        returned=returned,
    )


# ---------------------------------------------------------------------------------- audit evidence

@external
def register_plan(plan_hash: bytes32):
    """
    @notice The auditor states what will be measured before it is measured.
    @param plan_hash Hash of the resolved scenario; not zero, not registered before.
    """
    self._only_auditor()
    assert plan_hash != empty(bytes32), "plan hash is zero"
    assert self._plans[plan_hash] == 0, "plan already registered"
    plan_id: uint256 = self.plan_count
    rounds: uint256 = self.round_count
    link: uint256 = self.link_count + 1
    self.plan_count = plan_id + 1
    self.plan_hash_at[plan_id] = plan_hash
    self._plans[plan_hash] = (
        plan_id | (link << 40) | (block.number << 80) | (block.timestamp << 128) | (rounds << 176)
    )
    head: bytes32 = self._extend(
        keccak256(
            abi_encode(
                PLAN_TAG, self.head_at[link - 1], link, plan_hash, rounds, block.timestamp
            )
        )
    )
    log PlanRegistered(
        plan_hash=plan_hash, plan_id=plan_id, link=link, round_count=rounds, head=head
    )


@external
def record_audits(
    round_id: uint256,
    expected_count: uint256,
    plan_hash: bytes32,
    records_sha256: bytes32,
    entries: DynArray[AuditEntry, MAX_AUDIT_BATCH],
):
    """
    @notice Appends audit results and extends the hash chain with them.
    @param round_id The round the results are about (of a whole run: its last round), opened
           after the plan was registered.
    @param expected_count Must equal `audit_count`; makes a repeated transaction fail.
    @param plan_hash A plan registered in an earlier block.
    @param records_sha256 SHA-256 of the file of records the entries come from.
    @param entries Results; numbers are fixed point with six decimals, fractions basis points;
           `runs == 0` marks a cell that failed, whose numbers must be 0.
    """
    self._only_auditor()
    assert round_id < self.round_count, "no such round"
    assert expected_count == self.audit_count, "audit count out of sequence"
    plan: uint256 = self._plans[plan_hash]
    assert plan != 0, "plan not registered"
    assert block.number > (plan >> 80) & MASK48, "plan not older than its results"
    assert round_id >= plan >> 176, "plan not older than the round"
    assert records_sha256 != empty(bytes32), "records hash is zero"
    assert len(entries) > 0, "empty batch"
    batch: uint256 = self.batch_count
    index: uint256 = expected_count
    for entry: AuditEntry in entries:
        self._audits[index] = self._packed(entry, batch)
        index += 1
    link: uint256 = self.link_count + 1
    self.audit_count = index
    self.batch_count = batch + 1
    self._batch_records[batch] = records_sha256
    self._batches[batch] = (
        round_id
        | ((plan & MASK40) << 40)
        | (expected_count << 80)
        | (len(entries) << 120)
        | (link << 136)
        | (block.timestamp << 176)
    )
    head: bytes32 = self._extend(
        keccak256(
            abi_encode(
                BATCH_TAG,
                self.head_at[link - 1],
                link,
                round_id,
                plan_hash,
                records_sha256,
                expected_count,
                block.timestamp,
                keccak256(abi_encode(entries)),
            )
        )
    )
    log AuditsRecorded(
        batch=batch,
        round_id=round_id,
        plan_hash=plan_hash,
        records_sha256=records_sha256,
        first_index=expected_count,
        link=link,
        head=head,
        entries=entries,
    )


@external
def supersede_audit(old_index: uint256, new_index: uint256):
    """
    @notice Marks an entry as replaced by a later one. Both stay.
    @param old_index An entry that is not superseded.
    @param new_index A later entry.
    """
    self._only_auditor()
    assert new_index < self.audit_count, "no such audit"
    assert old_index < new_index, "superseded by an earlier audit"
    assert self._superseded[old_index] == 0, "already superseded"
    link: uint256 = self.link_count + 1
    self._superseded[old_index] = new_index | (link << 128)
    head: bytes32 = self._extend(
        keccak256(
            abi_encode(SUPERSEDE_TAG, self.head_at[link - 1], link, old_index, new_index)
        )
    )
    log AuditSuperseded(old_index=old_index, new_index=new_index, link=link, head=head)


# ---------------------------------------------------------------------------------- views

@external
@view
def get_round(round_id: uint256) -> Round:
    """
    @notice Everything about a round; all zero for one that was never opened.
    @param round_id The round.
    @return state 0 none, 1 open, 2 closed, 3 expired; hashes; wei; unix seconds; counts.
    """
    progress: Progress = self._progress(round_id)
    stored: RoundStore = self._rounds[round_id]
    return Round(
        state=progress.state,
        model_hash=stored.model_hash,
        result_hash=stored.result_hash,
        commitments_root=stored.commitments_root,
        budget=stored.budget,
        spent=stored.spent,
        submit_deadline=progress.submit_deadline,
        settle_deadline=progress.settle_deadline,
        submitted=progress.submitted,
        settled=progress.settled,
        rooted=progress.rooted,
        rewards_posted=progress.rewards_posted == 1,
    )


@external
@view
def get_submission(round_id: uint256, client: address) -> Submission:
    """
    @notice A client's commitment and how it was judged.
    @param round_id The round.
    @param client The client.
    @return commitment (0: none); outcome 0 not judged, 1 accepted, 2..255 why rejected.
    """
    outcome: uint8 = OUTCOME_UNSETTLED
    if self.client_id[client] != 0:
        outcome = self._outcome(round_id, self.client_id[client])
    return Submission(commitment=self._commitments[round_id][client], outcome=outcome)


@external
@view
def reward_epoch() -> uint256:
    """
    @notice How many reward roots were posted.
    @return The epoch that `post_rewards` must name next.
    """
    return self._rewards & MASK40


@external
@view
def claims_end() -> uint256:
    """
    @notice From when on the admin may take back what was not claimed under the present root.
    @return Unix seconds; 0 if no root was ever posted.
    """
    return self._claims_end()


@external
@view
def get_plan(plan_hash: bytes32) -> Plan:
    """
    @notice When a plan was registered; all zero if it was not.
    @param plan_hash The plan.
    @return Its number, its link in the chain, block, unix seconds, rounds opened before it.
    """
    packed: uint256 = self._plans[plan_hash]
    return Plan(
        plan_id=packed & MASK40,
        link=(packed >> 40) & MASK40,
        block_number=(packed >> 80) & MASK48,
        timestamp=(packed >> 128) & MASK48,
        round_count=packed >> 176,
    )


@external
@view
def get_batch(batch: uint256) -> Batch:
    """
    @notice One call of `record_audits`.
    @param batch Its number, below `batch_count`.
    @return Round, plan, hash of the records, range of entries, link in the chain, unix seconds.
    """
    assert batch < self.batch_count, "no such batch"
    packed: uint256 = self._batches[batch]
    return Batch(
        round_id=packed & MASK40,
        plan_hash=self.plan_hash_at[(packed >> 40) & MASK40],
        records_sha256=self._batch_records[batch],
        first_index=(packed >> 80) & MASK40,
        count=(packed >> 120) & MASK16,
        link=(packed >> 136) & MASK40,
        timestamp=packed >> 176,
    )


@external
@view
def get_audit(index: uint256) -> Audit:
    """
    @notice One audit entry.
    @param index Its number, below `audit_count`.
    @return The entry, its batch, and whether, by which entry and in which link it was superseded.
    """
    assert index < self.audit_count, "no such audit"
    return self._audit(index)


@external
@view
def get_audits(first: uint256, count: uint256) -> DynArray[Audit, MAX_AUDIT_BATCH]:
    """
    @notice Consecutive audit entries.
    @param first Number of the first.
    @param count How many, at most 128; fewer come back at the end of the list.
    @return The entries.
    """
    result: DynArray[Audit, MAX_AUDIT_BATCH] = []
    end: uint256 = min(first + min(count, MAX_AUDIT_BATCH), self.audit_count)
    for offset: uint256 in range(MAX_AUDIT_BATCH):
        if first + offset >= end:
            break
        result.append(self._audit(first + offset))
    return result


@external
@view
def audit_head() -> bytes32:
    """
    @notice The head of the hash chain over plans, batches and supersessions.
    @return `head_at[link_count]`.
    """
    return self.head_at[self.link_count]


@external
@view
def domain_separator() -> bytes32:
    """
    @notice The EIP-712 domain separator for this chain and contract, computed now.
    @return The separator.
    """
    return self._domain_separator()


@external
@view
def submission_digest(round_id: uint256, client: address, commitment: bytes32) -> bytes32:
    """
    @notice What a client signs for `submit_signed`.
    @param round_id The round.
    @param client The client.
    @param commitment The commitment.
    @return The EIP-712 digest.
    """
    return self._digest(self._domain_separator(), round_id, client, commitment)


# ---------------------------------------------------------------------------------- internal: roles

@internal
@view
def _only_admin():
    """
    @dev Refuses everybody else.
    """
    assert msg.sender == self.admin, "only the admin"


@internal
@view
def _only_coordinator():
    """
    @dev Refuses everybody else.
    """
    assert msg.sender == self.coordinator, "only the coordinator"


@internal
@view
def _only_auditor():
    """
    @dev Refuses everybody else.
    """
    assert msg.sender == self.auditor, "only the auditor"


@internal
def _set_coordinator(coordinator: address):
    """
    @dev The auditor is still zero when the constructor calls this first.
    """
    assert coordinator != empty(address), "coordinator is the zero address"
    assert coordinator != self.auditor, "coordinator is the auditor"
    log CoordinatorChanged(previous=self.coordinator, coordinator=coordinator)
    self.coordinator = coordinator


@internal
def _set_auditor(auditor: address):
    """
    @dev The counterpart: each setter compares with the role the other one has set.
    """
    assert auditor != empty(address), "auditor is the zero address"
    assert auditor != self.coordinator, "auditor is the coordinator"
    log AuditorChanged(previous=self.auditor, auditor=auditor)
    self.auditor = auditor


# ---------------------------------------------------------------------------------- internal: money

@internal
def _credit(account: address, amount: uint256):
    """
    @dev The one place that adds to a single account's credit, except `_settle_one`, whose sum
         `settle` adds to `total_credits` once per batch.
    """
    self.credits[account] += amount
    self.total_credits += amount


@internal
def _pay_out(account: address, to: address):
    """
    @dev The one place where money leaves: effects first, then the call.
    """
    amount: uint256 = self.credits[account]
    assert amount > 0, "no credit"
    self.credits[account] = 0
    self.total_credits -= amount
    log Withdrawn(account=account, to=to, amount=amount)
    success: bool = raw_call(to, b"", value=amount, revert_on_failure=False)
    assert success, "transfer failed"


@internal
def _spend(round_id: uint256, amount: uint256):
    """
    @dev Takes an amount out of what a round has left; the caller puts it somewhere.
    """
    spent: uint256 = self._rounds[round_id].spent + amount
    assert spent <= self._rounds[round_id].budget, "over budget"
    self._rounds[round_id].spent = spent
    self.reserved -= amount


@internal
def _return_unspent(round_id: uint256) -> uint256:
    """
    @dev Moves the remainder of a round's budget back to the treasury. Once per round: both
         callers leave the open state.
    """
    unspent: uint256 = self._rounds[round_id].budget - self._rounds[round_id].spent
    self.reserved -= unspent
    self.treasury += unspent
    return unspent


@internal
@view
def _claims_end() -> uint256:
    """
    @dev Each new root starts the time for all claims anew.
    """
    posted: uint256 = self._rewards >> 40
    return posted + CLAIM_SECONDS if posted > 0 else 0


# ---------------------------------------------------------------------------------- internal: rounds

@internal
@view
def _open(round_id: uint256) -> Progress:
    """
    @dev The progress of a round that must be open.
    """
    progress: Progress = self._progress(round_id)
    assert progress.state == STATE_OPEN, "round not open"
    return progress


@internal
@view
def _submitting(round_id: uint256) -> Progress:
    """
    @dev The progress of a round that must still take submissions.
    """
    progress: Progress = self._open(round_id)
    assert block.timestamp < progress.submit_deadline, "submissions have ended"
    return progress


@internal
@view
def _settling(round_id: uint256) -> Progress:
    """
    @dev The progress of a round whose submissions must have ended. There is no upper limit: a
         late coordinator may still settle until somebody expires the round.
    """
    progress: Progress = self._open(round_id)
    assert block.timestamp >= progress.submit_deadline, "submissions have not ended"
    return progress


@internal
@view
def _progress(round_id: uint256) -> Progress:
    """
    @dev Unpacks the word of a round; all zero if it was never opened.
    """
    word: uint256 = self._rounds[round_id].progress
    return Progress(
        state=word & MASK8,
        submit_deadline=(word >> 8) & MASK48,
        settle_deadline=(word >> 56) & MASK48,
        submitted=(word >> 104) & MASK32,
        settled=(word >> 136) & MASK32,
        rooted=(word >> 168) & MASK32,
        rewards_posted=word >> 200,
    )


@internal
def _store_progress(round_id: uint256, progress: Progress):
    """
    @dev The widths hold: deadlines are bounded by `MAX_ROUND_SECONDS` from now, counts by the
         number of clients.
    """
    self._rounds[round_id].progress = (
        progress.state
        | (progress.submit_deadline << 8)
        | (progress.settle_deadline << 56)
        | (progress.submitted << 104)
        | (progress.settled << 136)
        | (progress.rooted << 168)
        | (progress.rewards_posted << 200)
    )


@internal
def _record_submission(round_id: uint256, client: address, commitment: bytes32):
    """
    @dev The callers have made sure that the client has not submitted to this round.
    """
    assert self.client_id[client] != 0, "not registered"
    assert commitment != empty(bytes32), "commitment is zero"
    self._commitments[round_id][client] = commitment
    log Submitted(round_id=round_id, client=client, commitment=commitment)


@internal
def _settle_one(round_id: uint256, item: Settlement):
    """
    @dev Adds to the client's credit but not to `total_credits`.
    """
    assert self._commitments[round_id][item.client] != empty(bytes32), "nothing submitted"
    client: uint256 = self.client_id[item.client]
    assert self._outcome(round_id, client) == OUTCOME_UNSETTLED, "already settled"
    assert item.outcome != OUTCOME_UNSETTLED, "outcome is missing"
    self._set_outcome(round_id, client, item.outcome)
    if item.outcome != OUTCOME_ACCEPTED:
        assert item.amount == 0, "rejected clients earn nothing"
    elif item.amount > 0:
        self.credits[item.client] += item.amount
    log Settled(
        round_id=round_id, client=item.client, amount=item.amount, outcome=item.outcome
    )


@internal
@view
def _outcome(round_id: uint256, client: uint256) -> uint8:
    """
    @dev The byte of a client id in a round.
    """
    word: uint256 = self._outcomes[round_id][client // 32]
    return convert((word >> (8 * (client % 32))) & MASK8, uint8)


@internal
def _set_outcome(round_id: uint256, client: uint256, outcome: uint8):
    """
    @dev Only ever called while the client's byte is 0.
    """
    shifted: uint256 = convert(outcome, uint256) << (8 * (client % 32))
    self._outcomes[round_id][client // 32] |= shifted


# ---------------------------------------------------------------------------------- internal: hashes

@internal
@view
def _domain_separator() -> bytes32:
    """
    @dev Computed at call time: no immutables, and right after a fork changes the chain id.
    """
    return keccak256(
        abi_encode(DOMAIN_TYPEHASH, keccak256(DOMAIN_NAME), keccak256(DOMAIN_VERSION), chain.id, self)
    )


@internal
@pure
def _digest(
    domain: bytes32, round_id: uint256, client: address, commitment: bytes32
) -> bytes32:
    """
    @dev The EIP-712 digest of one submission under a given domain separator.
    """
    content: bytes32 = keccak256(
        abi_encode(SUBMISSION_TYPEHASH, round_id, client, commitment)
    )
    return keccak256(concat(b"\x19\x01", domain, content))


@internal
@pure
def _root_of(leaf: bytes32, proof: DynArray[bytes32, MAX_PROOF]) -> bytes32:
    """
    @dev Sorted pairs. Leaves are hashed twice, so that no inner node passes for a leaf.
    """
    node: bytes32 = leaf
    for sibling: bytes32 in proof:
        if convert(node, uint256) < convert(sibling, uint256):
            node = keccak256(concat(node, sibling))
        else:
            node = keccak256(concat(sibling, node))
    return node


# ---------------------------------------------------------------------------------- internal: audits

@internal
def _extend(head: bytes32) -> bytes32:
    """
    @dev Appends the next link to the chain.
    """
    link: uint256 = self.link_count + 1
    self.link_count = link
    self.head_at[link] = head
    return head


@internal
def _packed(entry: AuditEntry, batch: uint256) -> uint256:
    """
    @dev One word per entry; the property goes into a table, once. Its number and that of the
         batch have 24 bits each, which no auditor can pay to fill.
    """
    assert entry.property_id != empty(bytes32), "property id is zero"
    assert entry.fraction <= FULL_FRACTION, "fraction above 10000"
    assert entry.participants > 0, "no participants"
    assert entry.low <= entry.high, "interval upside down"
    if entry.runs == 0:
        assert entry.value == 0, "failed cell with numbers"
        assert entry.low == 0 and entry.high == 0, "failed cell with numbers"
    number: uint256 = self._property_number[entry.property_id]
    if number == 0:
        number = self.property_count + 1
        self.property_count = number
        self.property_at[number] = entry.property_id
        self._property_number[entry.property_id] = number
    return (
        number
        | (batch << 24)
        | (convert(entry.fraction, uint256) << 48)
        | (convert(entry.metric, uint256) << 64)
        | (self._biased(entry.value) << 80)
        | (self._biased(entry.low) << 120)
        | (self._biased(entry.high) << 160)
        | (convert(entry.participants, uint256) << 200)
        | (convert(entry.runs, uint256) << 232)
    )


@internal
@view
def _audit(index: uint256) -> Audit:
    """
    @dev Unpacks an entry; the inverse of `_packed`.
    """
    word: uint256 = self._audits[index]
    replaced: uint256 = self._superseded[index]
    return Audit(
        entry=AuditEntry(
            property_id=self.property_at[word & MASK24],
            fraction=convert((word >> 48) & MASK16, uint16),
            metric=convert((word >> 64) & MASK16, uint16),
            value=self._unbiased(word >> 80),
            low=self._unbiased(word >> 120),
            high=self._unbiased(word >> 160),
            participants=convert((word >> 200) & MASK32, uint32),
            runs=convert(word >> 232, uint24),
        ),
        batch=(word >> 24) & MASK24,
        superseded=replaced != 0,
        superseded_by=replaced & (2**128 - 1),
        superseded_link=replaced >> 128,
    )


@internal
@pure
def _biased(number: int40) -> uint256:
    """
    @dev Makes a signed 40-bit number non-negative for packing.
    """
    return convert(convert(number, int256) + BIAS, uint256)


@internal
@pure
def _unbiased(word: uint256) -> int40:
    """
    @dev The inverse, from the lowest 40 bits of a word.
    """
    return convert(convert(word & MASK40, int256) - BIAS, int40)
