# SPDX-License-Identifier: Apache-2.0
# pragma version 0.4.3
# pragma evm-version cancun
"""
@title Refuser
@notice A client that cannot take money, and can force ether upon a contract by its end.
"""

ledger: public(address)


@deploy
@payable
def __init__(ledger: address):
    self.ledger = ledger


@external
def act(data: Bytes[1024]):
    raw_call(self.ledger, data)


@external
def force():
    selfdestruct(self.ledger)
