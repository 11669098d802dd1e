"""Rebuilding the records of a batch from the gradient they made: pure functions of arrays."""
