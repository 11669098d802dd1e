"""What a tap keeps is there whole or not at all, and what is sealed is what was seen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ledger_runs import run_command
from torch import Tensor

from privaudit.errors import UserError
from privaudit.observation.trace import Trace
from privaudit.taps.journal import Journal
from privaudit.taps.sealing import seal
from privaudit.taps.state import Shape, StrangeStateError

STATE = {
    "conv.weight": torch.zeros(2, 3),
    "bn.running_mean": torch.zeros(2),
    "bn.num_batches_tracked": torch.tensor(0),
    "out.bias": torch.zeros(4),
}


def state(number: int) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(number)
    return {name: torch.randn(tensor.shape, generator=rng) for name, tensor in STATE.items()}


def listened(
    path: Path, *, seen: range | list[int], sent: range | list[int], run: str = "7"
) -> Journal:
    """A journal of these sightings."""
    journal = Journal(path)
    shape = journal.begin(state(0), run=run, rules={"lr": 0.1})
    for number in seen:
        journal.keep("seen", number, shape.flat(state(number)))
    for number in sent:
        journal.keep("sent", number, shape.flat(state(-number)), examples=8)
    return journal


def test_parameters_are_told_from_statistics() -> None:
    shape = Shape.of(STATE)
    assert [name for name, _ in shape.parameters] == ["conv.weight", "out.bias"]
    assert [name for name, _ in shape.buffers] == ["bn.running_mean", "bn.num_batches_tracked"]
    assert [name for name, _ in Shape.of(STATE, ["out.bias"]).parameters] == ["out.bias"]


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ({"0": torch.zeros(2), "1": torch.zeros(3)}, "without names"),
        ({"n": torch.tensor(3)}, "there is no parameter"),
        ({}, "there is no parameter"),
    ],
)
def test_what_is_no_model_is_refused(sent: dict[str, Tensor], says: str) -> None:
    with pytest.raises(StrangeStateError, match=says):
        Shape.of(sent)


def test_layouts_that_change_and_other_runs_are_refused(tmp_path: Path) -> None:
    journal = listened(tmp_path / "j", seen=[0], sent=[])
    shape = journal.head().shape
    with pytest.raises(StrangeStateError, match="other tensors or shapes"):
        shape.flat(state(1) | {"out.bias": torch.zeros(5)})
    with pytest.raises(StrangeStateError, match="of run 7, this is run 8"):
        journal.begin(state(0), run="8")


def test_the_trace_is_what_was_seen_to_the_bit(tmp_path: Path) -> None:
    listened(tmp_path / "j", seen=range(5), sent=range(1, 5))
    found = seal(tmp_path / "j", tmp_path / "t", participants=4, total_examples=32)
    assert found.rounds == found.own == (1, 2, 3, 4)
    trace = Trace.open(tmp_path / "t")
    trace.check_digests()
    shape = Shape.of(STATE)
    for seen in trace:
        before, after = shape.flat(state(seen.round)), shape.flat(state(seen.round + 1))
        sent = shape.flat(state(-seen.round - 1))
        assert torch.equal(seen.before, before["parameters"])
        assert torch.equal(seen.after, after["parameters"])
        assert torch.equal(seen.global_delta, after["parameters"] - before["parameters"])
        assert torch.equal(seen.own_delta, sent["parameters"] - before["parameters"])
        assert seen.buffers is not None
        assert seen.own_buffers is not None
        assert torch.equal(seen.buffers, after["buffers"])
        assert torch.equal(seen.own_buffers, sent["buffers"])
        assert (seen.server_round, seen.own_weight) == (seen.round + 1, 0.25)
        assert seen.own_weight_known
    assert trace.manifest.stated == {"lr": 0.1, "participants": 4}


sightings = st.sets(st.integers(0, 9), min_size=1)


@given(seen=sightings, sent=st.sets(st.integers(1, 10)))
def test_gaps_are_left_out_and_said(
    tmp_path_factory: pytest.TempPathFactory, seen: set[int], sent: set[int]
) -> None:
    path = tmp_path_factory.mktemp("gaps")
    listened(path / "j", seen=sorted(seen), sent=sorted(sent))
    told = [number for number in sorted(seen) if number + 1 in seen]
    if not told:
        with pytest.raises(UserError, match="no round of which both ends were seen"):
            seal(path / "j", path / "t", participants=3)
        assert not (path / "t").exists()
        return
    found = seal(path / "j", path / "t", participants=3)
    assert found.rounds == tuple(number + 1 for number in told)
    assert set(found.own) | set(found.lost) == sent
    assert len(found.assumed) == 1 + bool(found.own)
    shape = Shape.of(STATE)
    for observation, number in zip(Trace.open(path / "t"), told, strict=True):
        assert observation.server_round == number + 1
        assert torch.equal(observation.before, shape.flat(state(number))["parameters"])
        took_part = number + 1 in sent
        assert observation.own_weight == (1 / 3 if took_part else 0)
        assert observation.own_weight_known != took_part


def test_a_weight_that_cannot_be_told_is_said_to_be_assumed(tmp_path: Path) -> None:
    """The total is stated, but the node never said how many examples it has."""
    journal = listened(tmp_path / "j", seen=range(3), sent=[])
    journal.keep("sent", 1, journal.head().shape.flat(state(-1)))
    found = seal(tmp_path / "j", tmp_path / "t", participants=4, total_examples=32)
    assert "1 / participants, in 1 rounds" in found.assumed[0]
    assert not next(iter(Trace.open(tmp_path / "t"))).own_weight_known


def test_messages_that_come_twice_and_at_once_change_nothing(tmp_path: Path) -> None:
    journal = listened(tmp_path / "j", seen=range(3), sent=[1])
    shape = journal.head().shape
    before = {file.name: file.read_bytes() for file in journal.path.iterdir()}

    def again(number: int) -> None:
        journal.begin(state(5), run="7")
        journal.keep("seen", number % 3, shape.flat(state(99)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(again, range(40)))
    assert {file.name: file.read_bytes() for file in journal.path.iterdir()} == before


def test_what_a_killed_process_left_does_no_harm(tmp_path: Path) -> None:
    journal = listened(tmp_path / "j", seen=range(3), sent=[])
    (journal.path / "seen-000003.safetensors.4711.partial").write_bytes(b"half")
    assert seal(tmp_path / "j", tmp_path / "t", participants=2).rounds == (1, 2)


def refused(tmp_path: Path, *more: str) -> None:
    """``privaudit seal`` ends with 2 and leaves nothing."""
    words = ["seal", str(tmp_path / "j"), str(tmp_path / "t"), *more]
    if "--participants" not in more:
        words += ["--participants", "3"]
    assert run_command(*words) == 2
    assert not (tmp_path / "t").exists(), "nothing half-written"
    assert not list(tmp_path.glob(".t.*"))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--participants", "1"), "--participants: must be at least 2"),
        (("--total-examples", "3"), "the node alone has 8 examples, all of them 3"),
        (("--total-examples", "32", "--own-weight", "0.1"), "give one of them"),
        (("--own-weight", "1.5"), "--own-weight: must be in (0, 1]"),
        (("--server-lr", "0"), "--server-lr: must be above 0"),
        (("--set", "lrr=1"), "unknown option 'lrr'"),
    ],
)
def test_what_cannot_be_sealed_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], says: str
) -> None:
    listened(tmp_path / "j", seen=range(3), sent=[1])
    refused(tmp_path, *more)
    [line] = capsys.readouterr().err.splitlines()
    assert says in line


def break_head(path: Path) -> None:
    (path / "journal.json").write_text("{")


def break_sighting(path: Path) -> None:
    (path / "seen-000001.safetensors").write_bytes(b"half")


def lose_head(path: Path) -> None:
    (path / "journal.json").unlink()
    Journal(path).note("vectors are masked by SecAgg+: put the tap after secaggplus_mod in mods")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (break_head, "not a journal"),
        (break_sighting, "seen-000001.safetensors: cannot be read"),
        (lose_head, "put the tap after secaggplus_mod"),
    ],
)
def test_a_damaged_journal_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], says: str
) -> None:
    listened(tmp_path / "j", seen=range(3), sent=[1])
    damage(tmp_path / "j")
    refused(tmp_path)
    [line] = capsys.readouterr().err.splitlines()
    assert says in line


def test_what_was_not_told_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = listened(tmp_path / "j", seen=[0, 1, 2, 5, 6], sent=[1, 4, 7])
    journal.note("something else")
    words = ["seal", str(tmp_path / "j"), str(tmp_path / "t"), "--participants", "3"]
    assert run_command(*words) == 0
    text = capsys.readouterr().out
    assert "3 rounds (1-2, 6 of the server); the node sent something in 1 of them" in text
    assert "Lost: 2 rounds in which it sent something (4, 7)" in text
    assert "Assumed: the node's weight in the average is 1 / participants" in text
    assert "Not kept by the tap: something else." in text
    words = ["seal", str(tmp_path / "j"), str(tmp_path / "u"), "--participants", "3", "--json"]
    assert run_command(*words) == 0
    assert json.loads(capsys.readouterr().out)["lost"] == [4, 7]


NODE = '''
import os, signal, sys
import torch
from test_journal import state
from privaudit.taps import journal as rooms

path, first, last, dies = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
whole = rooms.write_tensors

def half(file, tensors, metadata):
    """The machine takes the process in the middle of a file."""
    whole(file, tensors, metadata)
    if dies in file.name:
        os.truncate(file, file.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

rooms.write_tensors = half
node = rooms.Journal(path)
shape = node.begin(state(0), run="7", rules={"lr": 0.1})
for number in range(first, last + 1):
    node.keep("seen", number - 1, shape.flat(state(number - 1)))
    node.keep("sent", number, shape.flat(state(-number)), examples=8)
'''
"""A node that hears of the model when it trains, and dies while it keeps a sighting."""


def node(path: Path, first: int, last: int, *, dies: str) -> int:
    """The node as a process of its own, in rounds ``first`` to ``last``; how it ended."""
    words = [sys.executable, "-c", NODE, str(path), str(first), str(last), dies]
    places = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(words, env=os.environ | {"PYTHONPATH": places}, check=False)
    return done.returncode


@pytest.mark.parametrize("dies", ["sent-000004", "seen-000003"])
def test_a_node_that_is_killed_in_mid_run_leaves_a_journal_that_is_sealed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dies: str
) -> None:
    """It never comes back; or it does, two rounds later."""
    assert node(tmp_path / "j", 1, 8, dies=dies) == -signal.SIGKILL
    assert list((tmp_path / "j").glob(f"{dies}*partial"))
    assert run_command("seal", str(tmp_path / "j"), str(tmp_path / "t"), "--participants", "3") == 0
    # Of the round after which it died, both ends are there where it heard of the second one.
    whole = (1, 2, 3) if dies.startswith("sent") else (1, 2)
    trace = Trace.open(tmp_path / "t")
    assert trace.whole
    assert [seen.server_round for seen in trace] == list(whole)
    assert node(tmp_path / "j", 6, 9, dies="never") == 0
    capsys.readouterr()
    assert run_command("seal", str(tmp_path / "j"), str(tmp_path / "u"), "--participants", "3") == 0
    text = capsys.readouterr().out
    again = list(Trace.open(tmp_path / "u"))
    assert [seen.server_round for seen in again if seen.own_weight > 0] == [*whole, 6, 7, 8]
    assert "Lost" in text
    for seen in again:
        assert seen.span == 1, "what others did while it was away is in no round"
