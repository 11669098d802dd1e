"""The tables of settings in docs/ are those of the types that check them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from setting_tables import BLOCK, DOCS, TABLES, documents, with_tables

from privaudit.scenario.schema import Scenario


@pytest.mark.parametrize("document", documents(), ids=lambda file: file.name)
def test_the_tables_are_those_of_today(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert with_tables(text) == text, "run: python tests/support/setting_tables.py"


def test_every_table_is_in_a_document_and_none_stays_as_it_was_typed() -> None:
    found = [kind for file in documents() for _, kind, _ in BLOCK.findall(file.read_text("utf-8"))]
    assert sorted(found) == sorted(TABLES)
    settings = (DOCS / "settings.md").read_text("utf-8")
    assert set(re.findall(r"^### `\[(\w+)[\].]", settings, re.MULTILINE)) == (
        Scenario.model_fields.keys() - {"name", "title", "seed", "runs"}
    )
    altered = settings.replace("`participants` | `5`", "`participants` | `6`")
    assert with_tables(altered) == settings != altered
