"""How fast the ledger is, and what a round costs its coordinator, on both kinds of chain.

    python benchmarks/ledger/bench.py              print the tables
    python benchmarks/ledger/bench.py --write      and write them to results.md beside this file
    python benchmarks/ledger/bench.py --embedded   without a node

Go by the ratios: both chains are measured in one run on one machine, one after the other. The node
is that of the tests (``tests/ledger/install_anvil.py``).
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "ledger"))

from anvil_node import Node  # noqa: E402
from install_anvil import NoAnvil, install  # noqa: E402

from privaudit.chain.accounts import ROLES, EmbeddedAccounts, address  # noqa: E402
from privaudit.chain.chain import Receipt  # noqa: E402
from privaudit.chain.client import BATCH, LedgerClient, Settlement  # noqa: E402
from privaudit.chain.hashes import MerkleTree, SignedSubmission  # noqa: E402
from privaudit.chain.opening import open_ledger, view_ledger  # noqa: E402

RESULTS = Path(__file__).with_name("results.md")
COHORTS = (256, 1_000, 10_000)
SETTLED = {"embedded": (256, 1_000), "anvil": COHORTS}
"""Cohorts that are settled client by client; 10,000 take the embedded chain more than a minute."""
SINGLE, SMALL_ROUNDS, SMALL = 40, 20, 5
WEI = 1_000
SALT = b"\x05" * 32


@dataclass(frozen=True)
class Cost:
    """What one round of a large cohort cost the coordinator."""

    chain: str
    clients: int
    way: str
    transactions: int
    gas: int
    seconds: float


class Bench:
    """Measures one ledger, on a chain on which ``rich`` gives accounts native tokens."""

    def __init__(
        self, chain: str, ledger: LedgerClient, rich: Callable[[Sequence[str]], None]
    ) -> None:
        self.chain = chain
        self._ledger = ledger
        self._rich = rich
        self._clients: list[str] = []
        ledger.fund(10**12)

    def speeds(self) -> dict[str, float]:
        """Transactions and clients per second, and the milliseconds of a small round."""
        self._register(BATCH)
        found = {"submit, one transaction per client [tx/s]": self._single()}
        wall, cpu = self._small_rounds()
        found["training round of 5 clients [ms]"] = wall
        found["the same, processor time of this process [ms]"] = cpu
        number = self._open(BATCH * WEI)
        signed = self._signed(number, BATCH)
        elapsed = seconds(lambda: self._ledger.submit_signed(number, signed))
        found["relayed submissions, batch of 256 [clients/s]"] = BATCH / elapsed
        self._ledger.end_submissions(number)
        judged = self._judged(BATCH)
        elapsed = seconds(lambda: self._ledger.settle(number, judged))
        found["settled, batch of 256 [clients/s]"] = BATCH / elapsed
        self._ledger.close_round(number, SALT)
        return found

    def costs(self) -> Iterator[Cost]:
        """A round of every cohort, by settlement and by roots; the first root costs more."""
        self._by_roots(self._ledger.view("round_count"), 1)
        for clients in COHORTS:
            yield self._cost(clients, "roots", self._by_roots)
            if clients in SETTLED[self.chain]:
                self._register(clients)
                yield self._cost(clients, "settlement", self._by_settlement)

    # ------------------------------------------------------------------ speeds

    def _single(self) -> float:
        number = self._open(SINGLE * WEI)
        self._rich(self._clients[:SINGLE])
        elapsed = seconds(
            lambda: [self._ledger.submit(number, client, SALT) for client in range(SINGLE)]
        )
        self._ledger.end_submissions(number)
        self._ledger.settle(number, self._judged(SINGLE))
        self._ledger.close_round(number, SALT)
        return SINGLE / elapsed

    def _small_rounds(self) -> tuple[float, float]:
        def rounds() -> None:
            for _ in range(SMALL_ROUNDS):
                number = self._open(SMALL * WEI)
                self._ledger.submit_signed(number, self._signed(number, SMALL))
                self._ledger.end_submissions(number)
                self._ledger.settle(number, self._judged(SMALL))
                self._ledger.close_round(number, SALT)

        before = time.process_time()
        wall = seconds(rounds)
        cpu = time.process_time() - before
        return 1_000 * wall / SMALL_ROUNDS, 1_000 * cpu / SMALL_ROUNDS

    # ------------------------------------------------------------------ costs

    def _cost(self, clients: int, way: str, play: Callable[[int, int], list[Receipt]]) -> Cost:
        receipts: list[Receipt] = []
        number = self._ledger.view("round_count")
        elapsed = seconds(lambda: receipts.extend(play(number, clients)))
        gas = sum(receipt.gas_used for receipt in receipts)
        return Cost(self.chain, clients, way, len(receipts), gas, elapsed)

    def _by_settlement(self, number: int, clients: int) -> list[Receipt]:
        ledger = self._ledger
        receipts = [ledger.open_round(number, SALT, clients * WEI)]
        receipts += ledger.submit_signed(number, self._signed(number, clients))
        ended = ledger.end_submissions(number)
        receipts += [ended] if ended else []
        receipts += ledger.settle(number, self._judged(clients))
        return [*receipts, ledger.close_round(number, SALT)]

    def _by_roots(self, number: int, clients: int) -> list[Receipt]:
        ledger = self._ledger
        hashes, accounts = ledger.hashes, [f"0x{1 + index:040x}" for index in range(clients)]
        receipts = [ledger.open_round(number, SALT, clients * WEI)]
        leaves = [hashes.commitment_leaf(number, account, SALT) for account in accounts]
        receipts.append(ledger.post_commitments(number, MerkleTree(leaves).root, clients))
        ended = ledger.end_submissions(number)
        receipts += [ended] if ended else []
        leaves = [hashes.reward_leaf(account, WEI * (1 + number), SALT) for account in accounts]
        receipts.append(ledger.post_rewards(number, MerkleTree(leaves).root, clients * WEI))
        return [*receipts, ledger.close_round(number, SALT)]

    # ------------------------------------------------------------------ parts

    def _register(self, count: int) -> None:
        new = [self._ledger.client(i) for i in range(len(self._clients), count)]
        if new:
            self._ledger.register(new, name=f"up-to-{count}")
            self._clients += new

    def _open(self, budget: int) -> int:
        number = int(self._ledger.view("round_count"))
        self._ledger.open_round(number, SALT, budget)
        return number

    def _signed(self, number: int, count: int) -> list[SignedSubmission]:
        return [self._ledger.sign_submission(number, client, SALT) for client in range(count)]

    def _judged(self, count: int) -> list[Settlement]:
        return [Settlement(client, WEI, 1) for client in self._clients[:count]]


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of some work."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def replay_speed(folder: Path) -> float:
    """Milliseconds per transaction to make the embedded chain again."""
    views = []
    elapsed = seconds(lambda: views.append(view_ledger(folder)))
    with views[0] as view:
        return 1_000 * elapsed / len(view.history())


@contextmanager
def anvil_bench(binary: Path, folder: Path) -> Iterator[Bench]:
    """The same on a node that mines every transaction at once."""
    accounts = EmbeddedAccounts()
    with Node(binary, "--prune-history") as node:
        node.fund(*(address(accounts, role) for role in ROLES))
        with open_ledger(folder, rpc=node.url, accounts=accounts) as ledger:
            yield Bench("anvil", ledger, lambda clients: node.fund(*clients))


def measure(binary: Path | None) -> tuple[dict[str, dict[str, float]], list[Cost]]:
    """Speeds by chain, and costs."""
    speeds: dict[str, dict[str, float]] = {}
    costs: list[Cost] = []
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        with open_ledger(folder / "embedded") as ledger:
            bench = Bench("embedded", ledger, lambda _: None)
            speeds["embedded"] = bench.speeds()
        speeds["embedded"]["reopen [ms per transaction]"] = replay_speed(folder / "embedded")
        bench = Bench(
            "embedded", stack.enter_context(open_ledger(folder / "costs")), lambda _: None
        )
        costs += bench.costs()
        if binary is not None:
            bench = stack.enter_context(anvil_bench(binary, folder / "anvil"))
            speeds["anvil"] = bench.speeds()
            costs += bench.costs()
    return speeds, costs


# ---------------------------------------------------------------------------------- the report


def report(speeds: dict[str, dict[str, float]], costs: list[Cost], node: str) -> str:
    """The tables as Markdown."""
    return "\n\n".join(
        [
            "# Speed and cost of the reward ledger",
            "Written by `python benchmarks/ledger/bench.py --write`; see there for what is "
            "measured. Journal and signatures are part of every figure.",
            environment(node),
            "## Speed",
            speed_table(speeds),
            "## One round of a large cohort, coordinator's side",
            cost_table(costs),
            "Gas with roots does not depend on the cohort, but for the bytes of the numbers it "
            "writes. What grows is the hashing of the two trees, outside of the chain.",
            "\n".join(f"- {line}" for line in ratios(speeds, costs)),
        ]
    )


def environment(node: str) -> str:
    """Versions and the kind of machine, nothing that tells which one."""
    parts = ["web3", "eth-tester", "py-evm", "coincurve", "eth-account"]
    versions = ", ".join(f"{part} {version(part)}" for part in parts)
    python = f"Python {platform.python_version()}"
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    if hasattr(os, "getloadavg"):
        machine += f" (load average when done: {os.getloadavg()[0]:.1f})"
    return f"{python} on {machine}; {versions}; {node}."


def speed_table(speeds: dict[str, dict[str, float]]) -> str:
    """Rows: what; columns: chain, and their ratio."""
    rows = []
    for what, value in speeds["embedded"].items():
        other = speeds.get("anvil", {}).get(what)
        ratio = f"{other / value:.2f}" if other else ""
        rows.append([what, f"{value:.1f}", f"{other:.1f}" if other else "", ratio])
    return tabulate(rows, ["", "embedded", "anvil", "anvil / embedded"], tablefmt="github")


def cost_table(costs: list[Cost]) -> str:
    """A row per round."""
    rows = [
        [
            cost.chain,
            f"{cost.clients:,}",
            cost.way,
            cost.transactions,
            f"{cost.gas:,}",
            f"{cost.gas / cost.clients:,.0f}",
            f"{cost.seconds:.2f}",
            f"{cost.clients / cost.seconds:,.0f}",
        ]
        for cost in costs
    ]
    align = ["left", "right", "left", *["right"] * 5]
    head = ["chain", "clients", "way", "transactions", "gas", "gas/client", "s", "clients/s"]
    return tabulate(rows, head, tablefmt="github", disable_numparse=True, colalign=align)


def ratios(speeds: dict[str, dict[str, float]], costs: list[Cost]) -> Iterator[str]:
    """What the tables say, in numbers without a unit."""
    found = {(cost.chain, cost.clients, cost.way): cost for cost in costs}
    for chain in speeds:
        small, large = (found[chain, clients, "roots"].gas for clients in (256, 10_000))
        yield f"{chain}: gas of a round with roots, 10,000 / 256 clients: {large / small:.3f}"
        clients = max(SETTLED[chain])
        by_roots, settled = (found[chain, clients, way] for way in ("roots", "settlement"))
        yield (
            f"{chain}: settlement / roots at {clients:,} clients: gas "
            f"{settled.gas / by_roots.gas:,.0f}, time {settled.seconds / by_roots.seconds:.1f}"
        )


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--embedded", action="store_true", help="leave the node out")
    options = parser.parse_args()
    binary, node = None, "no node"
    if not options.embedded:
        try:
            binary = install()
        except NoAnvil as error:
            print(f"{error}; use --embedded", file=sys.stderr)
            return 2
        shown = subprocess.run([binary, "--version"], check=True, capture_output=True, text=True)
        node = shown.stdout.splitlines()[0].replace(" Version:", "")
    text = report(*measure(binary), node)
    print(text)
    if options.write:
        RESULTS.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
