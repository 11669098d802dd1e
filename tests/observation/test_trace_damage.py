"""A trace that was cut off is readable up to its last whole round; anything else is a UserError."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from privaudit.engine.layout import Layout
from privaudit.errors import UserError
from privaudit.observation.trace import Trace, TraceWriter

LAYOUT = Layout.of([("w", (2, 3)), ("b", (2,))])
ROUNDS = 4
LAST = f"round-{ROUNDS - 1:06d}.safetensors"


def write(path: Path, *, seal: bool = True) -> Path:
    writer = TraceWriter(path, torch.zeros(8), LAYOUT)
    for number in range(ROUNDS):
        delta = torch.full((8,), number + 1.0)
        writer.append(delta, delta / 2, own_weight=0.5, participants=2)
    if seal:
        writer.close()
    return path


def read(path: Path) -> int:
    return sum(1 for _ in Trace.open(path))


def truncate(file: Path, keep: float) -> None:
    file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])


def test_a_closed_trace_names_rounds_and_digests(tmp_path: Path) -> None:
    path = write(tmp_path / "t")
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["rounds"] == ROUNDS
    files = {file.name for file in path.iterdir()} - {"manifest.json"}
    assert set(manifest["sha256"]) == files
    assert len(files) == ROUNDS + 1, "nothing is left lying around"
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((path / name).read_bytes()).hexdigest() == digest
    assert Trace.open(path).whole


def test_without_a_seal_every_whole_round_is_readable(tmp_path: Path) -> None:
    path = write(tmp_path / "t", seal=False)
    trace = Trace.open(path)
    assert not trace.whole
    assert len(trace) == len(list(trace)) == ROUNDS


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.99])
def test_a_torn_last_round_is_left_out(tmp_path: Path, keep: float) -> None:
    path = write(tmp_path / "t", seal=False)
    truncate(path / LAST, keep)
    trace = Trace.open(path)
    assert len(trace) == len(list(trace)) == ROUNDS - 1


def test_what_was_not_yet_renamed_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "t", seal=False)
    (path / LAST).rename(path / f"{LAST}.partial")
    assert read(path) == ROUNDS - 1


def write_and_fail(path: Path) -> None:
    with TraceWriter(path, torch.zeros(8), LAYOUT) as writer:
        writer.append(torch.ones(8), torch.ones(8), own_weight=0.5, participants=2)
        raise RuntimeError("out of power")


def test_a_writer_that_fails_leaves_a_readable_trace(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="out of power"):
        write_and_fail(tmp_path / "t")
    assert read(tmp_path / "t") == 1
    assert not Trace.open(tmp_path / "t").whole


def test_a_sealed_trace_with_a_missing_round_is_refused(tmp_path: Path) -> None:
    for number in range(ROUNDS):
        path = write(tmp_path / f"t{number}")
        (path / f"round-{number:06d}.safetensors").unlink()
        with pytest.raises(UserError, match=f"has {number} rounds, its manifest says {ROUNDS}"):
            Trace.open(path)


@pytest.mark.parametrize("name", ["initial.safetensors", "round-000001.safetensors", LAST])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.98])
def test_a_sealed_trace_with_a_truncated_file_is_refused(
    tmp_path: Path, name: str, keep: float
) -> None:
    path = write(tmp_path / "t")
    truncate(path / name, keep)
    with pytest.raises(UserError, match=f"{name}: cannot be read"):
        read(path)


def test_no_trace_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.json: no trace"):
        Trace.open(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="no trace"):
        Trace.open(tmp_path / "file")


def test_a_trace_without_rounds_is_refused(tmp_path: Path) -> None:
    TraceWriter(tmp_path / "t", torch.zeros(8), LAYOUT).close()
    with pytest.raises(UserError, match="no whole round"):
        Trace.open(tmp_path / "t")


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t")
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    with pytest.raises(UserError, match="is not empty"):
        TraceWriter(path, torch.zeros(8), LAYOUT)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def edit(path: Path, change: Callable[[dict], object]) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    change(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(format="something-else"),
        lambda m: m.update(version=3),
        lambda m: m.update(view="omniscient"),
        lambda m: m.pop("layout"),
        lambda m: m.update(layout="w"),
        lambda m: m.update(layout=[{"name": "w"}]),
        lambda m: m.update(layout=[{"name": "w", "shape": "8"}]),
        lambda m: m.update(layout=[{"name": "w", "shape": [-8]}]),
        lambda m: m.update(layout=[{"name": "w", "shape": ["a"]}]),
        lambda m: m.update(layout=[{"name": "w", "shape": None}]),
        lambda m: m.update(rounds="many"),
        lambda m: m.update(colour="red"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(
    tmp_path: Path, change: Callable[[dict], object]
) -> None:
    path = write(tmp_path / "t")
    edit(path, change)
    with pytest.raises(UserError, match=r"manifest\.json: not a trace manifest"):
        Trace.open(path)


def test_a_layout_of_another_size_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t")
    edit(path, lambda m: m.update(layout=[{"name": "w", "shape": [9]}]))
    with pytest.raises(UserError, match=r"initial\.safetensors: 'parameters' is missing or not"):
        read(path)


GOOD: dict[str, object] = {"own_weight": 0.5, "participants": 2, "client_weights": {}}
DELTAS = {"global_delta": torch.ones(8), "own_delta": torch.ones(8)}


@pytest.mark.parametrize(
    ("tensors", "facts"),
    [
        ({"global_delta": torch.ones(8)}, GOOD),
        (DELTAS | {"own_delta": torch.ones(7)}, GOOD),
        (DELTAS | {"own_delta": torch.ones(2, 4)}, GOOD),
        (DELTAS | {"client.x": torch.ones(8)}, GOOD),
        (DELTAS | {"client.1": torch.ones(1)}, GOOD),
        (DELTAS | {"client.1/indices": torch.ones(1, dtype=torch.int32)}, GOOD),
        (
            {
                "global_delta": torch.ones(8),
                "own_delta/indices": torch.tensor([8], dtype=torch.int32),
                "own_delta/values": torch.ones(1),
            },
            GOOD,
        ),
        (DELTAS, {}),
        (DELTAS, GOOD | {"own_weight": "heavy"}),
        (DELTAS, GOOD | {"own_weight": float("nan")}),
        (DELTAS, GOOD | {"own_weight": -0.5}),
        (DELTAS, GOOD | {"participants": "two"}),
        (DELTAS, GOOD | {"participants": 0}),
        (DELTAS, GOOD | {"client_weights": [1]}),
        (DELTAS, GOOD | {"client_weights": {"1": None}}),
    ],
)
def test_a_round_that_makes_no_sense_is_refused(
    tmp_path: Path, tensors: dict[str, torch.Tensor], facts: dict[str, object]
) -> None:
    path = write(tmp_path / "t")
    metadata = {"round": json.dumps(facts)}
    save_file(tensors, path / "round-000001.safetensors", metadata=metadata)
    with pytest.raises(UserError, match=r"round-000001\.safetensors: round 1 cannot be read"):
        read(path)


@pytest.mark.parametrize("metadata", [None, {"other": "{}"}, {"round": "{"}, {"round": "[]"}])
def test_a_round_without_its_facts_is_refused(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    path = write(tmp_path / "t")
    save_file(DELTAS, path / "round-000001.safetensors", metadata=metadata)
    with pytest.raises(UserError, match=r"round-000001\.safetensors: round 1 cannot be read"):
        read(path)


def test_the_same_rounds_give_the_same_bytes(tmp_path: Path) -> None:
    contents = [
        {file.name: file.read_bytes() for file in write(tmp_path / str(i)).iterdir()}
        for i in range(5)
    ]
    assert all(other == contents[0] for other in contents[1:])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("fuzz") / "t")


@settings(max_examples=60)
@given(
    name=st.sampled_from(["manifest.json", "initial.safetensors", "round-000001.safetensors"]),
    position=st.floats(0, 1, exclude_max=True),
    noise=st.binary(min_size=0, max_size=12),
    cut=st.booleans(),
)
def test_any_damage_is_read_or_refused(
    whole: Path, name: str, position: float, noise: bytes, cut: bool
) -> None:
    """Whatever bytes are overwritten or lost: a trace, or a UserError, never anything else."""
    file = whole / name
    original = file.read_bytes()
    at = int(position * len(original))
    rest = b"" if cut else original[at + len(noise) :]
    file.write_bytes(original[:at] + noise + rest)
    try:
        read(whole)
    except UserError as error:
        assert "\n" not in str(error)  # either outcome is right
    finally:
        file.write_bytes(original)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["sha256"].pop("initial.safetensors"), "does not name the files"),
        (lambda m: m["sha256"].update({"../secret": "0"}), "does not name the files"),
        (lambda m: m.update(sha256={}), "does not name the files"),
        (lambda m: m.update(rounds=-1), "greater than or equal to 0"),
        (lambda m: m.update(rounds=10**9), "less than or equal to"),
        (lambda m: m.update(target=1), "target"),
        (lambda m: m.update(view="server"), "target"),
        (lambda m: m.update(layout=[]), "no parameters"),
        (lambda m: m.update(layout=[{"name": "w", "shape": [4]}] * 2), "names a tensor twice"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    tmp_path: Path, change: Callable[[dict], object], message: str
) -> None:
    path = write(tmp_path / "t")
    edit(path, change)
    with pytest.raises(UserError, match=message):
        Trace.open(path)


def test_parameters_before_the_first_round_are_checked_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "t", seal=False)
    save_file({"parameters": torch.zeros(8, dtype=torch.float64)}, path / "initial.safetensors")
    with pytest.raises(UserError, match=r"initial\.safetensors: 'parameters' is torch\.float64"):
        Trace.open(path)


def test_digests_tell_a_changed_file(tmp_path: Path) -> None:
    path = write(tmp_path / "t")
    Trace.open(path).check_digests()
    save_file(DELTAS, path / LAST, metadata={"round": json.dumps(GOOD)})
    with pytest.raises(UserError, match=f"{LAST}: is not what was written"):
        Trace.open(path).check_digests()
    (path / LAST).unlink()
    (path / LAST).mkdir()
    with pytest.raises(UserError, match="has 3 rounds, its manifest says 4"):
        Trace.open(path)


SPARSE = {"global_delta": torch.ones(8)}


@pytest.mark.parametrize(
    ("indices", "values"),
    [
        (torch.tensor([-1], dtype=torch.int32), torch.ones(1)),
        (torch.tensor([1], dtype=torch.int32), torch.ones(2)),
        (torch.tensor([[1]], dtype=torch.int32), torch.ones(1, 1)),
        (torch.tensor([1.0]), torch.ones(1)),
        (torch.tensor([1], dtype=torch.int32), torch.ones(1, dtype=torch.int64)),
    ],
)
def test_sparse_vectors_that_make_no_sense_are_refused(
    tmp_path: Path, indices: torch.Tensor, values: torch.Tensor
) -> None:
    path = write(tmp_path / "t")
    tensors = SPARSE | {"own_delta/indices": indices, "own_delta/values": values}
    save_file(tensors, path / LAST, metadata={"round": json.dumps(GOOD)})
    with pytest.raises(UserError, match="'own_delta"):
        read(path)
