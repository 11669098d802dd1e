# SPDX-License-Identifier: Apache-2.0
# pragma version 0.4.3
# pragma evm-version cancun
"""
@title Reenterer
@notice A client that calls the ledger back whenever it is paid.
@dev Without a payload it just takes the money. It never reverts itself: what a re-entrant call
     did is kept in `attempts`, `successes`, and `peeked`.
"""

ledger: public(address)
payload: public(Bytes[1024])
attempts: public(uint256)
successes: public(uint256)


@deploy
def __init__(ledger: address):
    self.ledger = ledger


@external
def arm(payload: Bytes[1024]):
    self.payload = payload
    self.attempts = 0
    self.successes = 0


@external
def act(data: Bytes[1024]):
    raw_call(self.ledger, data)


@external
@payable
def __default__():
    if len(self.payload) > 0:
        self.attempts += 1
        success: bool = raw_call(self.ledger, self.payload, revert_on_failure=False)
        if success:
            self.successes += 1
