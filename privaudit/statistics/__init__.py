"""Statistics of audits: pure functions from scores and truth to numbers with intervals."""
