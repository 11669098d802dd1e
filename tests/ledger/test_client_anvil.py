"""The client on a real node: pinned, paid, stuck, reorganised, restarted."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anvil_node import Node, free_port
from client_kit import (
    BUDGET,
    FAST,
    TestAccounts,
    assert_paid_once,
    die,
    killed_child,
    model,
    play,
    role_addresses,
    round_steps,
    steps,
)
from stub_node import Answer, Request, forward, serving

from privaudit.chain import opening, sender
from privaudit.chain.accounts import sign, unsign
from privaudit.chain.chain import Call, Fees
from privaudit.chain.client import WEEK, LedgerClient
from privaudit.chain.errors import LedgerError, Reverted, RpcError
from privaudit.chain.opening import open_ledger, view_ledger
from privaudit.chain.rpc import RpcChain
from privaudit.chain.sender import Patience
from privaudit.chain.transport import Transport

Connect = Callable[..., LedgerClient]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without pauses."""

    def made(url: str) -> RpcChain:
        return RpcChain(url, transport=Transport(url, timeout=5, sleep=lambda _: None))

    monkeypatch.setattr(opening, "_rpc_chain", made)


# ---------------------------------------------------------------------------------- the run


def test_a_run_and_again_and_reopened(connect: Connect, node: Node, tmp_path: Path) -> None:
    with connect() as ledger:
        play(ledger)
        play(ledger)
        ledger.finish()
        assert_paid_once(ledger)
        history = ledger.history()
        assert {intent.status for intent in ledger.journal.intents()} == {"final"}
    with connect() as ledger:
        play(ledger)
        assert ledger.history() == history
    with view_ledger(tmp_path / "ledger", rpc=node.url) as view:
        assert len(view.audits()) == 1
        assert view.chain.state_root() is not None


def test_batches_wait_in_the_pool_together(connect: Connect, node: Node) -> None:
    with connect() as ledger:
        node.rpc("evm_setAutomine", False)
        ledger.sender._sleep = lambda _: node.rpc("evm_mine")
        clients = [ledger.client(i) for i in range(600)]
        receipts = ledger.register(clients)
        assert len({receipt.block_number for receipt in receipts}) == 1
        assert ledger.view("client_count") == 600


def test_confirmations(connect: Connect, node: Node) -> None:
    with connect(confirmations=3) as ledger:
        ledger.fund(5)
        ledger.fund(6, name="more")
        ledger.sender.reconciler.finalise()
        assert [i.status for i in ledger.journal.intents()] == ["final", "mined", "mined"]
        ledger.sender._sleep = lambda _: node.rpc("evm_mine")
        ledger.finish()
        assert [i.status for i in ledger.journal.intents()] == ["final"] * 3


def test_never_deep_enough(connect: Connect) -> None:
    with connect(confirmations=3, patience={"mined": 0.05}) as ledger:
        ledger.fund(5)
        with pytest.raises(LedgerError, match=r"not everything is 3 blocks deep after 0.05 s"):
            ledger.finish()


def test_existing_contract(connect: Connect, node: Node, tmp_path: Path) -> None:
    with connect() as ledger:
        address = ledger.address
    other = {"rpc": node.url, "patience": Patience(**FAST)}
    with open_ledger(
        tmp_path / "second", accounts=TestAccounts(), contract=address, **other
    ) as again:
        assert again.address == address
        assert again.history() == []
        again.fund(3)
    with pytest.raises(LedgerError, match=r"the admin of the contract at 0x.* is 0x.*, not 0x"):
        open_ledger(tmp_path / "third", accounts=TestAccounts(5), contract=address, **other)
    with pytest.raises(LedgerError, match=r"there is no contract at 0x1111"):
        open_ledger(
            tmp_path / "fourth", accounts=TestAccounts(), contract="0x" + "11" * 20, **other
        )
    node.rpc("anvil_setCode", "0x" + "22" * 20, "0x6001")
    with pytest.raises(LedgerError, match=r"has other code than the reward ledger"):
        open_ledger(tmp_path / "fifth", accounts=TestAccounts(), contract="0x" + "22" * 20, **other)


# ---------------------------------------------------------------------------------- wrong chains


def test_journal_from_another_chain(connect: Connect, anvil: Path, tmp_path: Path) -> None:
    connect().close()
    folder, accounts = tmp_path / "ledger", TestAccounts()
    with Node(anvil, "--chain-id", "77") as other:
        with pytest.raises(LedgerError, match=r"another ledger: chain_id 31337, not 77"):
            open_ledger(folder, rpc=other.url, accounts=accounts)
        with pytest.raises(LedgerError, match=r"another ledger: chain_id 31337, not 77"):
            view_ledger(folder, rpc=other.url)
    same_id = Node(anvil, "--timestamp", "1700000000")
    with same_id, pytest.raises(LedgerError, match=r"another ledger: genesis"):
        open_ledger(folder, rpc=same_id.url, accounts=accounts)
    with pytest.raises(LedgerError, match=r"on a JSON-RPC chain; give its node with --rpc"):
        open_ledger(folder)


def test_code_changed_under_us(connect: Connect, node: Node) -> None:
    with connect() as ledger:
        node.rpc("anvil_setCode", ledger.address, "0x6001")
    with pytest.raises(LedgerError, match=r"other code than the reward ledger"):
        connect()


def test_keystore_is_needed(node: Node, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"needs a keystore"):
        open_ledger(tmp_path, rpc=node.url)


# ---------------------------------------------------------------------------------- money, nonces


def test_insufficient_funds(connect: Connect, node: Node) -> None:
    with connect() as ledger:
        node.fund(ledger.account("coordinator"), wei=10**12)
        with pytest.raises(LedgerError, match=r"account coordinator .0x.* has 1e-06 of the"):
            ledger.register([ledger.client(0)])
        assert ledger.journal.intent("register/clients/0") is None
        node.fund(ledger.account("coordinator"))
        ledger.register([ledger.client(0)])


def test_fees_above_the_limit(connect: Connect) -> None:
    with connect() as ledger:
        pass
    message = r"gwei per gas, more than the limit of 1e-09"
    with connect(patience={"fee_limit": 1}) as ledger, pytest.raises(LedgerError, match=message):
        ledger.fund(5)


def test_stuck_transaction_is_replaced(connect: Connect, node: Node) -> None:
    with connect(patience={"stuck": 0.05}) as ledger:
        node.rpc("evm_setAutomine", False)

        def mine_expensive_blocks(_: float) -> None:
            node.rpc("anvil_setNextBlockBaseFeePerGas", hex(20 * 10**9))
            node.rpc("evm_mine")

        ledger.sender._sleep = mine_expensive_blocks
        receipt = ledger.fund(5)
        intent = ledger.journal.intent("fund/treasury")
        assert intent is not None
        first, *others = ledger.journal.entries(intent.id)
        assert others
        assert {entry.nonce for entry in others} == {first.nonce}
        assert receipt.hash in {entry.hash for entry in others}
        assert receipt.gas_price >= 20 * 10**9
        assert ledger.money()["treasury"] == 5


def test_the_original_may_win_over_its_replacement(connect: Connect, node: Node) -> None:
    with connect(patience={"stuck": 0.01}) as ledger:
        node.rpc("evm_setAutomine", False)
        send, sent = ledger.chain.send, []

        def keep_back_replacements(raw: bytes) -> str | None:
            sent.append(raw)
            return send(raw) if len(sent) == 1 else None

        ledger.chain.send = keep_back_replacements  # type: ignore[method-assign]
        ledger.sender._sleep = lambda _: node.rpc("evm_mine") if len(sent) > 2 else None
        receipt = ledger.fund(5)
        intent = ledger.journal.intent("fund/treasury")
        assert intent is not None
        entries = ledger.journal.entries(intent.id)
        assert receipt.hash == entries[0].hash
        offers = [unsign(entry.raw, entry.sender).fees for entry in entries]
        for low, high in itertools.pairwise(offers):
            assert high.most >= 1.125 * low.most
            assert high.tip >= 1.125 * low.tip
        assert ledger.money()["treasury"] == 5


def test_nonce_taken_by_a_foreign_transaction(connect: Connect, node: Node) -> None:
    with connect() as ledger:
        node.rpc("evm_setAutomine", False)
        me = ledger.account("admin")
        nonce = ledger.chain.pending_nonce(me)
        other = foreign(ledger, nonce)

        def intrude(_: float) -> None:
            ledger.chain.send(other)
            node.rpc("evm_mine")

        ledger.sender._sleep = intrude
        ledger.fund(5)
        assert ledger.chain.nonce(me) == nonce + 2
        assert ledger.money()["treasury"] == 5


def foreign(ledger: LedgerClient, nonce: int) -> bytes:
    """A transaction of the admin that the ledger knows nothing of."""
    me = ledger.account("admin")
    call = Call(sender=me, to=me, data=b"", value=1, gas=21_000)
    key = ledger.accounts.key("admin")
    return sign(key, ledger.chain.chain_id, call, nonce, Fees(10**11, 10**10)).raw


def test_nonce_gap_is_told(connect: Connect, node: Node) -> None:
    with connect(patience={"mined": 0.2}) as ledger:
        ledger.fund(5)
        for nonce in (2, 3):
            ledger.chain.send(foreign(ledger, nonce))
        ledger.fund(6, name="more")
        node.rpc("anvil_rollback", 3)
        with pytest.raises(LedgerError, match=r"fund/more: nonce gap: account admin .0x.* mined 2"):
            ledger.fund(7, name="last")
        for nonce in (2, 3):
            ledger.chain.send(foreign(ledger, nonce))
        ledger.fund(7, name="last")
        assert ledger.money()["treasury"] == 18


def test_transaction_lost_by_the_pool_is_sent_again(connect: Connect, node: Node) -> None:
    with connect(patience={"again": 0.05}) as ledger:
        node.rpc("evm_setAutomine", False)
        looks = 0

        def lose_it_first(_: float) -> None:
            nonlocal looks
            looks += 1
            if looks == 1:
                node.rpc("anvil_dropAllTransactions")
            elif looks > 10:
                node.rpc("evm_mine")

        ledger.sender._sleep = lose_it_first
        ledger.sender._clock = lambda: looks / 20
        ledger.fund(5)
        assert len(ledger.journal.entries()) == 2
        assert ledger.money()["treasury"] == 5


def test_never_mined_and_waited_for_later(connect: Connect, node: Node) -> None:
    with connect(patience={"mined": 0.1}) as ledger:
        node.rpc("evm_setAutomine", False)
        with pytest.raises(LedgerError, match=r"fund/treasury: not mined within 0.1 s; run again"):
            ledger.fund(5)
        node.rpc("evm_setAutomine", True)
        node.rpc("evm_mine")
        ledger.fund(6, name="more")
        ledger.fund(5)
        assert ledger.money()["treasury"] == 11


def test_a_chain_without_a_base_fee_is_paid_by_gas_price(node: Node, tmp_path: Path) -> None:
    sent = []

    def old(request: Request) -> Answer:
        if request["method"] == "eth_sendRawTransaction":
            sent.append(request["params"][0][:4])
        status, body = forward(node.url, request) or (500, b"")
        return status, body.replace(b'"baseFeePerGas"', b'"unknownToUs"')

    with serving(old) as url:
        settings = {"accounts": TestAccounts(), "patience": Patience(**FAST)}
        with open_ledger(tmp_path / "ledger", rpc=url, **settings) as ledger:
            play(ledger)
            ledger.finish()
            assert_paid_once(ledger)
    assert sent
    assert all(int(start, 16) >= 0xC0 for start in sent)


def test_a_base_fee_that_jumps_before_sending_is_priced_again(connect: Connect, node: Node) -> None:
    with connect() as ledger:
        simulate = ledger.chain.simulate

        def and_jump(signed: Any) -> None:
            simulate(signed)
            node.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * 10**9))
            node.rpc("evm_mine")  # what was signed is by now worth less than the base fee
            ledger.chain.simulate = simulate

        ledger.chain.simulate = and_jump
        ledger.fund(5)
        entries = ledger.journal.entries(ledger.journal.intents()[-1].id)
        offers = [unsign(entry.raw, entry.sender).fees.most for entry in entries]
        assert len(offers) == 2
        assert offers[0] < 50 * 10**9 <= offers[1]


def test_a_base_fee_beyond_the_limit_is_told(connect: Connect, node: Node) -> None:
    with connect(patience={"mined": 5.0, "fee_limit": 20 * 10**9}) as ledger:
        simulate = ledger.chain.simulate

        def and_jump(signed: Any) -> None:
            simulate(signed)
            node.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * 10**9))
            node.rpc("evm_mine")

        ledger.chain.simulate = and_jump
        with pytest.raises(LedgerError, match=r"base fee has risen to .* gwei .* \(limit 20\)"):
            ledger.fund(5)


def test_node_that_takes_nothing(connect: Connect, node: Node, monkeypatch: Any) -> None:
    monkeypatch.setattr(sender, "REFUSED_AGAIN", 0.02)
    with connect() as ledger:
        monkeypatch.setattr(ledger.chain, "send", lambda _: "not today")
        with pytest.raises(LedgerError, match=r"does not take the transaction: not today"):
            ledger.fund(5)
        monkeypatch.undo()
        ledger.fund(5)
        assert ledger.money()["treasury"] == 5


# ---------------------------------------------------------------------------------- reorganisations


@pytest.mark.parametrize("depth", [1, 3, 6])
def test_rolled_back_blocks_are_repaired(connect: Connect, node: Node, depth: int) -> None:
    with connect() as ledger:
        for step in list(steps(ledger))[:7]:
            step()
        sent = ledger.journal.entries()
        node.rpc("anvil_rollback", depth)
        play(ledger)
        assert_paid_once(ledger)
        assert ledger.journal.entries()[: len(sent)] == sent


def test_even_the_deployment_can_be_rolled_back(connect: Connect, node: Node) -> None:
    with connect() as ledger:
        address = ledger.address
        before = node.rpc("eth_blockNumber")
        ledger.fund(5)
    node.rpc("anvil_rollback", int(before, 16) + 1)
    node.fund(*role_addresses(TestAccounts()))
    with connect() as ledger:
        assert ledger.address == address
        assert ledger.money()["treasury"] == 5


def test_lost_transactions_are_sent_again_in_their_order(connect: Connect, node: Node) -> None:
    with connect() as ledger:
        for step in list(steps(ledger))[:7]:
            step()
        node.rpc("anvil_rollback", 4)
        send, sent = ledger.chain.send, []

        def note(raw: bytes) -> str | None:
            sent.append(raw)
            return send(raw)

        ledger.chain.send = note  # type: ignore[method-assign]
        assert ledger.sender.reconciler.watch() == 4
        assert sent == [entry.raw for entry in ledger.journal.entries()[-4:]]


def test_same_transactions_in_another_block(connect: Connect, node: Node) -> None:
    with connect() as ledger:
        for step in list(steps(ledger))[:6]:
            step()
        before = ledger.history()
        raw = ["0x" + entry.raw.hex() for entry in ledger.journal.entries()[-3:]]
        node.rpc("anvil_reorg", 3, [[transaction, 1] for transaction in raw])
        assert ledger.sender.reconciler.watch() == 0
        after = ledger.history()
        assert [item.receipt.hash for item in after] == [item.receipt.hash for item in before]
        assert len({item.receipt.block_hash for item in after[-3:]}) == 1
        play(ledger)
        assert_paid_once(ledger)


def test_snapshot_reverted_while_closed(connect: Connect, node: Node) -> None:
    with connect() as ledger:
        for step in list(steps(ledger))[:4]:
            step()
        snapshot = node.rpc("evm_snapshot")
        play(ledger)
    node.rpc("evm_revert", snapshot)
    with connect() as ledger:
        ledger.finish()
        assert_paid_once(ledger)
        assert len(ledger.journal.entries()) == len(ledger.history())


def test_action_that_fails_after_a_reorganisation_is_made_anew(
    connect: Connect, node: Node
) -> None:
    with connect() as ledger:
        for step in list(steps(ledger))[:3]:
            step()
        ledger.open_round(0, model(0), BUDGET)
        node.rpc("anvil_rollback", 1)
        now = ledger.chain.head().time
        node.rpc("evm_setNextBlockTimestamp", now + 2 * WEEK)  # after the submit deadline
        first, *others = list(round_steps(ledger, 0))
        with pytest.raises(LedgerError, match=r"round/0/open: the chain has dropped.* made anew"):
            others[0]()
        for step in (first, *others):
            step()
        assert ledger.round(0).state == 2


def test_reverted_on_the_chain_though_it_was_simulated(connect: Connect, node: Node) -> None:
    with connect() as ledger:
        ledger.fund(BUDGET)
        node.rpc("evm_setAutomine", False)
        late = ledger.chain.head().time + 2 * WEEK

        def mine_late(_: float) -> None:
            node.rpc("evm_setNextBlockTimestamp", late)
            node.rpc("evm_mine")

        ledger.sender._sleep = mine_late
        with pytest.raises(Reverted, match=r"round/0/open: .*submit deadline has passed"):
            ledger.open_round(0, model(0), BUDGET)
        intent = ledger.journal.intent("round/0/open")
        assert intent is not None
        assert intent.status == "failed"
        ledger.sender._sleep = lambda _: node.rpc("evm_mine")
        assert ledger.open_round(0, model(0), BUDGET).succeeded


def test_a_run_that_crashed_in_a_round_goes_on_days_later(connect: Connect, node: Node) -> None:
    with connect() as ledger:
        for step in list(steps(ledger))[:3]:
            step()
        ledger.open_round(0, model(0), BUDGET)
    node.rpc("evm_increaseTime", 6 * 86_400)
    with connect() as ledger:
        play(ledger)
        assert_paid_once(ledger)


# ---------------------------------------------------------------------------------- faults, crashes


def test_run_through_a_bad_connection(
    connect: Connect, node: Node, tmp_path: Path, impatient: None
) -> None:
    chance = random.Random(3)

    def spoil(request: Request) -> Answer:
        fate = chance.random()
        if fate < 0.05:
            return None
        answer = forward(node.url, request)  # from here on the node has done what was asked
        if fate < 0.10:
            return None
        if fate < 0.15:
            return 503, b""
        return (200, b"<html>") if fate < 0.2 else answer

    with (
        serving(spoil) as url,
        open_ledger(
            tmp_path / "ledger", rpc=url, accounts=TestAccounts(), patience=Patience(**FAST)
        ) as ledger,
    ):
        play(ledger)
        assert_paid_once(ledger)


def test_node_goes_away_and_comes_back(anvil: Path, tmp_path: Path, impatient: None) -> None:
    state = str(tmp_path / "state.json")
    port = free_port()
    settings = {"accounts": TestAccounts(), "patience": Patience(**FAST)}
    with Node(anvil, "--state", state, port=port) as node:
        node.fund(*role_addresses(TestAccounts()))
        ledger = open_ledger(tmp_path / "ledger", rpc=node.url, **settings)
        todo = list(steps(ledger))
        for step in todo[:6]:
            step()
    with pytest.raises(RpcError, match=r"127.0.0.1:.*: the node cannot be reached"):
        todo[6]()
    with Node(anvil, "--state", state, port=port):
        play(ledger)
        assert_paid_once(ledger)
    ledger.close()


@pytest.mark.parametrize("after", [False, True], ids=["before-send", "after-send"])
def test_killed_run_goes_on(connect: Connect, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    original = RpcChain.send

    def killing(number: int) -> Callable[[RpcChain, bytes], str | None]:
        calls = 0

        def send(self: RpcChain, raw: bytes) -> str | None:
            nonlocal calls
            calls += 1
            if calls == number and not after:
                die()
            complaint = original(self, raw)
            if calls == number:
                die()
            return complaint

        return send

    # Send number 1 deploys; a later life resends nothing that is mined.
    for number in (1, 4, 3):
        with monkeypatch.context() as patch:
            patch.setattr(RpcChain, "send", killing(number))
            assert killed_child(lambda: play(connect()))
    with connect() as ledger:
        play(ledger)
        assert_paid_once(ledger)
        assert len(ledger.journal.entries()) == len(ledger.history())
