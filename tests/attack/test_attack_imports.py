"""What is slow to import is not there before something is learned or judged."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from privaudit.engine.layout import Layout
from privaudit_attacks.melis_rf import LONG_ROW, pooled

SLOW = ("pandas", "scipy.stats", "sklearn")


@pytest.mark.parametrize(
    "before",
    [
        "from privaudit.attack.registry import load_attack; "
        "[load_attack(n) for n in ('linear', 'magnitude-stack', 'melis-rf')]",
        "import privaudit.audit, privaudit.ledger.recording",
    ],
    ids=["options are checked", "a ledger is opened"],
)
def test_nothing_slow_is_imported_before_the_first_round(before: str) -> None:
    code = f"{before}; import sys; print([m for m in {SLOW} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("columns", [LONG_ROW - 1, LONG_ROW, 200])
def test_peaks_of_long_rows_are_those_of_absolute_values(columns: int) -> None:
    values = torch.randn(3, 300, columns, generator=torch.Generator().manual_seed(columns))
    values[0, 0], values[1, 1] = 0.0, -0.0
    layout = Layout.of([("matrix", (300, columns))])
    found = pooled(values.flatten(1), layout)
    assert torch.equal(found.view(torch.int32), values.abs().amax(2).view(torch.int32))
