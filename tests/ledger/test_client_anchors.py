"""The program of an anchor: what it logs when an EVM runs it, and what is taken for one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from privaudit.chain.accounts import EmbeddedAccounts, address, sign
from privaudit.chain.anchors import GAS, SIGNER, TAG, Content, parse_program, program
from privaudit.chain.chain import Call, Fees
from privaudit.chain.embedded import EmbeddedChain
from privaudit.chain.hashes import words

CONTENT = Content("embedded", plan=b"\x01" * 32, head=b"\x02" * 32)
WORD = st.binary(min_size=32, max_size=32)
KIND = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=32)


@given(st.builds(Content, KIND, plan=WORD, head=WORD))
def test_a_program_says_what_it_was_made_of(content: Content) -> None:
    assert parse_program(program(content)) == content


@given(st.integers(0, len(program(CONTENT)) - 1), st.integers(1, 255))
def test_a_changed_program_is_another_anchor_or_none(place: int, change: int) -> None:
    data = bytearray(program(CONTENT))
    data[place] ^= change
    found = parse_program(bytes(data))
    assert found is None or (found != CONTENT and program(found) == bytes(data))


@given(st.binary(max_size=200))
def test_other_data_are_no_anchor(data: bytes) -> None:
    assert parse_program(data) is None
    assert parse_program(program(CONTENT) + data[:9] + b"\0") is None
    assert parse_program(program(CONTENT)[: len(data) % len(program(CONTENT))]) is None


def test_an_evm_logs_it_and_keeps_no_code() -> None:
    accounts = EmbeddedAccounts()
    sender = address(accounts, SIGNER)
    chain = EmbeddedChain([sender])
    call = Call(sender=sender, to=None, data=program(CONTENT), gas=GAS)
    signed = sign(accounts.key(SIGNER), chain.chain_id, call, 0, Fees(0, 0))
    chain.simulate(signed)
    chain.send(signed.raw)
    receipt = chain.receipt(signed.hash)
    assert receipt is not None
    assert receipt.succeeded
    [log] = receipt.logs
    assert log.topics == (TAG, CONTENT.plan, CONTENT.head, words(sender))
    assert log.data == b"embedded".ljust(32, b"\0")
    assert log.address == receipt.contract
    assert chain.code(log.address) == b""
    assert receipt.gas_used < 0.6 * GAS
