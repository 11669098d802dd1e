"""Files under the data folder: found, missing, altered."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from privaudit.data.files import SourceFile, default_data_dir, sha256_of
from privaudit.errors import UserError

CONTENT = b"some data"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
SOURCE = SourceFile("set/data.bin", len(CONTENT), DIGEST, "get it from the moon")


@pytest.fixture
def present(tmp_path: Path) -> Path:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "data.bin").write_bytes(CONTENT)
    return tmp_path


def test_a_right_file_is_located_and_available(present: Path) -> None:
    assert SOURCE.locate(present) == present / "set" / "data.bin"
    assert SOURCE.available(present) == (True, str(present / "set" / "data.bin"))


def test_a_missing_file_says_what_where_and_where_from(tmp_path: Path) -> None:
    with pytest.raises(UserError) as failure:
        SOURCE.locate(tmp_path)
    line = str(failure.value)
    assert "\n" not in line
    for part in ("set/data.bin", str(tmp_path), "get it from the moon", "PRIVAUDIT_DATA"):
        assert part in line
    here, phrase = SOURCE.available(tmp_path)
    assert not here
    assert "no file" in phrase


def test_a_folder_in_place_of_the_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "set" / "data.bin").mkdir(parents=True)
    with pytest.raises(UserError, match="no file"):
        SOURCE.locate(tmp_path)


def test_an_altered_file_is_named_with_both_sums(present: Path) -> None:
    assert SOURCE.locate(present)
    altered = b"same data"  # of the same size: only the checksum can tell
    (present / "set" / "data.bin").write_bytes(altered)
    with pytest.raises(UserError) as failure:
        SOURCE.locate(present)
    line = str(failure.value)
    for part in ("data.bin", DIGEST, hashlib.sha256(altered).hexdigest()):
        assert part in line


def test_a_cut_off_file_is_not_available(present: Path) -> None:
    (present / "set" / "data.bin").write_bytes(CONTENT[:4])
    here, phrase = SOURCE.available(present)
    assert not here
    assert "4 bytes" in phrase


def test_sha256_of_an_unreadable_path(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        sha256_of(tmp_path)


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PRIVAUDIT_DATA", str(tmp_path))
    assert default_data_dir() == tmp_path
    monkeypatch.delenv("PRIVAUDIT_DATA")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_data_dir() == tmp_path / "cache" / "privaudit"
    monkeypatch.setattr("sys.platform", "darwin")
    assert default_data_dir().parts[-3:] == ("Library", "Caches", "privaudit")
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert default_data_dir() == tmp_path / "local" / "privaudit"
