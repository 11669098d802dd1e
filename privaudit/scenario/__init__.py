"""Scenarios: what to run, as a TOML file; defaults, ranges and overrides."""
