"""Membership of candidates in a trace that somebody else's trainer wrote."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from ledger_runs import run_command
from membership_world import MEMBERS, WORDS, Kind, MembershipWorld, play

import privaudit
from privaudit.engine.engine import Samples
from privaudit.observation.trace import Trace, TraceWriter

MODELS: dict[Kind, list[str]] = {
    "table": ["--model", "mlp", "--option", "features=100", "--option", "hidden=[32]"],
    "text": [
        *("--model", "text-cnn", "--option", f"vocabulary_size={WORDS}"),
        *("--option", "embedding=8", "--option", "filters=24"),
    ],
}
Arrays = dict[str, np.ndarray]
Printed = pytest.CaptureFixture[str]


def arrays_of(samples: Samples) -> Arrays:
    return {"inputs": samples.inputs.numpy(), "labels": samples.labels.numpy()}


class Place:
    """A world on disk, as a user of ``privaudit attack`` has it."""

    def __init__(self, folder: Path, kind: Kind, *, server: bool = False) -> None:
        self.folder, self.kind = folder, kind
        self.world: MembershipWorld = play(folder / "trace", kind=kind, seed=1, server=server)
        self.mine = arrays_of(self.world.given.own)
        self.asked = arrays_of(self.world.given.samples)
        self.asked["member"] = self.world.trained
        trained = self.world.given.trained
        np.savez(folder / "mine.npz", **self.mine, trained=trained)  # type: ignore[arg-type]
        np.savez(folder / "asked.npz", **self.asked)  # type: ignore[arg-type]

    def arguments(self, *more: str, asked: str = "asked.npz", game: str = "membership") -> list:
        given = ["--auxiliary", str(self.folder / "mine.npz"), *MODELS[self.kind], "--game", game]
        files = [str(self.folder / "trace"), *given]
        return [*files, "--candidates", str(self.folder / asked), *more]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Kind, Place]:
    return {k: Place(tmp_path_factory.mktemp(k), k) for k in ("table", "text")}


def said(capsys: Printed, *arguments: str) -> str:
    code = run_command("attack", *arguments)
    printed = capsys.readouterr()
    assert (code, printed.err) == (0, "")
    return printed.out


def refused(capsys: Printed, *arguments: str) -> str:
    code = run_command("attack", *arguments)
    printed = capsys.readouterr()
    assert (code, printed.out) == (2, ""), printed
    assert len(printed.err.splitlines()) == 1
    return printed.err


@pytest.mark.parametrize("kind", ["table", "text"])
def test_who_was_trained_on_is_told_and_judged(
    kind: Kind, places: Mapping[Kind, Place], capsys: Printed
) -> None:
    place = places[kind]
    document = json.loads(said(capsys, *place.arguments("--json")))
    assert (document["game"], document["candidates"]) == ("membership", 2 * MEMBERS)
    [row], [judged] = document["scores"], document["judged"]
    assert row["attack"] == judged["attack"] == "membership-stack"
    scores, trained = np.array(row["scores"]), place.world.trained
    again = privaudit.evaluate(scores[trained], scores[~trained])
    assert judged["metrics"]["auc"]["value"] == again.auc.value > 0.7
    assert judged["metrics"]["tpr_at_1_fpr"] is None, f"of {MEMBERS} non-members nobody can say"
    assert (judged["members"], judged["others"]) == (MEMBERS, MEMBERS)
    assert document["stated_by"]["lr"] == "trace"
    assert not {"persistent", "others", "property_share"} & set(document["rules"])


def test_the_forms_agree_and_the_truth_is_not_needed(
    places: Mapping[Kind, Place], capsys: Printed
) -> None:
    place = places["text"]
    both = ["--attack", "embedding-rows", "--attack", "loss-trajectory"]
    text = said(capsys, *place.arguments(*both))
    assert "embedding-rows, 32 members and 32 others: AUC" in text
    assert "TPR at 1 % FPR not estimable" in text
    rows = list(csv.DictReader(said(capsys, *place.arguments(*both, "--csv")).splitlines()))
    assert [int(row["member"]) for row in rows[: 2 * MEMBERS]] == list(place.world.trained)
    blind = {name: place.asked[name] for name in ("inputs", "labels")}
    np.savez(place.folder / "blind.npz", **blind)  # type: ignore[arg-type]
    document = json.loads(said(capsys, *place.arguments(*both, "--json", asked="blind.npz")))
    assert document["judged"] == []
    found = [score for part in document["scores"] for score in part["scores"]]
    assert found == [float(row["score"]) for row in rows]


def test_a_server_is_told_whose_they_are(tmp_path: Path, capsys: Printed) -> None:
    place = Place(tmp_path, "table", server=True)
    text = said(capsys, *place.arguments("--attack", "fedmia"))
    assert "Higher = the target more likely trained on it" in text


def test_rows_that_are_not_shared_are_said_to_say_nothing(tmp_path: Path, capsys: Printed) -> None:
    """Where the embedding is no part of what is shared, words cannot be told."""
    place = Place(tmp_path, "text")
    trace = place.world.trace
    piece = next(p for p in trace.layout.slices if p.name == "embedding.weight")
    start = next(iter(trace)).before
    with TraceWriter(tmp_path / "part", start, trace.layout, rules=trace.manifest.rules) as writer:
        for seen in Trace.open(trace.path):
            deltas = [seen.global_delta.clone(), seen.own_delta.clone()]
            for delta in deltas:
                delta[piece.start : piece.stop] = 0
            writer.append(*deltas, own_weight=seen.own_weight, participants=seen.participants)
    arguments = place.arguments("--attack", "embedding-rows")
    arguments[0] = str(tmp_path / "part")
    assert "gives every candidate the same score: it found nothing" in said(capsys, *arguments)


Change = Callable[[Place], Arrays]


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("table", lambda p: {"inputs": p.asked["inputs"][:, :9]}, "a candidate is table of shape"),
        (
            "table",
            lambda p: {"inputs": np.ones((64, 9, 9)) / 2},
            "an auxiliary record table of shape",
        ),
        ("table", lambda p: {"labels": p.asked["labels"] + 7}, "cannot be asked about the cand"),
        ("table", lambda p: {"labels": p.asked["labels"][:3]}, "'labels' has shape [3]"),
        ("table", lambda p: {"member": p.asked["member"] * 0}, "one value only"),
        ("table", lambda p: {"member": p.asked["member"] * 2}, "not binary"),
        (
            "table",
            lambda p: {n: np.concatenate([p.mine[n][5:7], p.asked[n][2:]]) for n in p.mine},
            "2 of 64 candidates are among the adversary's own records (candidate 1 is auxiliary "
            "record 6)",
        ),
        (
            "table",
            lambda p: {n: values[:1] for n, values in p.asked.items()} | {"member": None},
            "nothing to compare it with",
        ),
        ("text", lambda p: {"inputs": p.asked["inputs"] + WORDS}, f"vocabulary has {WORDS}"),
        (
            "text",
            lambda p: {"inputs": p.asked["inputs"][:, :5]},
            "a candidate is text of shape [5]",
        ),
    ],
)
def test_candidates_that_cannot_be_asked_about(
    kind: Kind, change: Change, message: str, places: Mapping[Kind, Place], capsys: Printed
) -> None:
    place = places[kind]
    arrays = {n: v for n, v in (place.asked | change(place)).items() if v is not None}
    np.savez(place.folder / "bad.npz", **arrays)  # type: ignore[arg-type]
    assert message in refused(capsys, *place.arguments(asked="bad.npz"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--attack", "linear"], "'linear' answers the question of the game 'property'"),
        (["--attack", "fedmia"], "needs the server view"),
        (["--attack", "embedding-rows"], "the model has no embedding of token ids"),
        (["--attack", "loss-trajectori"], "did you mean 'loss-trajectory'"),
        (["--property", "smoker"], "is asked about in the game property only"),
        (["--set", "shared_fraction=0.5"], "shares everything"),
        (["--attack-option", "membership-stack.simulations=-1"], "option 'simulations' = -1: "),
    ],
)
def test_what_cannot_be_asked(
    more: list[str], message: str, places: Mapping[Kind, Place], capsys: Printed
) -> None:
    assert message in refused(capsys, *places["table"].arguments(*more))


def test_games_and_what_they_need(places: Mapping[Kind, Place], capsys: Printed) -> None:
    place = places["table"]
    unknown = refused(capsys, *place.arguments(game="membershp"))
    assert "unknown game 'membershp'; did you mean 'membership'? known: membership, pr" in unknown
    assert "asked about in the game membership only" in refused(
        capsys, *place.arguments(game="property")
    )
    without = place.arguments()[: -len(["--candidates", "FILE"])]
    assert "give --candidates FILE" in refused(capsys, *without)
    missing = place.arguments(asked="none.npz")
    assert "none.npz" in refused(capsys, *missing)
