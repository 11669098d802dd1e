"""The reward ledger of a run: what it pays for, what it commits to, and how that is told."""
