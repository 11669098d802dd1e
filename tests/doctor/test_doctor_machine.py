"""The doctor on broken machines: one line, one remedy, no traceback."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from ledger_runs import run_command

from privaudit.attack import registry
from privaudit.doctor import examine as doctor
from privaudit.doctor import machine, places, software
from privaudit.doctor.finding import Finding, findings_text, guarded
from privaudit.errors import UserError

GIB = 2**30


def only(findings: Iterator[Finding]) -> Finding:
    [finding] = findings
    return finding


def problems(findings: Iterator[Finding]) -> dict[str, Finding]:
    found = {f.check: f for f in findings if f.status == "problem"}
    assert all(f.remedy.endswith(".") or f.remedy.startswith("Run: ") for f in found.values())
    return found


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PRIVAUDIT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict]:  # type: ignore[type-arg]
    code = run_command("doctor", "--json", *arguments)
    printed = capsys.readouterr()
    assert printed.err == ""
    return code, json.loads(printed.out)


def test_a_sound_machine(workshop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = document(capsys)
    assert (code, found["healthy"]) == (0, True)
    assert set(found) == {"version", "healthy", "findings"}
    for row in found["findings"]:
        assert set(row) == {"check", "status", "found", "remedy"}
        assert row["status"] in ("ok", "note"), row
    checks = {row["check"]: row["found"] for row in found["findings"]}
    assert {"python", "packages", "cores", "memory", "device", "embedded chain"} <= set(checks)
    assert "magnitude-stack" in checks["attacks"]
    assert "glyphs" in checks["data sets"]
    assert "csi" in checks["data sets missing"]
    assert list(workshop.iterdir()) == [], "the doctor leaves nothing behind"


def test_the_table_names_problem_and_remedy(
    workshop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_command("doctor", "--rpc", "http://127.0.0.1:9", "--data-dir", "nowhere")
    printed = capsys.readouterr()
    assert (code, printed.err) == (1, "")
    text = printed.out
    assert "node                     problem  127.0.0.1:9: the node cannot be reached\n" in text
    assert "- node: Start the node" in text
    assert "- data folder: Name an existing folder with --data-dir." in text
    assert "Traceback" not in text


def test_no_problem_is_said_so() -> None:
    assert findings_text([Finding("x", "note", "y")]).endswith("No problem found.")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--audits", "30"], "--audits: does not go with what was asked; add --self-test"),
        (["--seed", "3"], "--seed: "),
        (["--self-test", "--rpc", "http://x"], "--rpc: does not go with what was asked; leave"),
        (["--self-test", "--data-dir", "x"], "--data-dir: "),
    ],
)
def test_options_of_the_other_half_are_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("doctor", *options) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"privaudit: {message}")


def test_a_missing_and_an_old_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(name: str) -> str:
        if name == "coincurve":
            raise PackageNotFoundError(name)
        return "0.1" if name == "numpy" else version(name)

    monkeypatch.setattr(software, "version", installed)
    found = problems(software.packages())
    assert found["package coincurve"].found.startswith("missing, asks for ")
    assert found["package coincurve"].remedy.startswith('Run: pip install -c constraints.txt "coin')
    assert found["package numpy"].found.startswith("0.1, asks for ")
    assert len(found) == 2


def test_packages_of_extras_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(software, "version", lambda name: asked.append(name) or version(name))
    list(software.packages())
    assert "torch" in asked
    assert "pytest" not in asked


def test_an_old_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software.platform, "python_version", lambda: "3.9.2")
    assert problems(software.python_version())["python"].found.startswith("3.9.2, asks for ")


def test_a_package_that_is_not_installed_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "PACKAGE", "no-such-distribution-here")
    found = only(guarded("python", software.python_version))
    assert found.status == "problem"
    assert "PackageNotFoundError" in found.found


def test_a_module_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    found = only(guarded("device", machine.device))
    assert found.status == "problem"
    assert found.remedy.startswith("Install the module torch")


def test_whatever_breaks_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Iterator[Finding]:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(machine, "cores", broken)
    found = {f.check: f for f in doctor.examine(None, None)}
    assert found["cores"] == Finding(
        "cores", "problem", "RuntimeError: two lines", found["cores"].remedy
    )
    assert found["memory"].found
    assert not doctor.healthy(list(found.values()))


def test_a_folder_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> Path:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(doctor.Path, "cwd", gone)
    [found] = doctor.examine(None, None)
    assert (found.status, found.remedy) == ("problem", "Change to a folder that exists.")


def test_a_broken_attack(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> type:
        raise UserError(f"attack '{name}' cannot be imported", remedy="repair or uninstall them")

    monkeypatch.setattr(registry, "load_attack", load)
    found = problems(software.attacks())
    assert found["attack linear"].remedy == "Repair or uninstall them."
    assert found["attacks"].found == "none is registered"


@pytest.mark.parametrize(
    ("free", "status"), [(0.4, "problem"), (1.2, "note"), (64, "ok"), (None, "note")]
)
def test_memory(free: float | None, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.this, "cores", lambda: 8)
    amount = None if free is None else int(free * GIB)
    monkeypatch.setattr(machine.this, "free_memory", lambda: amount)
    assert only(machine.memory()).status == status


def test_free_memory_is_that_of_the_tighter_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.this, "_system_memory", lambda: 8 * GIB)
    monkeypatch.setattr(machine.this, "_container_memory", lambda: 3 * GIB)
    assert machine.this.free_memory() == 3 * GIB
    monkeypatch.setattr(machine.this, "_container_memory", lambda: None)
    assert machine.this.free_memory() == 8 * GIB


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": GIB // 4})
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)
    assert set(problems(machine.disk())) == {"disk, current folder", "disk, temporary folder"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_read_only_folder(workshop: Path) -> None:
    workshop.chmod(0o500)
    try:
        assert "write, current folder" in problems(machine.writable())
    finally:
        workshop.chmod(0o700)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody may write to")
def test_a_folder_nobody_may_write_to(monkeypatch: pytest.MonkeyPatch, workshop: Path) -> None:
    monkeypatch.chdir("/proc")
    monkeypatch.setattr(tempfile, "tempdir", "/proc/self")
    monkeypatch.setenv("PRIVAUDIT_DATA", "/proc/data")
    found = {f.check: f for f in machine.writable()}
    assert found["write, current folder"].status == "problem"
    assert found["write, temporary folder"].remedy == "Set TMPDIR to a folder of yours."
    assert found["write, data folder"].status == "note"


def test_a_file_where_the_folder_should_be(workshop: Path) -> None:
    (workshop / "file").touch()
    found = machine._writable("x", workshop / "file", "Choose another.")
    assert (found.status, found.remedy) == ("problem", "Choose another.")


def test_data_that_are_missing_are_no_problem(workshop: Path) -> None:
    assert not problems(places.data_sets(None))
    assert not problems(places.data_sets(workshop))


def test_a_folder_named_in_the_environment_must_exist(
    workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIVAUDIT_DATA", str(workshop / "nowhere"))
    remedy = problems(places.data_sets(None))["data folder"].remedy
    assert remedy == "Name an existing folder with PRIVAUDIT_DATA."


def test_a_url_that_is_none() -> None:
    assert "'gopher' is not the URL" in only(places.node("gopher")).found


def test_a_node_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    from privaudit.chain import transport

    block = {"number": "0x10", "hash": "0x" + "ab" * 32, "timestamp": "0x1"}
    answers = {"eth_chainId": "0x7a69", "eth_getBlockByNumber": block}
    monkeypatch.setattr(
        transport.Transport, "request", lambda self, method, *parameters: answers[method]
    )
    found = only(places.node("http://user:secret@localhost:8545/key"))
    assert found == Finding("node", "ok", "localhost:8545: chain id 31337, block 16")


def test_a_node_that_answers_nonsense(monkeypatch: pytest.MonkeyPatch) -> None:
    from privaudit.chain import transport

    monkeypatch.setattr(transport.Transport, "request", lambda self, method, *parameters: "hm")
    assert only(places.node("http://localhost")).status == "problem"
