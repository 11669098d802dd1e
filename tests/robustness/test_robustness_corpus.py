"""Whatever a user hands in: exit code 2, one line, no traceback, nothing half-written."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import privaudit_process
from ledger_runs import run_command
from refusals import refused, snapshot
from safetensors.torch import save_file

from privaudit.engine.layout import Layout
from privaudit.observation.trace import TraceWriter

RECORDS = 60
HEAD = b'name = "mine"\nruns = 1\n'
DATA = b'[data]\nname = "npz"\npath = "mine.npz"\nkind = "table"\nproperties = {p = "p"}\n'
REST = b"""
[model]
name = "mlp"
[federation]
participants = 3
rounds = 0
[audit]
properties = ["p"]
fractions = [1.0]
rounds = 4
batch_size = 2
shadows = 2
attacks = ["linear"]
"""
SCENARIO = HEAD + DATA + REST
CSV = DATA.replace(b"npz", b"csv").replace(b'kind = "table"', b'label = "y"').replace(
    b'{p = "p"}', b'{p = {column = "p", present = "1"}}'
)  # fmt: skip
ARRAYS = {
    "inputs": np.random.default_rng(0).normal(size=(RECORDS, 3)).astype(np.float32),
    "labels": np.arange(RECORDS) // 2 % 2,
    "p": np.arange(RECORDS) % 2,
}
TABLE = "a,y,p\n" + "".join(f"{i}.5,{i // 2 % 2},{i % 2}\n" for i in range(RECORDS))
SIZE = 3 * 7 + 7 + 7 * 3 + 3


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder where everything is fine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRIVAUDIT_DATA", str(tmp_path / "no-data"))
    (tmp_path / "mine.toml").write_bytes(SCENARIO)
    (tmp_path / "mine.csv").write_text(TABLE)
    np.savez(tmp_path / "mine.npz", **ARRAYS)  # type: ignore[arg-type]
    shapes = {"first.weight": (7, 3), "first.bias": (7,), "second.weight": (3, 7)}
    layout = Layout.of([*shapes.items(), ("second.bias", (3,))])
    rng = torch.Generator().manual_seed(0)
    about = {"lr": 0.1, "batch_size": 2, "persistent": False}
    with TraceWriter(tmp_path / "trace", torch.zeros(SIZE), layout, about=about) as trace:
        for _ in range(4):
            delta = torch.randn(SIZE, generator=rng)
            trace.append(delta, delta / 2, own_weight=0.5, participants=2)
    return tmp_path


RUN = ("run", "mine.toml", "--out", "new", "--workers", "1")
# What the adversary sent is made up.
ATTACK = (
    "attack", "trace", "--auxiliary", "mine.npz", "--model", "small_models:Dense", "--force",
)  # fmt: skip
ATTACK_DENSE = (*ATTACK, "--option", "features=3", "--option", "classes=3")


def test_all_of_it_is_fine_as_it_is(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Or else the refusals below would say nothing."""
    assert run_command(*RUN, "--dry-run") == 0
    (place / "mine.toml").write_bytes(HEAD + CSV + REST)
    assert run_command(*RUN, "--dry-run") == 0
    assert run_command(*ATTACK_DENSE, "--attack", "linear") == 0
    assert capsys.readouterr().err == ""


NESTED = b"[" * 5000 + b"]" * 5000
SCENARIOS: dict[str, bytes] = {
    "empty": b"",
    "truncated": SCENARIO[:-9],
    "truncated in a string": SCENARIO[:10],
    "binary": bytes(range(256)) * 8,
    "zeros": b"\0" * 4096,
    "huge file": SCENARIO + b"#" * 2**21,
    "nul in a string": SCENARIO.replace(b'"mine"', b'"mi\0ne"'),
    "escaped nul": SCENARIO.replace(b'"p"]', b'"p\\u0000"]'),
    "utf-16": SCENARIO.decode().encode("utf-16"),
    "latin-1": SCENARIO.replace(b'"mine"', b'"m\xefne"'),
    "lone surrogate": SCENARIO.replace(b'"mine"', b'"\\ud800"'),
    "line separator": SCENARIO.replace(b'"mlp"', '"m\u2028lp\u0085"'.encode()),
    "right-to-left": SCENARIO.replace(b'"mlp"', '"\u202eplm"'.encode()),
    "nested": SCENARIO + b"\nx = " + NESTED,
    "nested tables": SCENARIO + b"\n[" + b".".join([b"a"] * 5000) + b"]",
    "twice": SCENARIO + b"\n[data]\nname = 'csv'\n",
    "key twice": SCENARIO + b"rounds = 4\n",
    "table as value": SCENARIO.replace(b"rounds = 4", b"rounds = {a = 4}"),
    "value as table": HEAD + b"data = 3\n" + REST,
    "list as value": SCENARIO.replace(b"rounds = 4", b"rounds = [4]"),
    "infinite": SCENARIO.replace(b"[1.0]", b"[inf]"),
    "nan": SCENARIO.replace(b"[1.0]", b"[nan]"),
    "huge number": SCENARIO.replace(b"rounds = 4", b"rounds = " + b"9" * 5000),
    "huge seed": SCENARIO.replace(b"runs = 1", b"runs = 1\nseed = 99999999999999999999"),
    "huge federation": SCENARIO.replace(b"participants = 3", b"participants = 1000000000000"),
    "huge batch": SCENARIO.replace(b"batch_size = 2", b"batch_size = 1000000000000000"),
    "huge layer": SCENARIO.replace(b'"mlp"', b'"mlp"\nhidden = [1000000000000]'),
    "negative layer": SCENARIO.replace(b'"mlp"', b'"mlp"\nhidden = [-1]'),
    "date": SCENARIO.replace(b"rounds = 4", b"rounds = 1979-05-27"),
    "name that climbs": SCENARIO.replace(b'"mine"', b'"../../mine"'),
    "path with nul": SCENARIO.replace(b"mine.npz", b"mine\\u0000.npz"),
    "path too long": SCENARIO.replace(b"mine.npz", b"m" * 5000),
    "path to a folder": SCENARIO.replace(b"mine.npz", b"trace"),
    "path that is empty": SCENARIO.replace(b"mine.npz", b""),
    "path to a device": SCENARIO.replace(b"mine.npz", b"/dev/null"),
    "model that is no class": SCENARIO.replace(b'"mlp"', b'"shutil:rmtree"\npath = "trace"'),
    "model without a name": SCENARIO.replace(b'"mlp"', b'":"'),
    "model with a nul": SCENARIO.replace(b'"mlp"', b'"a\\u0000:b"'),
    "relative model": SCENARIO.replace(b'"mlp"', b'".a:b"'),
    "property that climbs": SCENARIO.replace(b'{p = "p"}', b'{"../p" = "p"}').replace(
        b'["p"]', b'["../p"]'
    ),
    "property too long": SCENARIO.replace(b'{p = "p"}', b"{" + b"p" * 300 + b' = "p"}').replace(
        b'["p"]', b'["' + b"p" * 300 + b'"]'
    ),
}


@pytest.mark.parametrize("kind", SCENARIOS)
def test_scenario_files(kind: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "mine.toml").write_bytes(SCENARIOS[kind])
    refused(capsys, *RUN, unchanged=place)


def archive(path: Path, **arrays: np.ndarray) -> None:
    np.savez(path, **(ARRAYS | arrays))  # type: ignore[arg-type]


def header_that_lies(path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 3), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("inputs.npy", content)
        file.writestr("labels.npy", b"\x93NUMPY")
        file.writestr("p.npy", b"")


def cut(path: Path, keep: float) -> None:
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])


def members_that_climb(path: Path) -> None:
    """What a tool that unpacks would write beside the folder, and to the root."""
    with zipfile.ZipFile(path, "w") as file:
        for name in ("../evil.npy", "/tmp/evil.npy", "a/../../evil.npy", "inputs.npy/../../evil"):
            file.writestr(name, b"\x93NUMPY")


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[300] ^= 0xFF
    path.write_bytes(bytes(content))


WITH_NAN = np.where(np.arange(RECORDS * 3).reshape(RECORDS, 3) == 7, np.nan, ARRAYS["inputs"])
ARCHIVES: dict[str, Callable[[Path], object]] = {
    "empty": lambda p: p.write_bytes(b""),
    "not a zip": lambda p: p.write_bytes(b"inputs, labels\n" * 100),
    "truncated": lambda p: cut(p, 0.7),
    "truncated early": lambda p: cut(p, 0.01),
    "flipped bit": flipped,
    "missing": lambda p: p.unlink(),
    "folder": lambda p: (p.unlink(), p.mkdir()),
    "link to itself": lambda p: (p.unlink(), p.symlink_to(p)),
    "link to nothing": lambda p: (p.unlink(), p.symlink_to("nowhere")),
    "header that lies": header_that_lies,
    "members that climb": members_that_climb,
    "pickled": lambda p: archive(p, inputs=np.array([[{}]] * RECORDS, dtype=object)),
    "nan": lambda p: archive(p, inputs=WITH_NAN),
    "infinite": lambda p: archive(p, inputs=ARRAYS["inputs"] + np.inf),
    "beyond float32": lambda p: archive(p, inputs=ARRAYS["inputs"].astype(float) * 1e300),
    "texts": lambda p: archive(p, inputs=ARRAYS["inputs"].astype(str)),
    "complex": lambda p: archive(p, inputs=ARRAYS["inputs"] * 1j),
    "times": lambda p: archive(p, inputs=np.full((RECORDS, 3), "2026", "datetime64[D]")),
    "fields": lambda p: archive(p, inputs=np.zeros(RECORDS, [("a", "f4")])),
    "no records": lambda p: archive(p, inputs=ARRAYS["inputs"][:0]),
    "one number": lambda p: archive(p, inputs=np.float32(3)),
    "another length": lambda p: archive(p, labels=ARRAYS["labels"][:-1]),
    "labels that are fractions": lambda p: archive(p, labels=ARRAYS["labels"] / 3),
    "property of three values": lambda p: archive(p, p=np.arange(RECORDS) % 3),
    "property never known": lambda p: archive(p, p=np.full(RECORDS, -1)),
    "property of nan": lambda p: archive(p, p=np.full(RECORDS, np.nan)),
}


@pytest.mark.parametrize("kind", ARCHIVES)
@pytest.mark.parametrize("command", [RUN, ATTACK_DENSE], ids=["run", "attack"])
def test_archives(
    kind: str, command: tuple[str, ...], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ARCHIVES[kind](place / "mine.npz")
    assert "mine.npz" in refused(capsys, *command, unchanged=place)


TABLES: dict[str, bytes] = {
    "empty": b"",
    "head only": b"a,y,p\n",
    "binary": bytes(range(256)) * 20,
    "zeros": b"\0" * 1000,
    "utf-16": TABLE.encode("utf-16"),
    "truncated": TABLE.encode()[:-3],
    "open quote": TABLE.encode() + b'"1,2,3',
    "too many cells": TABLE.encode() + b"1,2,3,4\n",
    "column twice": b"a,a" + TABLE.encode()[3:],
    "nan": TABLE.replace("\n3.5,", "\nNaN,").encode(),
    "infinite": TABLE.replace("\n3.5,", "\n1e999,").encode(),
    "huge cell": TABLE.replace("\n3.5,", "\n" + "9" * 200_000 + ",").encode(),
    "nul in a cell": TABLE.replace("\n3.5,", "\n3\0,").encode(),
    "no label": TABLE.replace("a,y,p", "a,z,p").encode(),
    "packed": gzip.compress(TABLE.encode()),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables(kind: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "mine.toml").write_bytes(HEAD + CSV + REST)
    (place / "mine.csv").write_bytes(TABLES[kind])
    assert "mine.csv" in refused(capsys, *RUN, unchanged=place)


def packed_wrongly(place: Path) -> None:
    (place / "mine.csv.gz").write_bytes(gzip.compress(TABLE.encode())[:-20])
    (place / "mine.toml").write_bytes((HEAD + CSV + REST).replace(b"mine.csv", b"mine.csv.gz"))


def test_a_packed_table_that_was_cut(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed_wrongly(place)
    refused(capsys, *RUN, unchanged=place)


def manifest(**changes: object) -> Callable[[Path], object]:
    def change(trace: Path) -> None:
        content = json.loads((trace / "manifest.json").read_text())
        (trace / "manifest.json").write_text(json.dumps(content | changes))

    return change


def file(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda trace: (trace / name).write_bytes(content)


FIRST = "round-000000.safetensors"
WRONG = torch.full((SIZE,), float("nan"))
FACTS = json.dumps({"own_weight": 0.5, "participants": 2, "client_weights": {}})


def open_with_nan(trace: Path) -> None:
    """A trace that was cut off, so that no digest tells."""
    manifest(rounds=None, sha256={})(trace)
    tensors = {"global_delta": WRONG, "own_delta": torch.zeros(SIZE)}
    save_file(tensors, trace / FIRST, metadata={"round": FACTS})


TRACES: dict[str, Callable[[Path], object]] = {
    "gone": shutil.rmtree,
    "a file": lambda t: (shutil.rmtree(t), t.write_bytes(b"trace")),
    "link to itself": lambda t: (shutil.rmtree(t), t.symlink_to(t)),
    "no manifest": lambda t: (t / "manifest.json").unlink(),
    "manifest is a folder": lambda t: (
        (t / "manifest.json").unlink(),
        (t / "manifest.json").mkdir(),
    ),
    "manifest empty": file("manifest.json", b""),
    "manifest binary": file("manifest.json", bytes(range(256))),
    "manifest nested": file("manifest.json", NESTED),
    "manifest a list": file("manifest.json", b"[]"),
    "manifest a number": file("manifest.json", b"9" * 100_000),
    "manifest cut": lambda t: cut(t / "manifest.json", 0.5),
    "of another layout": manifest(layout=[{"name": "w", "shape": [SIZE]}]),
    "of a huge layout": manifest(layout=[{"name": "w", "shape": [10**12, 10**12]}]),
    "of no rounds": manifest(rounds=0),
    "of many rounds": manifest(rounds=5),
    "files elsewhere": manifest(sha256={"../mine.npz": "0"}),
    "about of wrong types": manifest(about={"lr": "fast", "batch_size": []}),
    "about of no steps": manifest(about={"lr": 0.1, "batch_size": 0}),
    "infinite learning rate": manifest(about={"lr": float("inf"), "batch_size": 2}),
    "one round gone": lambda t: (t / FIRST).unlink(),
    "one round empty": file(FIRST, b""),
    "one round cut": lambda t: cut(t / FIRST, 0.5),
    "one round changed": lambda t: save_file({"global_delta": torch.ones(SIZE)}, t / FIRST),
    "one round huge": file(FIRST, struct.pack("<Q", 2**63 - 1) + b"{}"),
    "one round is a folder": lambda t: ((t / FIRST).unlink(), (t / FIRST).mkdir()),
    "one round links to itself": lambda t: ((t / FIRST).unlink(), (t / FIRST).symlink_to(FIRST)),
    "parameters gone": lambda t: (t / "initial.safetensors").unlink(),
    "parameters cut": lambda t: cut(t / "initial.safetensors", 0.9),
    "not finite": open_with_nan,
}


@pytest.mark.parametrize("kind", TRACES)
def test_traces(kind: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TRACES[kind](place / "trace")
    refused(capsys, *ATTACK_DENSE, unchanged=place)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--out", "mine.npz"],
        ["--out", "mine.npz/deeper"],
        ["--out", "loop"],
        ["--out", "loop/deeper"],
        ["--out", "m" * 300],
        ["--out", "trace"],
        ["--out", "new\0"],
        ["--workers", "99999999999999999999x"],
        ["--workers", "-1"],
        ["--seeds", "0"],
        ["--set", "audit.rounds=" + "9" * 5000],
        ["--set", "=" * 100],
        ["--set", "a." * 5000 + "b=1"],
        ["--set", "x=" + "[" * 5000],
        ["--set", "audit.rounds=\0"],
        ["--set", 'name="\ud800"'],
        ["--data-dir", "loop", "--set", "data={name='csi'}"],
        ["--no-ledger", "--rpc", "http://localhost:1"],
        ["--rpc", "not a url", "--keystore", "nowhere"],
        ["--keystore", "trace"],
        ["--resume", "loop"],
        ["--confirmations", "0"],
    ],
    ids=lambda arguments: "-".join(arguments)[:40].encode("ascii", "replace").decode(),
)
def test_flags(arguments: list[str], place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "loop").symlink_to("loop")
    refused(capsys, "run", "mine.toml", "--out", "new", *arguments, unchanged=place)


@pytest.mark.parametrize("verb", ["table", "report", "ledger", "verify"])
@pytest.mark.parametrize("folder", ["", "trace", "mine.npz", "loop", "m" * 300, "damaged", "a\0b"])
def test_folders_that_are_no_run(
    verb: str, folder: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "loop").symlink_to("loop")
    (place / "damaged").mkdir()
    (place / "damaged" / "scenario.json").write_bytes(b'{"name": ' + NESTED)
    if verb == "verify" and folder in ("trace", "damaged"):
        assert run_command(verb, folder) == 1  # it looks, and says what does not match
        assert capsys.readouterr().err == ""
        return
    refused(capsys, verb, folder, unchanged=place)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "locked").mkdir(mode=0o500)
    refused(capsys, "run", "mine.toml", "--out", "locked/new", unchanged=place)
    refused(capsys, "new", "locked/new.toml", unchanged=place)


def test_an_unreachable_chain_leaves_nothing(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from eth_account import Account

    (place / "keys").mkdir()
    for number, role in enumerate(("admin", "coordinator", "auditor"), start=1):
        key = Account.encrypt(f"{number:064x}", "secret", kdf="pbkdf2", iterations=10)
        (place / "keys" / f"{role}.json").write_text(json.dumps(key))
    monkeypatch.setenv("PRIVAUDIT_KEYSTORE_PASSWORD", "secret")
    line = refused(
        capsys, *RUN, "--rpc", "http://127.0.0.1:9", "--keystore", "keys", unchanged=place
    )
    assert "127.0.0.1:9" in line


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB, where one can be mounted."""
    folder = tmp_path / "small-disk"
    folder.mkdir()
    try:
        mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def test_a_full_disk_is_one_line(
    place: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small_disk / "ballast").write_bytes(b"\0" * 250_000)
    code = run_command("run", "mine.toml", "--out", str(small_disk / "run"), "--workers", "1")
    printed = capsys.readouterr()
    assert code == 2, printed
    assert printed.err.count("\n") == 1, printed.err
    assert "No space left" in printed.err or "disk" in printed.err
    mount("-o", "remount,size=64m", str(small_disk))
    run = small_disk / "run"
    begun = ["--resume", str(run)] if (run / "scenario.json").is_file() else RUN[1:2]
    out = [] if "--resume" in begun else ["--out", str(run)]
    assert run_command("run", *begun, *out, "--workers", "1") == 0, "with space it goes on"
    assert run_command("verify", str(run)) == 0


def test_a_disk_that_may_only_be_read(
    place: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small_disk / "kept.txt").write_text("kept")
    mount("-o", "remount,ro", str(small_disk))
    for arguments in (
        ["run", "mine.toml", "--out", str(small_disk / "run")],
        ["new", str(small_disk / "new.toml")],
        ["dilution", "mine.toml", "--participants", "2,3", "--out", str(small_disk / "two")],
    ):
        assert "ead-only" in refused(capsys, *arguments, unchanged=place)


@pytest.mark.parametrize(
    ("arguments", "content"),
    [
        (["run", "mine.toml", "--out", "new"], SCENARIOS["binary"]),
        (["run", "mine.toml", "--frobnicate"], SCENARIO),
    ],
)
def test_a_process_of_its_own_says_the_same(
    arguments: list[str], content: bytes, place: Path
) -> None:
    (place / "mine.toml").write_bytes(content)
    before = snapshot(place)
    done = privaudit_process(*arguments, cwd=place)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("privaudit: ")
    assert done.err.count("\n") == 1
    assert snapshot(place) == before
