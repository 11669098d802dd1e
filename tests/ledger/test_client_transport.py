"""Requests to a node that is down, slow, busy, or talks nonsense."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator

import pytest
from anvil_node import free_port
from stub_node import Answer, Request, error, result, serving, slow

from privaudit.chain.chain import Call, Fees
from privaudit.chain.errors import LedgerError, Reverted, RpcError
from privaudit.chain.rpc import RpcChain
from privaudit.chain.transport import LONGEST_PAUSE, Refusal, Transport

SOMEBODY = "0x" + "22" * 20
BLOCK = {
    "number": "0x7",
    "hash": "0x" + "ab" * 32,
    "timestamp": "0x64",
    "baseFeePerGas": "0x10",
    "stateRoot": "0x" + "cd" * 32,
}
REASON = "0x08c379a0" + f"{32:064x}{4:064x}" + b"over".hex().ljust(64, "0")


def transport(url: str, **settings: object) -> tuple[Transport, list[float]]:
    """A transport that notes its pauses instead of making them."""
    pauses: list[float] = []
    made = Transport(url, sleep=pauses.append, **settings)  # type: ignore[arg-type]
    return made, pauses


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((200, b"<html>Bad gateway</html>"), "not JSON-RPC"),
        ((200, b'{"jsonrpc": "2.0", "id": 1, "res'), "not JSON-RPC"),
        ((200, b"\xff\xfe\x00"), "not JSON-RPC"),
        ((200, b""), "not JSON-RPC"),
        ((200, b"[]"), "not JSON-RPC"),
        ((200, b"17"), "not JSON-RPC"),
        ((200, b'{"id": 1}'), "not JSON-RPC"),
        ((200, b'{"id": 1, "error": "no"}'), "not JSON-RPC"),
        ((500, b"oops"), "answers HTTP 500"),
        ((503, b""), "answers HTTP 503"),
        ((429, b"slow down"), "answers HTTP 429"),
        (error(-32005, "too many requests"), "fewer requests"),
        (None, "cannot be reached"),
    ],
)
def test_bad_answer_is_asked_again_then_told_in_one_line(answer: Answer, message: str) -> None:
    seen: list[Request] = []
    with serving(lambda request: seen.append(request) or answer) as url:
        made, pauses = transport(url, tries=3)
        with pytest.raises(RpcError, match=message) as told:
            made.request("eth_chainId")
    assert len(seen) == 3
    assert len(pauses) == 2
    assert "\n" not in str(told.value)
    assert str(told.value).startswith(f"127.0.0.1:{url.rsplit(':', 1)[1]}: ")


@pytest.mark.parametrize("bad", [None, (502, b""), (200, b"nonsense"), (429, b"")])
def test_good_answer_after_bad_ones_counts(bad: Answer) -> None:
    answers = iter([bad, bad, result("0x5")])
    with serving(lambda _: next(answers)) as url:
        assert transport(url)[0].request("eth_chainId") == "0x5"


def test_nobody_there_with_growing_pauses() -> None:
    made, pauses = transport(f"http://127.0.0.1:{free_port()}", tries=8)
    with pytest.raises(RpcError, match="cannot be reached; check --rpc"):
        made.request("eth_chainId")
    assert all(later >= earlier for earlier, later in itertools.pairwise(pauses))
    assert max(pauses) == LONGEST_PAUSE


def test_too_slow() -> None:
    with serving(lambda _: slow(0.3, result("0x1"))) as url:
        made, _ = transport(url, timeout=0.05, tries=2)
        with pytest.raises(RpcError, match="does not answer in time"):
            made.request("eth_chainId")


def test_refusal_is_an_answer_and_not_asked_again() -> None:
    seen: list[Request] = []
    answer = error(3, "execution\nreverted", REASON)
    serve = serving(lambda request: seen.append(request) or answer)
    with serve as url, pytest.raises(Refusal) as refusal:
        transport(url)[0].request("eth_call")
    assert len(seen) == 1
    assert refusal.value.message == "execution reverted"


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8545", "ftp://host", "http://", "http://host:port", "http://[::1", "x" * 99],
)
def test_malformed_url(url: str) -> None:
    with pytest.raises(LedgerError, match=r"--rpc: '.*' is not the URL of a node; e.g. http"):
        RpcChain(url)


def test_secret_of_the_url_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    url = f"http://user:hunter2@127.0.0.1:{free_port()}/v3/hunter2?key=hunter2"
    with caplog.at_level(logging.DEBUG), pytest.raises(RpcError) as told:
        transport(url, tries=1)[0].request("eth_chainId")
    with pytest.raises(LedgerError) as malformed:
        Transport("ftp://user:hunter2@host/")
    assert "hunter2" not in f"{told.value} {malformed.value}"
    assert not [record for record in caplog.records if record.name.startswith("web3")]


def chain(answers: dict[str, Answer]) -> Iterator[RpcChain]:
    """A chain whose node answers by method."""
    known = {"eth_chainId": result("0x5"), "eth_getBlockByNumber": result(BLOCK)} | answers
    with serving(lambda request: known[request["method"]]) as url:
        yield RpcChain(url, transport=transport(url, tries=1)[0])


@pytest.mark.parametrize(
    ("method", "answer", "act"),
    [
        ("eth_getBalance", result("lots"), lambda c: c.balance(SOMEBODY)),
        ("eth_getBalance", result(5), lambda c: c.balance(SOMEBODY)),
        ("eth_getBalance", result("0xzz"), lambda c: c.balance(SOMEBODY)),
        ("eth_getBalance", result(None), lambda c: c.balance(SOMEBODY)),
        ("eth_getCode", result("0x123"), lambda c: c.code(SOMEBODY)),
        ("eth_call", result({}), lambda c: c.call(Call(SOMEBODY, SOMEBODY, b""))),
        ("eth_getTransactionReceipt", result([]), lambda c: c.receipt(b"\x01" * 32)),
        ("eth_getTransactionReceipt", result({"status": "0x1"}), lambda c: c.receipt(b"\x01" * 32)),
        ("eth_maxPriorityFeePerGas", result("high"), lambda c: c.fees()),
    ],
)
def test_answers_of_the_wrong_kind(
    method: str, answer: Answer, act: Callable[[RpcChain], object]
) -> None:
    for made in chain({method: answer}):
        with pytest.raises(RpcError, match="not JSON-RPC"):
            act(made)


def test_node_that_refuses_to_answer() -> None:
    for made in chain({"eth_getBalance": error(-32601, "method not found")}):
        with pytest.raises(RpcError, match="refuses eth_getBalance: method not found"):
            made.balance(SOMEBODY)


def test_node_that_refuses_to_try_is_not_the_contract() -> None:
    for made in chain({"eth_call": error(-32000, "insufficient funds for transfer")}):
        with pytest.raises(RpcError, match="the node refuses: insufficient funds for transfer"):
            made.call(Call(SOMEBODY, SOMEBODY, b""))


@pytest.mark.parametrize("status", [401, 404])
def test_what_will_not_pass_is_not_asked_again(status: int) -> None:
    seen: list[Request] = []
    serve = serving(lambda request: seen.append(request) or (status, b""))
    with serve as url, pytest.raises(RpcError, match=f"answers HTTP {status}; check --rpc$"):
        transport(url)[0].request("eth_chainId")
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (error(3, "execution reverted", REASON), "over"),
        (error(3, "execution reverted", {"data": REASON}), "over"),
        (error(-32015, "VM error", "Reverted " + REASON), "over"),
        (error(-32000, "execution reverted: over"), "execution reverted: over"),
        (error(3, "x", "0x1234"), "1234"),
        (error(3, "x", "0xnonsense"), "x"),
    ],
)
def test_reason_of_a_revert_however_it_is_wrapped(answer: Answer, reason: str) -> None:
    for made in chain({"eth_call": answer}):
        with pytest.raises(Reverted) as reverted:
            made.call(Call(SOMEBODY, SOMEBODY, b""))
        assert reverted.value.reason == reason


def test_fees() -> None:
    for made in chain({"eth_maxPriorityFeePerGas": result("0x3")}):
        assert (made.fees().most, made.fees().tip) == (2 * 16 + 3, 3)
    for made in chain({"eth_maxPriorityFeePerGas": error(-32601, "no such method")}):
        assert made.fees().tip == 10**9
    old = {key: value for key, value in BLOCK.items() if key != "baseFeePerGas"}
    for made in chain({"eth_getBlockByNumber": result(old), "eth_gasPrice": result("0x9")}):
        assert made.fees() == Fees(most=9, tip=9, legacy=True)


def test_complaint_of_a_node_is_passed_on_not_raised() -> None:
    for made in chain({"eth_sendRawTransaction": error(-32000, "already known")}):
        assert made.send(b"\x01") == "already known"
    for made in chain({"eth_sendRawTransaction": result("0x" + "01" * 32)}):
        assert made.send(b"\x01") is None


def test_waiting_receipt_is_none() -> None:
    for made in chain({"eth_getTransactionReceipt": result({"blockHash": None})}):
        assert made.receipt(b"\x01" * 32) is None
