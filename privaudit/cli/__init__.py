"""The command line: verbs, options and exit codes; the work is done elsewhere.

One module per group of verbs, each imported here so that it registers itself.

Exit codes: 0 done, 1 a check failed, 2 usage or input error (one line on stderr).
"""

# isort: off - help lists the verbs in this order
from privaudit.cli import run  # noqa: F401
from privaudit.cli import dilution  # noqa: F401
from privaudit.cli import tables  # noqa: F401
from privaudit.cli import ledger  # noqa: F401
from privaudit.cli import inventory  # noqa: F401

# isort: on
from privaudit.cli.app import main

__all__ = ["main"]
