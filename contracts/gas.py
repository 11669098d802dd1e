"""Measure what the ledger's transactions cost, and keep the table in the README true.

    python contracts/gas.py            print the table
    python contracts/gas.py --write    write gas.json and the table in README.md
    python contracts/gas.py --check    exit 1 if a figure moved by more than 1 % or a table is stale

Whole transactions on py-evm, intrinsic gas included. All inputs are fixed, so only the time of the
chain varies, by a few gas.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eth_keys.datatypes import PrivateKey
from eth_tester import EthereumTester, PyEVMBackend
from eth_utils.crypto import keccak
from reference import Entry, Hashes, MerkleTree, property_id
from tabulate import tabulate
from web3 import EthereumTesterProvider, Web3

CONTRACTS = Path(__file__).resolve().parent
ARTEFACT = CONTRACTS.parent / "privaudit" / "chain" / "artefact" / "RewardLedger.json"
SNAPSHOT = CONTRACTS / "gas.json"
README = CONTRACTS / "README.md"
BEGIN, END = "<!-- gas:begin -->", "<!-- gas:end -->"
TOLERANCE = 0.01
BATCH = 256
AUDITS = 25
COHORT = 10_000
BUDGET = 10**18
DAY = 86_400
ACCEPTED = 1

Rows = dict[str, int]


def word(text: str) -> bytes:
    """Any 32 bytes, by name."""
    return keccak(text=text)


class Meter:
    """A ledger on py-evm; :meth:`send` returns the gas a transaction used."""

    def __init__(self) -> None:
        artefact = json.loads(ARTEFACT.read_text(encoding="utf-8"))
        self.tester = EthereumTester(PyEVMBackend())
        self.web3 = Web3(EthereumTesterProvider(self.tester))
        accounts: list[str] = [str(account) for account in self.web3.eth.accounts]
        self.admin, self.coordinator, self.auditor = accounts[:3]
        self.own = accounts[3:]
        factory = self.web3.eth.contract(abi=artefact["abi"], bytecode=artefact["bytecode"])
        construction = factory.constructor(self.coordinator, self.auditor)
        receipt = self._mined(construction, self.admin, 0)
        self.deployment = int(receipt["gasUsed"])
        self.ledger = self.web3.eth.contract(
            address=receipt["contractAddress"], abi=artefact["abi"]
        )
        self.hashes = Hashes(self.web3.eth.chain_id, self.ledger.address)
        self.keys = [PrivateKey(word(f"client {number}")) for number in range(BATCH)]
        self.clients = [key.public_key.to_checksum_address() for key in self.keys]

    def _mined(self, call: Any, sender: str, value: int) -> Any:
        fields = {"from": sender, "gas": 16_700_000, "gasPrice": 10**10, "value": value}
        receipt = self.web3.eth.wait_for_transaction_receipt(call.transact(fields))
        assert receipt["status"] == 1, f"{call.fn_name} failed"
        return receipt

    def send(self, sender: str, name: str, *arguments: Any, value: int = 0) -> int:
        """Gas used by a successful transaction."""
        call = self.ledger.functions[name](*arguments)
        return int(self._mined(call, sender, value)["gasUsed"])

    def view(self, name: str, *arguments: Any) -> Any:
        """A view."""
        return self.ledger.functions[name](*arguments).call()

    def open_round(self) -> tuple[int, int]:
        """Open a round; its id and the gas used."""
        round_id = self.view("round_count")
        now = self.web3.eth.get_block("latest")["timestamp"]
        arguments = (round_id, word("model"), BUDGET, now + DAY, now + 2 * DAY)
        return round_id, self.send(self.coordinator, "open_round", *arguments)

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        now = self.web3.eth.get_block("latest")["timestamp"]
        self.tester.time_travel(now + seconds)


def _set_up(meter: Meter) -> Rows:
    deposit = meter.send(meter.admin, "deposit", value=100 * 10**18)
    register = meter.send(meter.coordinator, "register_clients", meter.clients)
    meter.send(meter.coordinator, "register_clients", meter.own)
    return {
        "deploy": meter.deployment,
        "deposit (first)": deposit,
        f"register_clients, per client (batch {BATCH})": register // BATCH,
    }


def _settled_round(meter: Meter) -> Rows:
    """One round of 256 relayed clients and some of their own; all accepted."""
    round_id, opening = meter.open_round()
    signed = [meter.hashes.signed(key, round_id, word("commitment")) for key in meter.keys]
    relayed = meter.send(meter.admin, "submit_signed", round_id, signed)
    own = meter.send(meter.own[0], "submit", round_id, word("commitment"))
    meter.send(meter.coordinator, "end_submissions", round_id)
    pay = 10**15 + 12_345
    settlements = [(client, pay, ACCEPTED) for client in meter.clients]
    settled = meter.send(meter.coordinator, "settle", round_id, settlements)
    meter.send(meter.coordinator, "settle", round_id, [(meter.own[0], pay, ACCEPTED)])
    closing = meter.send(meter.coordinator, "close_round", round_id, word("result"))
    return {
        "open_round": opening,
        "submit (own transaction)": own,
        f"submit_signed, per client (batch {BATCH})": relayed // BATCH,
        f"settle, per client (batch {BATCH})": settled // BATCH,
        f"settle, whole transaction (batch {BATCH})": settled,
        "close_round": closing,
    }


def _settled_rounds(meter: Meter) -> Rows:
    first, again = _settled_round(meter), _settled_round(meter)
    credit = [name for name in first if name.startswith("settle")]
    rows = {name: gas for name, gas in again.items() if name not in credit}
    for name in credit:
        rows[f"{name}, first credit"] = first[name]
        rows[f"{name}, repeat credit"] = again[name]
    rows["withdraw"] = meter.send(meter.own[0], "withdraw", meter.own[0])
    return rows


def _reward_tree(meter: Meter, grant: int) -> MerkleTree:
    cohort = [meter.own[1], *(f"0x{number:040x}" for number in range(1, COHORT))]
    cohort[1] = meter.own[2]
    return MerkleTree([meter.hashes.reward_leaf(client, grant, word("salt")) for client in cohort])


def _rooted_rounds(meter: Meter) -> Rows:
    """Two rounds by roots, which cost the same for any number of clients; claims among 10,000."""
    rows: Rows = {}
    for epoch in (0, 1):
        round_id, _ = meter.open_round()
        commitments = meter.send(
            meter.coordinator, "post_commitments", round_id, word("root"), BATCH
        )
        meter.send(meter.coordinator, "end_submissions", round_id)
        tree = _reward_tree(meter, (epoch + 1) * 10**12)
        post = ("post_rewards", round_id, epoch, tree.root, COHORT * 10**12)
        rows["post_commitments (any number of clients)"] = commitments
        rows["post_rewards (any number of clients)"] = meter.send(meter.coordinator, *post)
        arguments = ((epoch + 1) * 10**12, word("salt"), tree.proof(0))
        claim = meter.send(meter.admin, "claim", meter.own[1], *arguments)
        rows[f"claim at N = {COHORT:,}, {'repeat' if epoch else 'first'}"] = claim
        meter.send(meter.coordinator, "close_round", round_id, word("result"))
    return rows


def _expired_round(meter: Meter) -> Rows:
    round_id, _ = meter.open_round()
    for client in meter.own[:3]:
        meter.send(client, "submit", round_id, word("commitment"))
    meter.wait(3 * DAY)
    return {"expire_round": meter.send(meter.admin, "expire_round", round_id)}


def _sweeps(meter: Meter) -> Rows:
    meter.wait(367 * DAY)
    return {"sweep_rewards": meter.send(meter.admin, "sweep_rewards")}


def _entries() -> Iterator[Entry]:
    for number in range(AUDITS):
        value = 500_000 + 1_000 * number
        interval = (value, value - 40_000, value + 40_000)
        yield property_id("bold"), 5_000, 1, *interval, 5, 10


def _audits(meter: Meter) -> Rows:
    plan = meter.send(meter.auditor, "register_plan", word("plan"))
    round_id, _ = meter.open_round()
    arguments = (word("plan"), word("records"), list(_entries()))
    meter.send(meter.auditor, "record_audits", round_id, 0, *arguments)
    batch = meter.send(meter.auditor, "record_audits", round_id, AUDITS, *arguments)
    return {
        "register_plan": plan,
        f"record_audits, per entry (batch {AUDITS}, known property)": batch // AUDITS,
        "supersede_audit": meter.send(meter.auditor, "supersede_audit", 0, AUDITS),
    }


def measure() -> Rows:
    """Gas by row name, in the order of the table."""
    meter = Meter()
    rows: Rows = {}
    for part in (_set_up, _settled_rounds, _rooted_rounds, _expired_round, _audits, _sweeps):
        rows |= part(meter)
    return rows


def table(rows: Rows) -> str:
    """The README's table."""
    shown = [(name, f"{gas:,}") for name, gas in rows.items()]
    return tabulate(shown, ("transaction", "gas"), "github", colalign=("left", "right"))


def _parts(readme: str) -> tuple[str, str, str]:
    before, rest = readme.split(BEGIN)
    inside, after = rest.split(END)
    return before, inside, after


def check(measured: Rows, snapshot: Rows, readme: str) -> list[str]:
    """What is stale, one line each."""
    if measured.keys() != snapshot.keys():
        return [f"{SNAPSHOT.name} has other rows than gas.py measures"]
    complaints = [
        f"{name}: measured {gas:,}, {SNAPSHOT.name} says {snapshot[name]:,}"
        for name, gas in measured.items()
        if abs(gas - snapshot[name]) > TOLERANCE * snapshot[name]
    ]
    if _parts(readme)[1].strip() != table(snapshot).strip():
        complaints.append(f"the table in {README.name} is not the one of {SNAPSHOT.name}")
    return complaints


def write(measured: Rows) -> None:
    """Write the snapshot and the table in the README."""
    SNAPSHOT.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    before, _, after = _parts(README.read_text(encoding="utf-8"))
    text = f"{before}{BEGIN}\n{table(measured)}\n{END}{after}"
    README.write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="compare with gas.json and the README")
    mode.add_argument("--write", action="store_true", help="write gas.json and the README's table")
    options = parser.parse_args(arguments)
    measured = measure()
    if options.write:
        write(measured)
    elif options.check:
        snapshot = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
        complaints = check(measured, snapshot, README.read_text(encoding="utf-8"))
        print("\n".join(complaints) or f"gas is within {TOLERANCE:.0%}", file=sys.stderr)
        return 1 if complaints else 0
    print(table(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
