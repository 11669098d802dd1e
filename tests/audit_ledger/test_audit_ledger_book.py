"""The book: rounds of the ledger out of evidence, and the tables made from them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from privaudit.custody.evidence import RoundEvidence
from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError
from privaudit.federation.rewards import Delivery
from privaudit.ledger.book import (
    BOOK,
    Page,
    delta_list_hash,
    expected_labels,
    page,
    pages,
    read_book,
    result_of,
)
from privaudit.ledger.commitments import salt_of
from privaudit.ledger.tables import (
    client_rows,
    client_table,
    payments_csv,
    rewards_summary,
    round_rows,
)
from privaudit.scenario.schema import LedgerSection, Scenario


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def evidence(number: int, clients: int = 4, bad: tuple[int, ...] = ()) -> RoundEvidence:
    cohort = tuple(
        Delivery(c, sha(f"{number}.{c}"), 10 + c, 1.0, "not finite" if c in bad else "", 100 * c)
        for c in range(clients)
    )
    return RoundEvidence(
        number, sha(f"model {number}"), sha(f"delta {number}"), sha(f"model {number + 1}"), cohort
    )


EQUAL = LedgerSection(budget=1200)
CELL = "audit/run-0/bold_all_1_k4"


def test_a_training_round_is_a_round_of_the_ledger() -> None:
    made = page("training/run-0/round-3", 7, [evidence(3, bad=(2,))], EQUAL)
    assert (made.number, made.rounds, made.budget, made.paid) == (7, 1, 1200, 900)
    assert (made.model_hash, made.result_hash) == (sha("model 3"), sha("model 4"))
    assert [p.amount for p in made.payments] == [300, 300, 0, 300]
    assert [p.outcome for p in made.payments] == [1, 1, 5, 1]
    assert made.payments[1].delta_sha256 == sha("3.1")


def test_a_cell_sums_its_federated_rounds_each_split_on_its_own() -> None:
    many = [evidence(0), evidence(1, bad=(0, 3)), evidence(2, clients=2)]
    made = page(CELL, 0, many, LedgerSection(reward="samples", budget=1000))
    single = [
        page("training/run-0/round-0", 0, [item], LedgerSection(reward="samples", budget=1000))
        for item in many
    ]
    assert made.budget == 3000 == made.paid
    for payment in made.payments:
        parts = [p for s in single for p in s.payments if p.client == payment.client]
        assert payment.amount == sum(p.amount for p in parts)
        assert payment.deltas == len(parts)
    assert made.payments[0].rejected == 1
    assert made.payments[0].outcome == 1  # accepted in the other rounds
    assert made.payments[0].reason == "not finite"


def test_the_commitment_of_a_cell_covers_every_delta_and_its_round() -> None:
    many = [evidence(0), evidence(1)]
    whole = page(CELL, 0, many, EQUAL).payments[1].delta_sha256
    expected = hashlib.sha256(
        b"".join(n.to_bytes(8, "big") + bytes.fromhex(sha(f"{n}.1")) for n in (0, 1))
    )
    assert whole == expected.hexdigest()
    assert delta_list_hash([(0, sha("a"))]) != delta_list_hash([(1, sha("a"))])


def test_the_result_of_a_cell_covers_every_model_on_the_way() -> None:
    many = [evidence(0), evidence(1), evidence(2)]
    swapped = [many[0], RoundEvidence(1, many[1].before, many[1].delta, sha("x"), ()), many[2]]
    assert result_of(many, whole=True) != result_of(swapped, whole=True)
    assert result_of(many, whole=False) == many[-1].after


def test_a_client_rejected_every_time_is_rejected_with_the_reason() -> None:
    made = page(CELL, 0, [evidence(0, bad=(1,)), evidence(1, bad=(1,))], EQUAL)
    assert (made.payments[1].outcome, made.payments[1].amount) == (5, 0)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path)
    training = [evidence(0), evidence(1)]
    from dataclasses import asdict

    made.write_lines("evidence/run-0/training.jsonl", [asdict(e) for e in training])
    cell = "evidence/run-0/bold_all_1_k4.jsonl"
    made.write_lines(cell, [asdict(evidence(n)) for n in (2, 3, 4)])
    return made


@pytest.fixture
def scenario() -> Scenario:
    audit = {"properties": ["serif", "bold"], "fractions": [1.0]}
    federation = {"participants": 4, "rounds": 2}
    return Scenario(name="x", runs=1, audit=audit, federation=federation)  # type: ignore[arg-type]


def book_of(folder: RunFolder, scenario: Scenario) -> list[Page]:
    labels = expected_labels(folder, scenario, audited=False)
    labels += expected_labels(folder, scenario, audited=True)
    return list(pages(folder, scenario.ledger, {label: n for n, label in enumerate(labels)}))


def test_labels_follow_the_grid_and_leave_out_cells_without_evidence(
    folder: RunFolder, scenario: Scenario
) -> None:
    assert expected_labels(folder, scenario, audited=False) == [
        "training/run-0/round-0",
        "training/run-0/round-1",
    ]
    assert expected_labels(folder, scenario, audited=True) == [CELL]  # serif failed


def test_the_book_comes_back_as_it_was_written(folder: RunFolder, scenario: Scenario) -> None:
    book = book_of(folder, scenario)
    folder.write_lines(BOOK, [entry.row() for entry in book])
    assert read_book(folder) == book
    assert read_book(RunFolder(folder.path / "nowhere")) == []


def test_a_damaged_book_is_named(folder: RunFolder, scenario: Scenario) -> None:
    row = book_of(folder, scenario)[0].row()
    folder.write_lines(BOOK, [row | {"payments": [{"amount": "x"}]}])
    with pytest.raises(UserError, match="book"):
        read_book(folder)


def test_tables_add_up_and_show_the_adversary(folder: RunFolder, scenario: Scenario) -> None:
    book = book_of(folder, scenario)
    clients, rounds = client_rows(book), round_rows(book)
    paid = sum(entry.paid for entry in book)
    assert sum(row["earned_wei"] for row in clients) == paid == 5 * 4 * 200_000
    assert [row["role"] for row in clients] == ["adversary", "target", "honest", "honest"]
    assert clients[0]["earned_wei"] == sum(row["adversary_wei"] for row in rounds)
    assert sum(row["paid_wei"] + row["returned_wei"] for row in rounds) == sum(
        entry.budget for entry in book
    )
    assert client_table(book)["client"].tolist() == ["0", "1", "2", "3", "all"]
    assert "adversary earned 25.0 %" in rewards_summary(book, "equal")


def test_csv_keeps_wei_whole(folder: RunFolder, scenario: Scenario) -> None:
    huge = scenario.model_copy(update={"ledger": LedgerSection(budget=4 * 10**20)})
    lines = payments_csv(book_of(folder, huge)).splitlines()
    assert lines[0].startswith("round,label,")
    assert lines[1].split(",")[-2:] == [str(10**20), str(4 * 10**20)]
    assert len(lines) == 1 + 3 * 4


def test_an_empty_book_has_empty_tables() -> None:
    assert client_rows([]) == round_rows([]) == []
    assert client_table([]).empty
    assert "nothing" in rewards_summary([], "equal")


def test_salts_differ_by_purpose_and_secret() -> None:
    salts = {salt_of(s, p) for s in (b"1", b"2") for p in ("round/0/client/0", "round/0/client/1")}
    assert len(salts) == 4
    assert all(len(salt) == 32 for salt in salts)


def test_rows_are_json(folder: RunFolder, scenario: Scenario) -> None:
    json.dumps([entry.row() for entry in book_of(folder, scenario)])
