"""Whether a run folder and its ledger are what they say."""
