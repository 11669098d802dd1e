"""However an attack or a model ends, it is a failure of its name, and the others have scores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from audited_world import AuditedWorld, audit

from privaudit.attack import apart, launching
from privaudit.attack.apart import score_apart
from privaudit.attack.scoring import Failure, Hearing, Scores, Wanted
from privaudit.attack.scratch import Scratch
from privaudit.engine.engine import Engine
from privaudit.errors import MachineError, UserError
from privaudit.observation.views import Observation
from privaudit.randomness import Seed

PLUGINS = Path(__file__).resolve().parents[1] / "support" / "plugins"
ROUNDS = 5

RAISED = {
    **{name: f"{name}: from a plugin" for name in ("IndexError", "SystemExit", "OSError")},
    "KeyError": "KeyError: 'from a plugin'",
    "MemoryError": "MemoryError: from a plugin",
    "AssertionError": "AssertionError: from a plugin",
    "GeneratorExit": "GeneratorExit: from a plugin",
    "Outside": "Outside: from a plugin",
    "Nameless": "Nameless",
    "recursion": "RecursionError: maximum recursion depth exceeded",
    "none": "TypeError: score() gave NoneType, not 5 numbers",
    "text": "TypeError: score() gave str, not 5 numbers",
    "objects": "TypeError: score() gave list, not 5 numbers",
    "complex": "TypeError: score() gave ndarray, not 5 numbers",
    "generator": "TypeError: score() gave generator, not 5 numbers",
    "ragged": "TypeError: score() gave lists of different lengths",
    "short": "ValueError: score() gave shape (4,), 0 not finite; expected (5,) finite",
    "column": "ValueError: score() gave shape (5, 1)",
    "nan": "ValueError: score() gave shape (5,), 5 not finite",
    "huge": "5 not finite",
}
"""Kind -> what is said of it."""

VANISHED = {
    "osexit": "it ended its process (exit code 0)",
    "segfault": "it ended its process (killed by signal 11)",
    "closes everything": "it ended its process (",
    "KeyboardInterrupt": "it ended its process (",
}


@pytest.fixture(autouse=True)
def _plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLUGINS))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> AuditedWorld:
    return audit(tmp_path_factory.mktemp("world") / "trace", rounds=ROUNDS)


def wanted(name: str, **options: object) -> Wanted:
    return Wanted(name, options, Seed(3).child("attack", name))


def scored(world: AuditedWorld, *attacks: tuple[Wanted, ...]) -> list[dict[str, Scores]]:
    """Of one view for each group of attacks."""
    hearings = [Hearing(world.adversary, group) for group in attacks]
    return score_apart(hearings, [world.trace.view()] * len(attacks))


def assert_scores(found: Scores) -> None:
    assert isinstance(found, list)
    assert len(found) == ROUNDS


def test_an_exception_of_any_kind_is_a_failure_of_that_attack_alone(world: AuditedWorld) -> None:
    found = scored(
        world,
        *((wanted("boom", kind=kind), wanted("honest")) for kind in RAISED),
    )
    for (kind, said), results in zip(RAISED.items(), found, strict=True):
        failure = results["boom"]
        assert isinstance(failure, Failure), kind
        assert failure.reason.startswith("attack 'boom' failed: ")
        assert said in failure.reason
        assert "\n" not in failure.reason
        assert "Traceback" in failure.traceback
        assert_scores(results["honest"])
    raised = found[list(RAISED).index("IndexError")]["boom"]
    assert isinstance(raised, Failure)
    assert "misbehaving.py" in raised.traceback


@pytest.mark.parametrize("where", ["init", "fit"])
def test_it_may_fail_at_any_time(world: AuditedWorld, where: str) -> None:
    (found,) = scored(world, (wanted("boom", kind="KeyError", where=where), wanted("honest")))
    assert isinstance(found["boom"], Failure)
    assert_scores(found["honest"])


@pytest.mark.parametrize("kind", VANISHED)
def test_an_attack_that_ends_its_process_is_named_and_the_others_go_on(
    world: AuditedWorld, kind: str
) -> None:
    first = (wanted("honest"), wanted("boom", kind=kind, where="fit"), wanted("linear"))
    found, alone = scored(world, first, (wanted("honest"),))
    failure = found["boom"]
    assert isinstance(failure, Failure)
    assert failure.reason.startswith("attack 'boom' failed: ")
    assert VANISHED[kind] in failure.reason
    assert_scores(found["honest"])
    assert_scores(found["linear"])
    assert alone == {"honest": found["honest"]}


@pytest.mark.parametrize(
    ("name", "said"),
    [("failing", "the model failed: LookupError: "), ("leaving", "the model failed: it ended its")],
)
def test_a_model_that_fails_is_named_instead(world: AuditedWorld, name: str, said: str) -> None:
    import broken_models

    model = broken_models.Sound(world.adversary.engine.model)
    adversary = replace(world.adversary, engine=Engine(model))
    model.ends = name
    hearing = Hearing(adversary, (wanted("honest"), wanted("linear")))
    (found,) = score_apart([hearing], [world.trace.view()])
    for failure in found.values():
        assert isinstance(failure, Failure)
        assert failure.reason.startswith(said)


def test_the_scores_are_those_of_this_process(world: AuditedWorld) -> None:
    from privaudit.attack.protocol import fit_together, make_attack
    from privaudit.attack.registry import load_attack

    chosen = [wanted(name) for name in ("linear", "magnitude-stack", "melis-rf")]
    (apart_found,) = scored(world, tuple(chosen))
    here = [make_attack(load_attack(w.name), w.options, w.seed) for w in chosen]
    fit_together(here, world.trace.view(), world.adversary)
    for attack in here:
        assert apart_found[attack.name] == [float(s) for s in attack.score()]


@pytest.fixture
def _afresh() -> Iterator[None]:
    apart.end()
    yield
    apart.end()


@pytest.mark.usefixtures("_afresh")
def test_an_interrupt_stays_one_and_leaves_no_process(
    world: AuditedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(world, (wanted("honest"),))
    (process,) = apart._latest

    class Interrupted:
        def __iter__(self) -> Iterator[object]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_apart([Hearing(world.adversary, (wanted("honest"),))], [Interrupted()])
    assert not process.alive
    scored(world, (wanted("honest"),))  # a new one


@pytest.mark.usefixtures("_afresh")
def test_each_run_has_a_process_of_its_own(world: AuditedWorld) -> None:
    """What one finds in a run - the other state of its federation - is not there for the next."""
    found = []
    for run in (0, 0, 1):
        score_apart([Hearing(world.adversary, (wanted("honest"),))], [world.trace.view()], run=run)
        found += apart._latest
    assert found[0] is found[1]
    assert found[2] is not found[0]
    assert not found[0].alive


@pytest.mark.usefixtures("_afresh")
def test_where_none_is_forked_each_is_started(
    world: AuditedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on systems where forking is not safe."""
    forked = scored(world, (wanted("honest"), wanted("melis-rf")))
    apart.end()
    monkeypatch.setattr(launching, "FORKS", False)
    chosen = wanted("honest"), wanted("melis-rf")
    ends = wanted("honest"), wanted("boom", kind="osexit", where="fit")
    started, other = scored(world, chosen, ends)
    assert started == forked[0]
    assert isinstance(other["boom"], Failure)
    assert_scores(other["honest"])


@pytest.mark.usefixtures("_afresh")
@pytest.mark.skipif(not launching.FORKS, reason="each is started when it is asked for")
def test_what_was_prepared_is_what_is_forked(world: AuditedWorld) -> None:
    launching.end_template()
    apart.prepare()
    (template,) = launching._templates
    scored(world, (wanted("honest"),))
    assert launching._templates == [template]


@pytest.mark.usefixtures("_afresh")
def test_what_an_attack_is_refused_is_not_complained_of(
    world: AuditedWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    """A forest brings joblib, which looks for semaphores where it may not."""
    scored(world, (wanted("melis-rf"),))
    apart.end()
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("_afresh")
def test_the_process_is_given_no_secrets_and_no_path(
    world: AuditedWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PRIVAUDIT_KEYSTORE_PASSWORD", "swordfish")
    monkeypatch.setenv("PRIVAUDIT_DATA", "/somewhere")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "swordfish")
    monkeypatch.chdir(tmp_path)
    scored(world, (wanted("honest"),))
    (process,) = apart._latest
    pid = process._process.pid
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"swordfish" not in environment
    assert b"PRIVAUDIT" not in environment
    assert str(tmp_path).encode() not in environment
    assert os.readlink(f"/proc/{pid}/cwd") != str(tmp_path)
    assert list(Path(f"/proc/{pid}/cwd/").iterdir()) == []
    assert str(world.trace.path).encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


ASKED = """
import os, signal, sys
from pathlib import Path
from privaudit.attack import apart, launching
process = apart._process(0)
Path(process._scratch.path, "left").write_text("by an attack")
print(process._scratch.path, process._process.pid, flush=True)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody is killed with its parent")
def test_the_folder_of_one_that_was_killed_goes_with_the_next_that_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def begun(how: str) -> tuple[subprocess.Popen[str], str, str]:
        asked = subprocess.Popen(
            [sys.executable, "-c", ASKED, how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"TMPDIR": str(tmp_path)},
        )
        assert asked.stdout is not None
        folder, process = asked.stdout.readline().split()
        return asked, folder, process

    # One after the other: each removes, as it begins, what killed ones left.
    lives, living, _ = begun("lives")
    ends, killed, process = begun("killed")
    assert ends.wait() == -signal.SIGKILL
    assert Path(killed, "left").is_file()
    scratch = Scratch()
    left = {str(path) for path in tmp_path.iterdir()}
    assert left == {living, scratch.path}
    scratch.remove()
    lives.communicate()
    assert list(tmp_path.iterdir()) == []
    assert (
        not Path("/proc", process).exists() or " Z " in Path("/proc", process, "stat").read_text()
    )


GOES_AT_ONCE = """
import os, signal
from privaudit.attack import apart, launching
apart._process(0)._scratch.remove()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody is killed with its parent")
def test_one_that_has_only_begun_goes_without_a_word() -> None:
    gone = subprocess.run([sys.executable, "-c", GOES_AT_ONCE], capture_output=True, check=False)
    assert gone.returncode == -signal.SIGKILL
    assert gone.stderr == b""


@pytest.mark.parametrize("kind", ["killed", "orphaned"])
def test_killed_from_outside_it_is_no_failure_of_the_attack(world: AuditedWorld, kind: str) -> None:
    """Lack of memory is the machine's: it would void a finished run's cell for good."""
    if kind == "orphaned" and not launching.FORKS:
        pytest.skip("its parent is this process")
    with pytest.raises(MachineError, match="killed from outside while attack 'boom' ran") as raised:
        scored(world, (wanted("boom", kind=kind, where="fit"), wanted("honest")))
    assert raised.value.fewer_workers
    (found,) = scored(world, (wanted("honest"),))
    assert_scores(found["honest"])


@pytest.mark.parametrize("kind", ["garbage", "null", "forged", "too few", "forks"])
def test_who_writes_between_the_answers_or_leaves_processes_behind_is_named(
    world: AuditedWorld, kind: str
) -> None:
    (found,) = scored(world, (wanted("boom", kind=kind), wanted("honest")))
    failure = found["boom"]
    assert isinstance(failure, Failure)
    assert failure.reason.startswith("attack 'boom' failed: ")
    assert_scores(found["honest"])


def test_where_nobody_listens_any_more_it_ends_without_a_word() -> None:
    """Whoever asked was interrupted: a traceback would stand before what the command says."""
    code = (
        "import os; from privaudit.attack.server import _answer; read, write = os.pipe(); "
        "os.close(read); _answer(os.fdopen(write, 'wb'), {'at': ''}); print('went on')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert ended.stdout == ended.stderr == b""


def test_a_trace_that_cannot_be_read_is_no_failure_of_an_attack(world: AuditedWorld) -> None:
    class Torn:
        def __iter__(self) -> Iterator[Observation]:
            yield next(iter(world.trace.view()))
            raise UserError("round 1 cannot be read")

    with pytest.raises(UserError, match="round 1 cannot be read"):
        score_apart([Hearing(world.adversary, (wanted("honest"),))], [Torn()])
