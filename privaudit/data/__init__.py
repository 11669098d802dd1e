"""Data sets: one shape for all, loaded by name."""
