"""A run that cannot fit is refused before it begins; one that can is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ledger_runs import small_scenario

from privaudit.audit import run_audit
from privaudit.errors import UserError
from privaudit.experiment.memory import least_memory
from privaudit.world import load_world

PROGRAM = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from ledger_runs import small_scenario
from privaudit.attack import apart, launching
from privaudit.audit import run_audit
run_audit(small_scenario("ledger.enabled=false", "model.hidden=900"), Path(sys.argv[1]), workers=1)
apart.end()
launching.end_template()
both = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
print(sum(resource.getrusage(who).ru_maxrss for who in both))
"""


def test_a_run_that_cannot_fit_is_refused_in_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("privaudit.experiment.memory.free_memory", lambda: 100_000_000)
    with pytest.raises(UserError, match=r"at least 0\.\d GB .* 0\.1 GB are free") as raised:
        run_audit(small_scenario(), tmp_path / "run", workers=1)
    assert "audit.shadows" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_more_processes_shadows_and_parameters_take_more() -> None:
    def least(*settings: str) -> float:
        world = load_world(small_scenario(*settings).model_dump_json(), None)
        return least_memory(world)

    assert least("audit.shadows=20") > least()
    assert least("model.hidden=5000") > least() + 4 * 5000


def test_a_system_that_does_not_say_refuses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("privaudit.experiment.memory.free_memory", lambda: None)
    run_audit(small_scenario("ledger.enabled=false"), tmp_path / "run", workers=1)


@pytest.mark.skipif(sys.platform != "linux", reason="units of ru_maxrss differ elsewhere")
def test_it_is_a_lower_bound_of_what_a_run_takes(tmp_path: Path) -> None:
    support = str(Path(__file__).parents[1] / "support")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "run"), support],
        capture_output=True,
        text=True,
        check=True,
    )
    scenario = small_scenario("ledger.enabled=false", "model.hidden=900")
    bound = least_memory(load_world(scenario.model_dump_json(), None))
    assert bound < 1024 * int(done.stdout.splitlines()[-1])
