"""What a check of the machine says, and the guard that turns any failure into such an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table.

    Attributes:
        check: what was looked at.
        status: ``ok``; ``note``: good to know, nothing is wrong; ``problem``: something will fail.
        found: what is there.
        remedy: one sentence, for a problem what to do; else empty.
    """

    check: str
    status: Status
    found: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """As a JSON object."""
        return asdict(self)


def guarded(check: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of ``look``; where it breaks down, that is the finding.

    A doctor is called when things are broken: whatever a half-installed package raises, the other
    checks go on and the user sees one line.
    """
    try:
        yield from look()
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        remedy = "Install the package again: pip install -c constraints.txt -e ."
        if isinstance(error, ModuleNotFoundError) and error.name:
            remedy = f"Install the module {error.name.split('.')[0]}, or the whole package again."
        elif isinstance(error, OSError):
            remedy = "Check that this folder is there and yours, or change to another."
        yield Finding(check, "problem", reason, remedy)


def findings_text(findings: Sequence[Finding]) -> str:
    """The findings as a table, below it what to do about each problem.

    Laid out by hand: the library that prints our tables may be what is missing.
    """
    wide = max(len(finding.check) for finding in findings)
    lines = [f"{f.check:<{wide}}  {f.status:<7}  {f.found}" for f in findings]
    problems = [f"{f.check}: {f.remedy}" for f in findings if f.status == "problem"]
    if not problems:
        return "\n".join([*lines, "", "No problem found."])
    return "\n".join([*lines, "", "What to do:", *(f"- {line}" for line in problems)])
