"""What the processes that attacks run in took of the processors, without what they import.

Imports are left out, as those of whatever an audit is set beside are: a run has them once.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

from privaudit.attack import apart, launching


def imported() -> float:
    """Let the process that those of attacks are forked off import; processor seconds of that."""
    first = launching.launch(apart._path())  # forked when everything is there
    first.kill()
    first.wait()
    if not launching.FORKS:
        return 0.0
    (template,) = launching._templates
    fields = Path(f"/proc/{template.process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def ended() -> float:
    """End them all: only of processes that have ended is it known what they took, in seconds."""
    apart.end()
    launching.end_template()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime
