"""The artefact: it matches the source, deploys to exactly its code, and works on py-evm too."""

from __future__ import annotations

import copy
import inspect
import json
import re
from pathlib import Path
from typing import Any

import compile as compiler
import pytest
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.exceptions import TransactionFailed
from ledger_world import (
    ACCEPTED,
    BUDGET,
    CLIENT_KEYS,
    CLIENTS,
    MODEL,
    PLAN,
    RECORDS,
    REJECTED,
    World,
    entry,
    word,
)
from reference import Hashes, MerkleTree, batch_head, plan_head
from web3 import EthereumTesterProvider, Web3
from web3.types import TxReceipt

HERE = Path(__file__).resolve().parent
PYREVM_PADDING = 33  # pyrevm hands out code with the zeros that revm adds for its analysis


@pytest.fixture(scope="module")
def source() -> str:
    return compiler.SOURCE.read_text(encoding="utf-8")


def test_the_shipped_artefact_matches_the_source() -> None:
    assert compiler.main(["--check"]) == 0


@pytest.mark.parametrize("key", ["abi", "bytecode", "runtime_bytecode", "compiler", "settings"])
def test_a_changed_artefact_is_noticed(source: str, key: str) -> None:
    shipped = json.loads(compiler.ARTEFACT.read_text(encoding="utf-8"))
    changed = copy.deepcopy(shipped)
    changed[key] = changed[key][:-1] if key != "settings" else {}
    assert compiler.difference(shipped, changed) == "its integrity hash does not match its content"
    changed["integrity"] = compiler.integrity(changed)
    assert compiler.difference(shipped, changed) == f"it differs from the compiled source in: {key}"


def test_a_changed_source_is_noticed_in_one_line(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = tmp_path / "RewardLedger.vy"
    monkeypatch.setattr(compiler, "SOURCE", changed)
    for text in (source.replace("10_000", "10_001"), "not Vyper at all ("):
        changed.write_text(text, encoding="utf-8")
        assert compiler.main(["--check"]) == 1
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("RewardLedger.json is out of date: ")


def test_immutables_and_oversize_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    head = "# pragma version 0.4.3\n"
    with pytest.raises(ValueError, match="immutables"):
        compiler.build(f"{head}x: immutable(uint256)\n@deploy\ndef __init__():\n    x = 1\n")
    monkeypatch.setattr(compiler, "MAX_RUNTIME_BYTES", 10)
    with pytest.raises(ValueError, match="more than 10"):
        compiler.build(f"{head}x: public(uint256)\n")


def test_the_deployed_code_is_the_artefact(world: World, artefact: dict[str, Any]) -> None:
    code = world.chain.evm.get_code(world.ledger.address)
    assert code is not None
    assert code[:-PYREVM_PADDING].hex() == artefact["runtime_bytecode"][2:]
    assert not any(code[-PYREVM_PADDING:])
    assert len(code) - PYREVM_PADDING < compiler.MAX_RUNTIME_BYTES


def test_every_assert_has_a_reason_that_a_test_provokes(source: str) -> None:
    code = re.sub(r'""".*?"""', "", source, flags=re.DOTALL)
    asserts = re.findall(r"^ +assert (.*)$", code, flags=re.MULTILINE)
    reasons = {text.rsplit('"', 2)[1] for text in asserts if text.endswith('"')}
    assert len(asserts) > 60
    assert all(text.endswith('"') for text in asserts)
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    roles = {"only the admin", "only the coordinator", "only the auditor"}  # the role matrix
    assert {reason for reason in reasons - roles if f'"{reason}"' not in tests} == set()


def test_every_event_is_asserted_by_a_test(world: World, artefact: dict[str, Any]) -> None:
    events = {item["name"] for item in artefact["abi"] if item["type"] == "event"}
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    assert {name for name in events if f'"{name}"' not in tests} == set()


def test_every_external_function_is_documented(source: str) -> None:
    pattern = r"@external\n(?:@\w+\n)*def (\w+)\(([^)]*)\)(.*?):\n    \"\"\"(.*?)\"\"\""
    found = re.findall(pattern, source, flags=re.DOTALL)
    assert len(found) == source.count("@external")
    for name, parameters, returned, text in found:
        assert "@notice" in text, name
        documented = re.findall(r"@param (\w+)", text)
        assert documented == re.findall(r"(\w+):", parameters), name
        assert ("@return" in text) == ("->" in returned), name


class PyEvm:
    """The same artefact through web3 on eth-tester."""

    def __init__(self, artefact: dict[str, Any]) -> None:
        self.tester = EthereumTester(PyEVMBackend())
        self.web3 = Web3(EthereumTesterProvider(self.tester))
        self.accounts: list[str] = [str(account) for account in self.web3.eth.accounts]
        self.admin, self.coordinator, self.auditor = self.accounts[:3]
        factory = self.web3.eth.contract(abi=artefact["abi"], bytecode=artefact["bytecode"])
        deployment = factory.constructor(self.coordinator, self.auditor)
        receipt = self._receipt(deployment.transact({"from": self.admin, "gas": 8_000_000}))
        self.ledger: Any = self.web3.eth.contract(
            address=receipt["contractAddress"], abi=artefact["abi"]
        )
        self.hashes = Hashes(self.web3.eth.chain_id, self.ledger.address)

    def _receipt(self, transaction: Any) -> TxReceipt:
        return self.web3.eth.wait_for_transaction_receipt(transaction)

    def send(self, sender: str, name: str, *arguments: Any, value: int = 0) -> TxReceipt:
        """A mined, successful transaction."""
        call = self.ledger.functions[name](*arguments)
        fields = {"from": sender, "gas": 5_000_000, "value": value}
        receipt = self._receipt(call.transact(fields))
        assert receipt["status"] == 1
        return receipt

    def view(self, name: str, *arguments: Any) -> Any:
        """A view."""
        return self.ledger.functions[name](*arguments).call()

    def time_of(self, receipt: TxReceipt) -> int:
        """Time of the block, unix seconds."""
        return int(self.web3.eth.get_block(receipt["blockNumber"])["timestamp"])


@pytest.fixture
def py_evm(artefact: dict[str, Any]) -> PyEvm:
    assert "mock" not in inspect.getmodule(PyEVMBackend).__name__.lower()  # type: ignore[union-attr]
    return PyEvm(artefact)


def test_the_code_on_py_evm_is_the_artefact(py_evm: PyEvm, artefact: dict[str, Any]) -> None:
    code = py_evm.web3.eth.get_code(py_evm.ledger.address)
    assert code.to_0x_hex() == artefact["runtime_bytecode"]


def test_a_settled_round_on_py_evm(py_evm: PyEvm) -> None:
    client, coordinator = py_evm.accounts[5], py_evm.coordinator
    py_evm.send(py_evm.admin, "deposit", value=5_000)
    py_evm.send(coordinator, "register_clients", [client, *CLIENTS[:2]])
    now = int(py_evm.web3.eth.get_block("latest")["timestamp"])
    opening = (0, MODEL, BUDGET, now + 1_000, now + 2_000)
    py_evm.send(coordinator, "open_round", *opening)
    py_evm.send(client, "submit", 0, word("own"))
    signed = [py_evm.hashes.signed(key, 0, word("relayed")) for key in CLIENT_KEYS[:2]]
    py_evm.send(py_evm.admin, "submit_signed", 0, signed)
    early = py_evm.ledger.functions.settle(0, [])
    with pytest.raises(TransactionFailed, match="submissions have not ended"):
        early.call({"from": coordinator})
    py_evm.tester.time_travel(now + 1_000)
    settlements = [(client, 400, ACCEPTED), (CLIENTS[0], 0, REJECTED), (CLIENTS[1], 5, ACCEPTED)]
    py_evm.send(coordinator, "settle", 0, settlements)
    py_evm.send(coordinator, "close_round", 0, word("result"))
    before = py_evm.tester.get_balance(client)
    py_evm.send(py_evm.auditor, "withdraw_for", client)
    assert py_evm.tester.get_balance(client) - before == 400
    assert tuple(py_evm.view("get_round", 0))[:6] == (
        *(2, MODEL, word("result"), bytes(32)),
        *(BUDGET, 405),
    )


def test_roots_and_audits_on_py_evm(py_evm: PyEvm) -> None:
    coordinator, auditor = py_evm.coordinator, py_evm.auditor
    planned = py_evm.time_of(py_evm.send(auditor, "register_plan", PLAN))
    py_evm.send(py_evm.admin, "deposit", value=5_000)
    py_evm.send(coordinator, "register_clients", CLIENTS)
    now = int(py_evm.web3.eth.get_block("latest")["timestamp"])
    opening = (0, MODEL, BUDGET, now + 1_000, now + 2_000)
    py_evm.send(coordinator, "open_round", *opening)
    py_evm.send(coordinator, "post_commitments", 0, word("root"), 6)
    py_evm.send(coordinator, "end_submissions", 0)
    tree = MerkleTree([py_evm.hashes.reward_leaf(client, 50, word(client)) for client in CLIENTS])
    py_evm.send(coordinator, "post_rewards", 0, 0, tree.root, 300)
    py_evm.send(auditor, "claim", CLIENTS[4], 50, word(CLIENTS[4]), tree.proof(4))
    assert py_evm.view("credits", CLIENTS[4]) == 50

    head = plan_head(py_evm.hashes.genesis_head(), 1, PLAN, 0, planned)
    entries = [entry(), entry(value=-1, low=-2)]
    record = ("record_audits", 0, 0, PLAN, RECORDS, entries)
    recorded = py_evm.time_of(py_evm.send(auditor, *record))
    head = batch_head(head, 2, 0, PLAN, RECORDS, 0, recorded, entries)
    assert py_evm.view("audit_head") == head
    assert tuple(py_evm.view("get_audits", 0, 9)[1][0]) == entries[1]
