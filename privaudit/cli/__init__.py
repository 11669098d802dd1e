"""The command line: verbs, options and exit codes; the work is done elsewhere.

One module per group of verbs, which registers them when it is imported.

Exit codes: 0 done, 1 a check failed, 2 usage or input error, a full disk or no memory (one line on
stderr), 130 interrupted by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP (one line that says how to go on).
"""

from importlib import import_module

from privaudit.cli.app import main

VERBS = (
    "demo",
    "run",
    "scenarios",
    "dilution",
    "sweep",
    "policies",
    "canaries",
    "attack",
    "check",
    "live",
    "tables",
    "compare",
    "index",
    "ledger",
    "keys",
    "inventory",
    "doctor",
)
"""Modules, in the order in which help lists their verbs."""

for _module in VERBS:
    import_module(f"privaudit.cli.{_module}")

__all__ = ["main"]
