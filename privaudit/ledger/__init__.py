"""The reward ledger: its compiled contract (``artefact/``) and the client that talks to it."""
