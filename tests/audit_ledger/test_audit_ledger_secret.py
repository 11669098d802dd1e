"""The secret that salts are made of is for the eyes of the run's owner alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from privaudit.custody.folder import RunFolder
from privaudit.ledger.commitments import SECRET, own_secret, read_secret
from privaudit.verify.run import verify_run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="file modes are of POSIX")


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_a_new_secret_is_closed_to_others_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        secret = own_secret(RunFolder(tmp_path))
    finally:
        os.umask(before)
    assert mode(tmp_path / SECRET) == 0o600
    assert len(secret) == 32
    assert read_secret(RunFolder(tmp_path)) == secret == own_secret(RunFolder(tmp_path))


@pytest.mark.parametrize("wider", [0o644, 0o660, 0o604])
def test_one_that_others_may_read_is_closed_by_the_run(tmp_path: Path, wider: int) -> None:
    folder = RunFolder(tmp_path)
    secret = own_secret(folder)
    folder.file(SECRET).chmod(wider)
    assert own_secret(folder) == secret
    assert mode(folder.file(SECRET)) == 0o600


def test_verify_says_so_and_changes_nothing(copied: RunFolder) -> None:
    assert mode(copied.file(SECRET)) == 0o600
    assert not any(SECRET in note for note in verify_run(copied.path).notes)
    copied.file(SECRET).chmod(0o644)
    verdict = verify_run(copied.path)
    assert verdict.holds  # that the files are the recorded ones does not hang on who may read them
    assert any(f"{SECRET} can be read by others" in note for note in verdict.notes)
    assert mode(copied.file(SECRET)) == 0o644
