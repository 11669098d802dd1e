"""Is this machine fit for an audit? Findings, each with what to do about it."""
