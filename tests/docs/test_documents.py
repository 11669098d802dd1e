"""What README and docs/ tell people to type works, from top to bottom of each document.

Programs run as they stand. Commands run with small settings added (:data:`SMALL`); those that need
real data, another program or minutes are not run, each counted as a skipped test with its reason,
but their scenarios and overrides are read all the same.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from ledger_runs import run_command, small_scenario
from PIL import Image

from privaudit.audit import run_audit
from privaudit.scenario.load import bundled, check_scenario, load_scenario, load_sweep

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ["README.md", *sorted(f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md"))]

NOT_RUN = {
    "make run": "the gate runs it",
    "make test": "the gate is it",
    "export ": "a password, for a node",
    "privaudit doctor --self-test": "minutes; tests/doctor runs it",
    "privaudit run letters": "needs real data",
    "privaudit run table1": "needs real data",
    "privaudit run membership-text": "needs real data",
    "privaudit run membership-income": "needs real data",
    "privaudit run income": "needs real data",
    "privaudit run defences": "minutes; tests/games plays it smaller",
    "privaudit run public-ledger": "minutes; tests/games plays its attacks",
    "privaudit run public-ledger-income": "needs real data",
    "privaudit run whose": "a minute; tests/games plays it smaller",
    "privaudit policies": "minutes; tests/policies runs it",
    "privaudit dilution defences": "half an hour; tests/dilution reads one",
    "privaudit canaries my.toml --claimed": "ends with 1 or 2 unless it clips; tests/cli runs it",
    "privaudit run my.toml --gate": "ends with 1 where it leaks; tests/cli runs it",
    "privaudit sweep active": "minutes; tests/games plays it",
    "privaudit run reconstruction": "tests/games runs it",
    "privaudit dilution reconstruction": "tests/games runs it",
    "privaudit sweep by-epoch": "needs real data",
    "privaudit run quickstart --executor": "needs a cluster; tests/experiment starts one",
    "privaudit run quickstart --rpc": "needs a node; tests/audit_ledger runs it",
    "privaudit verify runs/NAME --rpc": "needs a node; tests/audit_ledger runs it",
    "privaudit keys": "asks for a password; tests/ledger runs it",
    "privaudit anchor": "needs a node; tests/forgeries runs it",
    "privaudit ledger runs/live": "needs a live run; tests/taps makes one",
    "privaudit verify runs/live": "needs a live run; tests/taps makes one",
    "privaudit table runs/live": "needs a live run; tests/taps makes one",
    "privaudit report runs/live": "needs a live run; tests/taps makes one",
    "privaudit verify runs/NAME --anchor-rpc": "needs a node; tests/forgeries runs it",
    "privaudit seal": "needs a journal; tests/taps runs it",
    "privaudit judge": "needs a live run; tests/taps runs it",
    "privaudit check trace": "needs a live run; tests/taps runs it",
    "privaudit attack trace": "needs a live run; tests/taps runs it",
    "privaudit demo": "a minute; tests/cli runs it smaller",
    "privaudit index": "needs runs; tests/compare runs it",
    "privaudit compare": "needs two runs; tests/compare runs it",
    "privaudit claim": "needs a cohort above 256; tests/audit_ledger runs it",
}
"""Beginning of a command -> why it is not run here."""

COMMON = (
    "audit.shadows=2",
    "audit.fractions=[1.0]",
    'audit.attacks=["linear"]',
    "report.devices=[]",
)
DRAWN = (
    "data.records=1500",
    "model.channels=[4, 4]",
    "model.hidden=8",
    'audit.properties=["bold"]',
)
RUN_ONLY = ("federation.rounds=1", "audit.rounds=6", "runs=2")
EPISODES = "audit.rounds=16"  # the fewest, as 4 are of its runs
WHOLE = "--whole-runs=4 --whole-rounds=4"
FEW = {
    "run": "",
    "sweep": "--over federation.rounds=0,1",
    "dilution": f"--participants 2,3 --seeds 2 {WHOLE}",
    "canaries": "--rounds 1",
}
"""Verb -> options that make it short."""


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language, its text."""

    document: str
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """The file that a program says it is in its first line."""
        found = re.match(r"# (\w+\.py)\n", self.text)
        return found[1] if found else ""

    def commands(self) -> list[str]:
        """The commands of a block of them, comments left out, continued lines joined."""
        if self.language:
            return []
        lines = self.text.replace("\\\n", " ").splitlines()
        known = ("privaudit ", "make ", "export ")
        return [re.sub(r"\s{2,}#.*$", "", line) for line in lines if line.startswith(known)]


def blocks(document: str) -> list[Block]:
    text = (ROOT / document).read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(document, text[: m.start()].count("\n") + 1, m[1], m[2]) for m in found]


def why_not(command: str) -> str:
    return next((why for start, why in NOT_RUN.items() if command.startswith(start)), "")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run, for what documents call runs/NAME."""
    return run_audit(small_scenario(), tmp_path_factory.mktemp("run") / "NAME", workers=1).path


@pytest.fixture
def place(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder but for a finished run and a file of records to attack with."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no-data").mkdir()
    monkeypatch.setenv("PRIVAUDIT_DATA", str(tmp_path / "no-data"))
    shutil.copytree(finished, tmp_path / "runs" / "NAME")
    loaded = set(sys.modules)
    path = list(sys.path)
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - loaded:
        if (getattr(sys.modules[name], "__file__", "") or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if blocks(d)])
def test_a_document_works_from_top_to_bottom(document: str, place: Path) -> None:
    variables: dict[str, object] = {"__name__": document}
    prepare(document, place)
    for block in blocks(document):
        where = f"{document}:{block.line}"
        if block.language == "python" and block.name:
            (place / block.name).write_text(block.text)
        elif block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile("\n" * block.line + block.text, where, "exec"), variables)
        elif block.language == "toml":
            reads_as_settings(block.text)
        for command in block.commands():
            if not why_not(command):
                works(command, where)


def prepare(document: str, place: Path) -> None:
    """What the reader of these documents has: a model, records of its own, and a trace."""
    if document not in ("README.md", "docs/commands.md", "docs/trace.md"):
        return
    (place / "my_models.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Linear):\n"
        "    def __init__(self):\n        super().__init__(8, 2)\n"
    )
    rng = np.random.default_rng(0)
    coins = {name: rng.integers(0, 2, 400) for name in ("labels", "smoker")}
    inputs = rng.normal(size=(400, 8)).astype(np.float32)
    np.savez(place / "mine.npz", inputs=inputs, **coins)  # type: ignore[arg-type]
    np.savez(place / "asked.npz", inputs=-inputs, labels=coins["labels"])
    if document != "docs/trace.md":
        [writer] = [b for b in blocks("docs/trace.md") if "TraceWriter(" in b.text]
        text = writer.text.replace('"lr": 0.1', '"lr": 0.1, "batch_size": 64')
        exec(compile(text.replace("my-trace", "TRACE"), "docs/trace.md", "exec"), {})


def works(command: str, where: str) -> None:
    """Exit code 0, whatever stands after ``>`` taken as a file."""
    line, _, target = command.partition(" > ")
    words = shlex.split(line)[1:]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command(*words, *small(words))
    assert code == 0, (where, command, err.getvalue(), out.getvalue()[-500:])
    if target:
        Path(target.strip()).write_text(out.getvalue())


def small(words: list[str]) -> list[str]:
    """What makes a run of these words a matter of seconds."""
    verb = words[0]
    if verb not in FEW or "--resume" in words or "--dry-run" in words:
        return []
    own = words[1].endswith(".toml") and "channels" not in Path(words[1]).read_text()
    settings = [*COMMON, *([] if own else DRAWN), *(RUN_ONLY if verb == "run" else RUN_ONLY[1:2])]
    seeds = ["--seeds", "2"] if verb in ("run", "sweep") else []
    if words[1] == "episodes":
        settings, seeds = [*settings, EPISODES], ["--seeds", "4"]
    pairs = [part for setting in settings for part in ("--set", setting)]
    return [*pairs, *FEW[verb].split(), *seeds, "--workers", "1"]


def reads_as_settings(text: str) -> None:
    table = load_scenario("quickstart").model_dump(mode="json")
    for name, section in tomllib.loads(text).items():
        table[name] = table.get(name, {}) | section
    check_scenario(table, where="toml")


ALL_COMMANDS = [(d, command) for d in DOCUMENTS for b in blocks(d) for command in b.commands()]


@pytest.mark.parametrize(("document", "command"), [c for c in ALL_COMMANDS if why_not(c[1])])
def test_commands_that_are_not_run(document: str, command: str) -> None:
    """Counted, and as good as can be seen without running them."""
    if command.startswith("privaudit"):
        names_a_scenario(command)
    pytest.skip(f"{document}: '{command.strip()}': {why_not(command)}")


INLINE = [
    (document, command)
    for document in DOCUMENTS
    for command in re.findall(
        r"`(privaudit (?:run|sweep|dilution) [^`]+)`", (ROOT / document).read_text()
    )
]


@pytest.mark.parametrize(("document", "command"), INLINE)
def test_commands_in_a_sentence_name_what_is_there(document: str, command: str) -> None:
    names_a_scenario(command)


def names_a_scenario(command: str) -> None:
    """The scenario of a command and its overrides are read, its data are not."""
    _, verb, *words = shlex.split(command)
    if not words or words[0] not in bundled():
        without = (
            "verify",
            "doctor",
            "keys",
            "anchor",
            "claim",
            "seal",
            "judge",
            "ledger",
            "check",
            "attack",
            "compare",
            "demo",
            "index",
            "report",
            "table",
        )
        assert verb in without or "--resume" in words or words[0].endswith(".toml")
        return
    sets = [value for flag, value in pairwise(words) if flag == "--set"]
    if verb == "sweep":
        load_sweep(words[0], sets)
    else:
        assert load_scenario(words[0], sets).name


def test_what_is_not_run_is_still_there() -> None:
    for start in NOT_RUN:
        assert [c for _, c in ALL_COMMANDS if c.startswith(start)], start


def test_links_lead_somewhere() -> None:
    for document in [*DOCUMENTS, "CONTRIBUTING.md"]:
        text = (ROOT / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if not target.startswith("http"):
                assert (ROOT / document).parent.joinpath(target).exists(), (document, target)


def test_pictures_of_pages_are_all_there_and_small() -> None:
    """Every kind of page at three widths, light and dark; and nothing else is kept."""
    shown = re.findall(r"\(screens/([^)]+)\)", (ROOT / "docs" / "pages.md").read_text())
    kept = sorted((ROOT / "docs" / "screens").glob("*.webp"))
    assert sorted(shown) == [file.name for file in kept]
    assert len(shown) == 8 * 3 * 2
    assert sum(file.stat().st_size for file in kept) < 2_500_000
    for file in kept:
        with Image.open(file) as picture:
            picture.load()
            assert picture.width == int(file.name.split("-")[1])
