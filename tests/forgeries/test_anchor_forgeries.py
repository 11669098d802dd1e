"""An anchored run cannot be made again unseen: what forgers do about the anchor, and who tells."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from anvil_node import Node
from eth_utils.address import to_checksum_address
from ledger_runs import run_command
from stub_node import Answer, Request, error, forward, serving
from table import Stage, judge_again, ledger_again, perfect_scores

from privaudit.chain.accounts import Accounts, address, sign
from privaudit.chain.anchors import (
    SIGNER,
    Anchor,
    Content,
    find_anchors,
    program,
    put_anchor,
    read_anchor,
)
from privaudit.chain.chain import Call
from privaudit.chain.opening import open_ledger
from privaudit.chain.rpc import RpcChain
from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import ANCHOR, noted_head, read_seal, write_seal
from privaudit.errors import UserError
from privaudit.ledger.anchor_note import AnchorNote, read_note
from privaudit.ledger.anchoring import anchor_run
from privaudit.ledger.entries import plan_hash
from privaudit.ledger.place import Place
from privaudit.verify.run import verify_run
from privaudit.verify.verdict import Verdict, conclusion, verdict_text

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "ledger.md"


@dataclass
class Scene:
    """An anchored run, a node, and what a forger has: the keystore, and another account."""

    folder: RunFolder
    remade: Path
    place: Place
    node: Node
    accounts: Accounts
    friend: Accounts
    scratch: Path
    transaction: str = ""
    sent: list[Anchor] = field(default_factory=list)

    @property
    def chain(self) -> RpcChain:
        return RpcChain(self.node.url)

    def anchor_by_hand(
        self, accounts: Accounts, *, plan: bytes | None = None, head: str | None = None
    ) -> None:
        """Whatever the forger wants, past all that ``privaudit anchor`` refuses; and its note."""
        head = head or noted_head(self.folder)
        content = Content("embedded", plan or plan_hash(self.folder), bytes.fromhex(head))
        chain, journal = self.chain, self.scratch / f"journal-{len(self.sent)}"
        self.sent.append(put_anchor(journal, chain, accounts, content))
        self.folder.write_json(ANCHOR, AnchorNote.of(chain, self.sent[-1]).model_dump())

    def verify(self, **more: Any) -> Verdict:
        return verify_run(self.folder.path, anchor_rpc=self.node.url, **more)


class OneKey:
    """Accounts that are all the same."""

    def __init__(self, accounts: Accounts, name: str) -> None:
        self._key = accounts.key(name)

    def key(self, name: str) -> Any:
        return self._key


@pytest.fixture(scope="module")
def remade(embedded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run with every score the truth, and everything that follows made again."""
    out = tmp_path_factory.mktemp("remade") / "run"
    stage = Stage(RunFolder(Path(shutil.copytree(embedded, out))), out)
    for step in (perfect_scores, judge_again, ledger_again):
        step(stage)
    return out


@pytest.fixture
def scene(
    embedded: Path, remade: Path, node: Node, place: Place, tmp_path: Path
) -> Iterator[Scene]:
    """An honest run, anchored; what is done to the node is undone."""
    folder = RunFolder(Path(shutil.copytree(embedded, tmp_path / "run")))
    before = node.rpc("evm_snapshot")
    accounts = place.accounts()
    assert accounts is not None
    friend = OneKey(accounts, "coordinator")
    made = Scene(folder, remade, place, node, accounts, friend, tmp_path)
    made.transaction = anchor_run(folder, place)["transaction"]
    yield made
    assert node.rpc("evm_revert", before)


def failed(verdict: Verdict) -> set[str]:
    return {check.name for check in verdict.checks if check.problems}


def text_of(verdict: Verdict) -> str:
    return " ".join(verdict_text(verdict).split())


# --------------------------------------------------------------------- what a forger does


def replace_run(scene: Scene) -> None:
    """The remade run takes the place of the honest one; the note of the anchor stays."""
    note = scene.folder.file(ANCHOR).read_text()
    shutil.rmtree(scene.folder.path)
    shutil.copytree(scene.remade, scene.folder.path)
    scene.folder.write_text(ANCHOR, note)


def without_note(scene: Scene) -> None:
    replace_run(scene)
    scene.folder.file(ANCHOR).unlink()


def anchor_again(scene: Scene) -> None:
    replace_run(scene)
    scene.anchor_by_hand(scene.accounts)


def anchor_with_a_friend(scene: Scene) -> None:
    replace_run(scene)
    scene.anchor_by_hand(scene.friend)


def anchor_of_another_run(scene: Scene) -> None:
    replace_run(scene)
    scene.anchor_by_hand(scene.accounts, plan=b"\x07" * 32)


def earlier_time(scene: Scene) -> None:
    note = scene.folder.read_json(ANCHOR)
    scene.folder.write_json(ANCHOR, note | {"block_time": note["block_time"] - 86_400})


def other_transaction(scene: Scene) -> None:
    note = scene.folder.read_json(ANCHOR)
    scene.folder.write_json(ANCHOR, note | {"transaction": "0x" + "ab" * 32})


def supersede(scene: Scene) -> None:
    """After the anchor an entry of the ledger takes the place of another."""
    folder = scene.folder
    with open_ledger(folder.file("ledger"), seed=folder.scenario().seed) as ledger:
        ledger.supersede_audit(0, 1)
        root = ledger.chain.state_root()
        assert root is not None
        facts = {"audit_head": ledger.audit_head().hex(), "state_root": root.hex()}
    write_seal(folder, read_seal(folder)[1] | facts)


@dataclass(frozen=True)
class Forgery:
    """One forgery; ``named_by`` is empty where only an anchor noted elsewhere can tell."""

    name: str
    done: str
    named_by: tuple[str, ...]
    said: str
    step: Callable[[Scene], None]


A = ("anchor",)
FORGERIES = [
    Forgery(
        "made again after the anchor",
        "every score the truth, everything made again; the note of the anchor stays",
        A,
        "this ledger never had it: the run was made again since, or is another one",
        replace_run,
    ),
    Forgery(
        "note removed",
        "the same, and the note of the anchor is gone; it is found on the chain",
        A,
        "this ledger never had it: the run was made again since",
        without_note,
    ),
    Forgery(
        "anchored again",
        "the same, and the new head anchored by the same account",
        A,
        "the run was made again since, and anchored again",
        anchor_again,
    ),
    Forgery(
        "anchored by a friend",
        "the same, by another account; `verify` says that there are two",
        (),
        "Under this plan other accounts anchored, too: 1 head, the first by",
        anchor_with_a_friend,
    ),
    Forgery(
        "anchor of another run",
        "the same, and the note names what the account anchored under another plan",
        A,
        "is the anchor of another run: it is under plan 0707",
        anchor_of_another_run,
    ),
    Forgery(
        "note edited",
        "the note of the anchor says it was a day earlier",
        A,
        "anchor.json: block_time is",
        earlier_time,
    ),
    Forgery(
        "note invented",
        "the note names a transaction that there is not",
        A,
        "there is no transaction 0xabab",
        other_transaction,
    ),
    Forgery(
        "superseded after the anchor",
        "an entry of the ledger is superseded, sealed again",
        ("results", "anchor"),
        "Since the anchor entries were added to the ledger.",
        supersede,
    ),
]


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.name)
def test_a_forgery_around_an_anchor_is_named(forgery: Forgery, scene: Scene) -> None:
    forgery.step(scene)
    verdict = scene.verify()
    assert failed(verdict) == set(forgery.named_by), verdict_text(verdict)
    assert forgery.said in text_of(verdict), verdict_text(verdict)
    assert "this run was the first" not in text_of(verdict)
    if not forgery.named_by:
        assert "before this one" in text_of(verdict)
        noted = scene.verify(anchor_tx=scene.transaction)
        assert "anchor" in failed(noted), verdict_text(noted)


def test_the_document_lists_every_forgery_around_an_anchor() -> None:
    rows = [
        f"| {f.name} | {f.done} | {', '.join(f.named_by) or 'only --anchor-tx'} |"
        for f in FORGERIES
    ]
    assert "\n".join(rows) in DOCUMENT.read_text(encoding="utf-8")


# --------------------------------------------------------------------- honest runs


def test_an_anchored_run_is_verified_by_whom_and_when(scene: Scene) -> None:
    note = read_note(scene.folder)
    assert note is not None
    for more in ({}, {"anchor_tx": scene.transaction}):
        verdict = scene.verify(**more)
        assert verdict.holds, verdict_text(verdict)
        assert verdict.anchor is not None
        assert verdict.anchor["sender"] == address(scene.accounts, SIGNER) == note.sender
        assert verdict.anchor["block_time"] == note.block_time
        assert verdict.anchor["head"] == noted_head(scene.folder)
        said = text_of(verdict)
        assert f"account {note.sender} put the head {noted_head(scene.folder)}" in said
        assert "it is the first head this account anchored" in said
        assert "no entry was added" in said
    scene.folder.file(ANCHOR).unlink()  # whoever knows the plan finds it
    again = anchor_run(scene.folder, scene.place)
    assert not again["sent"]
    assert read_note(scene.folder) == note
    plain = verify_run(scene.folder.path)
    assert plain.holds
    assert f"anchor.json says that account {note.sender} anchored this run" in text_of(plain)


def test_an_honest_run_is_told_of_later_ones(scene: Scene) -> None:
    note = scene.folder.file(ANCHOR).read_text()
    scene.anchor_by_hand(scene.accounts, head="ab" * 32)
    scene.folder.write_text(ANCHOR, note)
    scene.anchor_by_hand(scene.accounts, plan=b"\x08" * 32)
    scene.folder.write_text(ANCHOR, note)
    verdict = scene.verify()
    assert verdict.holds, verdict_text(verdict)
    assert "anchored 1 other head under this plan later" in text_of(verdict)
    assert "anchored runs under 1 other plan on this chain, too" in text_of(verdict)


def test_the_same_account_anchors_no_second_run_under_a_plan(scene: Scene) -> None:
    replace_run(scene)
    scene.folder.file(ANCHOR).unlink()
    with pytest.raises(UserError, match="has anchored another run under this plan, head"):
        anchor_run(scene.folder, scene.place)
    assert not scene.folder.file(ANCHOR).exists()


def test_a_contract_that_logs_the_same_is_not_believed(
    embedded: Path, node: Node, place: Place, tmp_path: Path
) -> None:
    """Who can have the account call a contract could else say that it anchored something."""
    folder = RunFolder(Path(shutil.copytree(embedded, tmp_path / "run")))
    accounts, chain = place.accounts(), RpcChain(node.url)
    assert accounts is not None
    before, me = node.rpc("evm_snapshot"), address(accounts, SIGNER)
    code = program(Content("embedded", plan_hash(folder), b"\xab" * 32))
    trap = to_checksum_address("0x" + "cd" * 20)
    node.rpc("anvil_setCode", trap, "0x" + code.hex())
    call = Call(sender=me, to=trap, data=b"", gas=100_000)
    nonce = chain.nonce(me)
    signed = sign(accounts.key(SIGNER), chain.chain_id, call, nonce, chain.fees())
    assert chain.send(signed.raw) is None
    node.rpc("evm_mine")
    with pytest.raises(UserError, match="is no anchor of a run"):
        read_anchor(chain, signed.hash)
    assert anchor_run(folder, place)["sent"]
    verdict = verify_run(folder.path, anchor_rpc=node.url)
    assert verdict.holds, verdict_text(verdict)
    assert node.rpc("evm_revert", before)


def test_a_node_that_does_not_search(scene: Scene) -> None:
    def limited(request: Request) -> Answer:
        if request["method"] == "eth_getLogs":
            return error(-32602, "block range too large")
        return forward(scene.node.url, request)

    with serving(limited) as url:
        verdict = verify_run(scene.folder.path, anchor_rpc=url)
        assert verdict.holds, verdict_text(verdict)
        assert "does not search the chain" in text_of(verdict)
        assert "first head" not in conclusion(verdict)
        scene.folder.file(ANCHOR).unlink()
        again = verify_run(scene.folder.path, anchor_rpc=url)
        assert "name the transaction with --anchor-tx" in text_of(again)
        assert failed(again) == {"anchor"}


def test_a_run_that_nobody_anchored(embedded: Path, node: Node) -> None:
    verdict = verify_run(embedded, anchor_rpc=node.url)
    assert failed(verdict) == {"anchor"}
    assert "there is no anchor.json, and no anchor under this run's plan" in text_of(verdict)


# --------------------------------------------------------------------- crashes and mistakes


def test_a_crash_before_the_note_sends_nothing_twice(
    embedded: Path, node: Node, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(Path(shutil.copytree(embedded, tmp_path / "run")))
    accounts, chain = place.accounts(), RpcChain(node.url)
    assert accounts is not None
    before, me = node.rpc("evm_snapshot"), address(accounts, SIGNER)
    nonce = chain.nonce(me)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "write_json", full)
        with pytest.raises(OSError, match="No space"):
            anchor_run(folder, place)
    left = tmp_path / "run.anchoring"
    assert left.is_dir()
    assert verify_run(folder.path).holds  # nothing is in the run that does not belong there
    assert anchor_run(folder, place)["transaction"]
    assert chain.nonce(me) == nonce + 1
    assert not left.exists()
    assert node.rpc("evm_revert", before)


def test_an_anchor_on_another_chain_is_refused_and_not_forgotten(scene: Scene) -> None:
    note = scene.folder.read_json(ANCHOR)
    for change in ({"chain_id": 5}, {"genesis": "0x" + "00" * 32}):
        scene.folder.write_json(ANCHOR, note | change)
        with pytest.raises(UserError, match="--anchor-rpc: the anchor is on chain"):
            scene.verify()
        with pytest.raises(UserError, match=r"is anchored on chain \d+ already; .* anchor\.json"):
            anchor_run(scene.folder, scene.place)
        assert scene.folder.read_json(ANCHOR) == note | change


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": "privaudit-anchor", "version": 2}', "x" * 10]
)
def test_a_note_that_is_none(
    embedded: Path, tmp_path: Path, node: Node, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path / "run")
    for name in ("scenario.json", "plan.json", "manifest.json", "seal.json"):
        folder.write_text(name, (embedded / name).read_text())
    folder.write_text(ANCHOR, content)
    verdict = verify_run(folder.path)
    files = next(check for check in verdict.checks if check.name == "files")
    assert [p for p in files.problems if ANCHOR in p and "not listed" not in p]
    with pytest.raises(UserError, match=r"anchor\.json"):
        verify_run(folder.path, anchor_rpc=node.url)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert run_command(*arguments) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    return line


def test_what_cannot_be_anchored_or_read_is_one_line(
    embedded: Path,
    without: Path,
    on_node: Path,
    node: Node,
    place: Place,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    keys = ["--rpc", node.url, "--keystore", str(place.keystore)]
    keys += ["--password-file", str(place.password_file)]
    unfinished = RunFolder(Path(shutil.copytree(embedded, tmp_path / "run")))
    unfinished.file("seal.json").unlink()
    for run, said in (
        (without, "made without a ledger: it has no head"),
        (on_node, "is on a chain already"),
        (unfinished.path, "the run is not finished; go on with: privaudit run --resume"),
        (tmp_path, "no run folder"),
    ):
        assert said in refused(capsys, "anchor", str(run), *keys)
    assert "--keystore" in refused(capsys, "anchor", str(embedded), "--rpc", node.url)
    assert "--rpc" in refused(capsys, "anchor", str(embedded))
    asked = ["--anchor-rpc", node.url]
    for run, options, said in (
        (without, asked, "the run has no ledger"),
        (on_node, [*asked, "--rpc", node.url], "the ledger of this run is on a chain itself"),
        (embedded, [*asked, "--anchor-tx", "0x12"], "'0x12' is no transaction hash"),
        (embedded, ["--anchor-tx", "ab" * 32], "--anchor-tx: an anchor is on a chain"),
        (embedded, ["--anchor-rpc", "nowhere"], "'nowhere' is not the URL of a node"),
    ):
        assert said in refused(capsys, "verify", str(run), *options)


def test_an_account_without_money_anchors_nothing(
    embedded: Path, node: Node, place: Place, tmp_path: Path
) -> None:
    folder = RunFolder(Path(shutil.copytree(embedded, tmp_path / "run")))
    accounts = place.accounts()
    assert accounts is not None
    before = node.rpc("evm_snapshot")
    node.fund(address(accounts, SIGNER), wei=5)
    with pytest.raises(UserError, match=r"account auditor .* has 5e-18 of the"):
        anchor_run(folder, place)
    assert not folder.file(ANCHOR).exists()
    node.fund(address(accounts, SIGNER))
    assert anchor_run(folder, place)["sent"]
    assert node.rpc("evm_revert", before)


def test_the_command_tells_what_to_pass_on(
    embedded: Path,
    node: Node,
    place: Place,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = Path(shutil.copytree(embedded, tmp_path / "run"))
    before = node.rpc("evm_snapshot")
    keys = ["--rpc", node.url, "--keystore", str(place.keystore)]
    keys += ["--password-file", str(place.password_file)]
    capsys.readouterr()
    assert run_command("anchor", str(run), *keys, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sent"]
    assert run_command("anchor", str(run), *keys) == 0
    said = capsys.readouterr().out
    assert "anchored this head already; nothing was sent" in said
    assert f"--anchor-rpc URL --anchor-tx {found['transaction']}" in said
    assert found["head"] in said
    assert node.rpc("evm_revert", before)


CONTENT = Content("embedded", b"\x05" * 32, b"\x06" * 32)


def test_an_anchor_on_a_chain_without_a_base_fee(node: Node, place: Place, tmp_path: Path) -> None:
    sent: list[str] = []

    def old(request: Request) -> Answer:
        if request["method"] == "eth_sendRawTransaction":
            sent.append(request["params"][0][:4])
        status, body = forward(node.url, request) or (500, b"")
        return status, body.replace(b'"baseFeePerGas"', b'"unknownToUs"')

    accounts, before = place.accounts(), node.rpc("evm_snapshot")
    assert accounts is not None
    with serving(old) as url:
        made = put_anchor(tmp_path / "journal", RpcChain(url), accounts, CONTENT)
    assert [int(start, 16) >= 0xC0 for start in sent] == [True]
    assert read_anchor(RpcChain(node.url), made.transaction).content == CONTENT
    assert node.rpc("evm_revert", before)


def test_an_anchor_is_priced_again_when_the_base_fee_jumps(
    node: Node, place: Place, tmp_path: Path
) -> None:
    accounts, chain, before = place.accounts(), RpcChain(node.url), node.rpc("evm_snapshot")
    assert accounts is not None
    simulate = chain.simulate

    def and_jump(signed: Any) -> None:
        simulate(signed)
        node.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * 10**9))
        node.rpc("evm_mine")  # what was signed is by now worth less than the base fee

    chain.simulate = and_jump  # type: ignore[method-assign]
    made = put_anchor(tmp_path / "journal", chain, accounts, CONTENT)
    receipt = chain.receipt(made.transaction)
    assert receipt is not None
    assert receipt.gas_price > 40 * 10**9
    assert find_anchors(chain, plan=CONTENT.plan) == [made]
    assert node.rpc("evm_revert", before)
