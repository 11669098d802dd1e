"""The files of a run, fixed by hash: the manifest, whose own hash goes on the ledger, and the seal.

``manifest.json`` lists every file that is there when the report is written. What comes to rest only
after the manifest's hash is on the ledger (the journal) is listed in ``seal.json``, together with
the few values an auditor should write down elsewhere: the head of the audit chain, the address, the
state root. The seal vouches for itself by a checksum: that finds damage, not forgery; against
forgery there is only a copy of its values somewhere else.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError

MANIFEST, SEAL = "manifest.json", "seal.json"
LEDGER = "ledger/"
WITH_THE_RUN = frozenset(
    f"{LEDGER}{name}"
    for name in ("audits.jsonl", "book.jsonl", "claims.jsonl", "secret", "setup.json")
)
"""Files of the ledger folder that are complete when the manifest is written."""
AFTER_THE_RUN = frozenset(f"{LEDGER}{name}" for name in ("journal.sqlite", "timings.jsonl"))
"""Files of the ledger folder that the seal lists; there are no others."""
LOCKS = frozenset({".lock", f"{LEDGER}ledger.lock"})
"""What keeps a second writer out; empty, and left behind."""
ANCHOR = "anchor.json"
"""Where the head was anchored after the run, if it was; the chain, not the file, is believed."""
UNLISTED = LOCKS | {MANIFEST, SEAL, ANCHOR}


def write_manifest(folder: RunFolder) -> bytes:
    """List every file of the run; the SHA-256 of the list itself is returned (32 bytes).

    Empty folders, as a cell that failed may leave, go first.
    """
    for place, _, _ in os.walk(folder.path, topdown=False):
        if not os.listdir(place):
            os.rmdir(place)
    files = {name: file_sha256(folder.file(name)) for name in run_files(folder)}
    folder.write_json(MANIFEST, {"format": "privaudit-manifest", "version": 1, "sha256": files})
    return manifest_sha256(folder)


def manifest_sha256(folder: RunFolder) -> bytes:
    """SHA-256 of ``manifest.json`` as it lies there, 32 bytes."""
    return bytes.fromhex(file_sha256(folder.file(MANIFEST)))


def read_manifest(folder: RunFolder) -> dict[str, str]:
    """Name -> SHA-256 (hexadecimal).

    Raises:
        UserError: there is none, or it is not one.
    """
    return _hashes(folder.read_json(MANIFEST), folder.file(MANIFEST))


def write_seal(folder: RunFolder, facts: dict[str, Any]) -> None:
    """Fix the manifest and what lies in the ledger folder, and repeat the ledger's ``facts``."""
    names = [MANIFEST, *ledger_files(folder)]
    content = {
        "format": "privaudit-seal",
        "version": 1,
        "sha256": {name: file_sha256(folder.file(name)) for name in names},
        "ledger": facts,
    }
    folder.write_json(SEAL, content | {"checksum": checksum(content)})


def read_seal(folder: RunFolder) -> tuple[dict[str, str], dict[str, Any]]:
    """Name -> SHA-256 of what it covers, and the ledger's facts.

    Raises:
        UserError: there is none, or its bytes are not those that were written.
    """
    file = folder.file(SEAL)
    content = folder.read_json(SEAL)
    if not isinstance(content, dict) or content.get("checksum") != checksum(
        {key: value for key, value in content.items() if key != "checksum"}
    ):
        raise UserError("its checksum does not match its content", where=str(file))
    text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"
    if file.read_text(encoding="utf-8") != text:
        raise UserError("not the bytes that were written", where=str(file))
    return _hashes(content, file), dict(content["ledger"])


def noted_head(folder: RunFolder) -> str:
    """The head of the audit chain that a finished run ended with; empty without a ledger."""
    return str(read_seal(folder)[1].get("audit_head") or "") if is_sealed(folder) else ""


def has_manifest(folder: RunFolder) -> bool:
    """Whether everything was computed and the report written."""
    return folder.file(MANIFEST).is_file()


def is_sealed(folder: RunFolder) -> bool:
    """Whether the run was brought to its end."""
    return folder.file(SEAL).is_file()


def run_files(folder: RunFolder) -> Iterator[str]:
    """What the manifest lists, sorted."""
    for name in all_files(folder.path):
        if name not in UNLISTED and (not name.startswith(LEDGER) or name in WITH_THE_RUN):
            yield name


def ledger_files(folder: RunFolder) -> Iterator[str]:
    """What the seal lists besides the manifest, sorted."""
    for name in all_files(folder.path):
        if name.startswith(LEDGER) and name not in WITH_THE_RUN | LOCKS:
            yield name


def all_files(path: Path) -> list[str]:
    """Every plain file below a folder, with ``/`` between the parts, sorted."""
    return sorted(name for name, entry in _entries(path) if entry.is_file(follow_symlinks=False))


def oddities(path: Path) -> list[tuple[str, str]]:
    """(name, what it is) of all below a folder that no run leaves there: links, pipes, empty
    folders, locks with something in them.
    """
    found = [(name, _oddity(name, entry)) for name, entry in _entries(path)]
    return sorted((name, what) for name, what in found if what)


def unreadable(path: Path) -> list[str]:
    """Names of what is neither a plain file nor a folder: to read it may never end."""
    return sorted(
        name
        for name, entry in _entries(path)
        if not entry.is_file(follow_symlinks=False) and not entry.is_dir(follow_symlinks=False)
    )


def _entries(path: Path, before: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below a folder, links not followed; a folder before what it holds."""
    with os.scandir(path) as found:
        for entry in found:
            name = f"{before}{entry.name}"
            yield name, entry
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(path / entry.name, f"{name}/")


def _oddity(name: str, entry: os.DirEntry[str]) -> str:
    about = entry.stat(follow_symlinks=False)
    if stat.S_ISDIR(about.st_mode):
        return "" if os.listdir(entry.path) else "an empty folder, which no run leaves"
    if stat.S_ISREG(about.st_mode):
        if about.st_nlink > 1:
            return "a hard link: the same file has another name elsewhere"
        return "a lock, and not empty" if name in LOCKS and about.st_size else ""
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFBLK: "a device",
        stat.S_IFCHR: "a device",
    }
    return f"{kinds.get(stat.S_IFMT(about.st_mode), 'no plain file')}, not a file of the run"


def differences(
    folder: RunFolder, listed: dict[str, str], present: Iterable[str]
) -> list[tuple[str, str]]:
    """(name, what is wrong) for every listed file that is missing or changed, or not listed."""
    found = set(present)
    wrong = [(name, "missing") for name in sorted(set(listed) - found)]
    wrong += [(name, "not listed") for name in sorted(found - set(listed))]
    for name in sorted(found & set(listed)):
        if file_sha256(folder.file(name)) != listed[name]:
            wrong.append((name, "changed"))
    return wrong


def file_sha256(file: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def checksum(content: dict[str, Any]) -> str:
    """SHA-256 over the canonical JSON of a document."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _hashes(content: Any, file: Path) -> dict[str, str]:
    hashes = content.get("sha256") if isinstance(content, dict) else None
    if not isinstance(hashes, dict) or not all(isinstance(v, str) for v in hashes.values()):
        raise UserError("does not list files and their SHA-256", where=str(file))
    return hashes
