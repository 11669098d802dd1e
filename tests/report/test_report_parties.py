"""The picture of the federation: who is who, by the settings of the run."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure
from report_content import content, scenario

from privaudit.report.page import page
from privaudit.report.parties import TITLE, Parties, federation, in_words, parties_of


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def shown(narrow: bool = False, **audit: Any) -> list[str]:
    return texts(federation(parties_of(scenario(audit=audit)), narrow=narrow))


def test_a_participant_listens_to_another() -> None:
    found = parties_of(scenario())
    assert found.clients == ("listens", "target", "", "", "")
    said = texts(federation(found))
    assert [said.count(word) for word in ("listens", "target", "colludes")] == [1, 1, 0]
    assert "each sends 100 % of its update" in said


def test_a_server_listens_and_no_client_does() -> None:
    found = parties_of(scenario(audit={"threat_model": "server"}))
    assert "listens" not in found.clients
    assert found.server_listens
    assert texts(federation(found)).count("listens") == 1
    assert "the server listens" in in_words(found)


def test_who_colludes_is_drawn_and_who_has_no_room_is_counted() -> None:
    asked = {"participants": [17], "colluders": 2, "fractions": [0.1, 1.0]}
    for narrow, room in ((False, 8), (True, 4)):
        said = shown(narrow, **asked)
        assert said.count("colludes") == 2
        assert f"+ {17 - room}\nmore" in said
    assert "2 collude with who listens; 13 other clients take part" in in_words(
        parties_of(scenario(audit=asked))
    )


def test_targets_in_turn() -> None:
    found = parties_of(scenario(audit={"targets": "rotate"}))
    assert texts(federation(found)).count("target\nin turn") == 4
    assert "each honest client is the target in its turn" in in_words(found)
    assert "other client" not in in_words(found)


def test_a_ledger_has_a_reader_of_its_own() -> None:
    found = Parties(("", "target", ""), False, True, False, "all")
    said = texts(federation(found))
    assert "public ledger" in said
    assert "listens" not in said
    assert "an outsider reads the public ledger" in in_words(found)


@pytest.mark.parametrize("narrow", [False, True])
def test_nothing_lies_outside_the_picture(narrow: bool) -> None:
    figure = federation(parties_of(scenario(audit={"participants": [33]})), narrow=narrow)
    figure.draw_without_rendering()
    width = figure.bbox.width
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= width


def test_every_report_has_it_with_its_words() -> None:
    text = page(content(scenario()), [])
    assert text.count("<svg") == 2
    assert "client 0 listens; client 1 is the target" in text
    assert text.index(TITLE) > text.index("What was assumed")
