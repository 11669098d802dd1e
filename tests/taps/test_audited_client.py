"""The truth of a live run: kept by the auditor alone, the same for every process."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from privaudit.errors import UserError
from privaudit.library.judging import _same_run
from privaudit.taps.audited_client import AuditedClient, read_truth

PRESENT = np.array([1, 0, -1] * 40)


def client(path: Path, **more: object) -> AuditedClient:
    settings = {"batch_size": 8, "rounds": 11} | more
    return AuditedClient(path / "truth", PRESENT, **settings)  # type: ignore[arg-type]


def test_batches_hold_the_property_when_the_truth_says_so(tmp_path: Path) -> None:
    audited = client(tmp_path, share=0.5)
    batches = {number: audited.batch(number) for number in range(1, 12)}
    truth = read_truth(tmp_path / "truth")
    assert sorted(truth) == list(range(1, 12))
    assert sum(truth.values()) in (5, 6)
    for number, chosen in batches.items():
        assert len(set(chosen)) == 8
        assert PRESENT[chosen].sum() == (4 if truth[number] else 0)
        assert PRESENT[chosen].min() >= 0, "unknown ones are never drawn"


def test_processes_agree_and_folders_do_not(tmp_path: Path) -> None:
    first, second = client(tmp_path), client(tmp_path)
    other = client(tmp_path / "other")
    same = [np.array_equal(first.batch(n, 1), second.batch(n, 1)) for n in range(1, 12)]
    assert all(same)
    assert not all(np.array_equal(first.batch(n), other.batch(n)) for n in range(1, 12))
    assert not np.array_equal(first.batch(1, 0), first.batch(1, 1))


def test_the_secret_is_nobodys_but_the_auditors(tmp_path: Path) -> None:
    client(tmp_path)
    assert (tmp_path / "truth" / "schedule.json").stat().st_mode & 0o777 == 0o600


def test_rounds_that_never_came_are_in_no_truth(tmp_path: Path) -> None:
    audited = client(tmp_path)
    for number in (2, 5):
        audited.batch(number)
    assert sorted(read_truth(tmp_path / "truth")) == [2, 5]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"batch_size": 41}, "40 records with the property, a batch needs 41"),
        ({"batch_size": 0}, "at least 1"),
        ({"share": 0.0}, "in (0, 1]"),
        ({"rounds": 3}, "must be at least 4"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    tmp_path: Path, settings: dict[str, object], says: str
) -> None:
    with pytest.raises(UserError) as error:
        client(tmp_path, **settings)
    assert says in str(error.value)


def test_other_schedules_rounds_and_damage_are_refused(tmp_path: Path) -> None:
    audited = client(tmp_path)
    with pytest.raises(UserError, match="rounds 1 to 11, this is 12"):
        audited.batch(12)
    with pytest.raises(UserError, match="of another schedule"):
        client(tmp_path, rounds=12)
    with pytest.raises(UserError, match="no round of an audited client"):
        read_truth(tmp_path / "truth")
    audited.batch(1)
    file = tmp_path / "truth" / "round-000001.json"
    file.write_text(json.dumps({"round": 1, "present": "yes"}))
    with pytest.raises(UserError, match="'present' is 'yes'"):
        read_truth(tmp_path / "truth")


def test_the_truth_of_another_run_is_refused(tmp_path: Path) -> None:
    """By it every attack would be at chance: a leak would look like none."""
    client(tmp_path, run=7)
    client(tmp_path / "untold")
    for about, truth in (({"run": "7"}, "truth"), ({}, "truth"), ({"run": "8"}, "untold/truth")):
        case = SimpleNamespace(trace=SimpleNamespace(manifest=SimpleNamespace(about=about)))
        _same_run(case, tmp_path / truth)  # type: ignore[arg-type]
    case = SimpleNamespace(trace=SimpleNamespace(manifest=SimpleNamespace(about={"run": "8"})))
    with pytest.raises(UserError, match="the trace is of run 8, the truth of run 7"):
        _same_run(case, tmp_path / "truth")  # type: ignore[arg-type]
