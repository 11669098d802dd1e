"""Every forgery is named, or only a head kept elsewhere tells, and then the verdict says so."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from anvil_node import Node
from table import FORGERIES, RECORDS, E, Forgery, N, Stage, edit_lines, larger_pools

from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import noted_head
from privaudit.errors import UserError
from privaudit.ledger.place import Place
from privaudit.verify.run import verify_run
from privaudit.verify.verdict import Verdict, conclusion, verdict_text

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "ledger.md"


@pytest.fixture
def stage(
    request: pytest.FixtureRequest, forgery: Forgery, tmp_path: Path, other: Path
) -> Iterator[Stage]:
    """A copy to work on; what is done to a node is undone."""
    name = {E: "embedded", N: "on_node"}.get(forgery.run, "without")
    made: Path = request.getfixturevalue(name)
    folder = RunFolder(Path(shutil.copytree(made, tmp_path / "run")))
    if forgery.run != N:
        yield Stage(folder, other)
        return
    node: Node = request.getfixturevalue("node")
    place: Place = request.getfixturevalue("place")
    before = node.rpc("evm_snapshot")
    yield Stage(folder, other, node.url, place.accounts())
    assert node.rpc("evm_revert", before)


def failed(verdict: Verdict) -> set[str]:
    return {check.name for check in verdict.checks if check.problems}


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.name)
def test_a_forgery_is_named(forgery: Forgery, stage: Stage) -> None:
    head = noted_head(stage.folder)
    for step in forgery.steps:
        step(stage)
    verdict = verify_run(stage.folder.path, rpc=stage.rpc)
    text = verdict_text(verdict)
    assert failed(verdict) == set(forgery.named_by), text
    assert forgery.said in " ".join(text.split()), text
    if not forgery.named_by:
        assert "proven" in conclusion(verdict)
    if head and (not forgery.named_by or noted_head(stage.folder) not in (head, "ab" * 32)):
        with_head = verify_run(stage.folder.path, rpc=stage.rpc, head=head)
        assert failed(with_head) == {*forgery.named_by, "head"}, verdict_text(with_head)


@pytest.mark.parametrize("kind", ["embedded", "without", "on_node"])
def test_an_honest_run_is_verified(kind: str, request: pytest.FixtureRequest) -> None:
    made: Path = request.getfixturevalue(kind)
    rpc = request.getfixturevalue("node").url if kind == "on_node" else None
    head = noted_head(RunFolder(made)) or None
    for noted in {None, head}:
        verdict = verify_run(made, rpc=rpc, head=noted)
        assert verdict.holds, verdict_text(verdict)
        if head:
            assert "no link follows" in verdict_text(verdict)


def test_without_the_data_records_are_held_against_the_sheet(
    without: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise UserError("no such file")

    monkeypatch.setattr("privaudit.verify.files.load_world", missing)
    honest = verify_run(without)
    assert honest.holds, verdict_text(honest)
    assert "The data are not at hand (no such file)" in " ".join(verdict_text(honest).split())
    folder = RunFolder(Path(shutil.copytree(without, tmp_path / "run")))
    edit_lines(RECORDS, larger_pools)(Stage(folder, without))
    assert "data" in failed(verify_run(folder.path))


def test_a_head_means_nothing_without_a_ledger(without: Path) -> None:
    verdict = verify_run(without, head="ab" * 32)
    assert failed(verdict) == {"head"}


def test_what_other_code_made_is_not_said_to_follow() -> None:
    """Whoever forges a version has no number computed again."""
    said = conclusion(Verdict((), "none", {}, same_code=False))
    assert "other code made them" in said
    assert "records follow" not in said
    assert "records follow" in conclusion(Verdict((), "none", {}))


def test_the_document_lists_every_forgery() -> None:
    rows = [
        f"| {f.name} | {f.run} | {f.done} | {', '.join(f.named_by) or 'only --head'} |"
        for f in FORGERIES
    ]
    assert "\n".join(rows) in DOCUMENT.read_text(encoding="utf-8")
