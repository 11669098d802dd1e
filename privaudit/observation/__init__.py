"""What an adversary sees: threat models as types, and the trace on disk."""
