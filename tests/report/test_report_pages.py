"""What holds for every page, read without a browser: structure, contrast, nothing from outside."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from html_check import Seen, read_page
from pages import KINDS, every_page, made_up_pages

from privaudit.report.html import STYLE_SHEET


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return every_page(tmp_path_factory.mktemp("pages"))


@pytest.fixture(params=KINDS)
def text(request: pytest.FixtureRequest, pages: dict[str, str]) -> str:
    return pages[request.param]


@pytest.fixture
def seen(text: str) -> Seen:
    return read_page(text)


def test_it_is_valid_and_loads_nothing(text: str, seen: Seen) -> None:
    assert seen.problems == []
    assert text.startswith('<!doctype html>\n<html lang="en">')
    for tag in ("script", "link", "img", "iframe", "object", "base", "form"):
        assert not seen.all(tag), tag
    assert not re.search(r"@import|url\((?!#)|\bon\w+=|javascript:", text)
    targets = [a["href"] or "" for a in seen.all("a")]
    assert not [t for t in targets if ":" in t or t.startswith("/")]


def test_it_is_small(text: str) -> None:
    """What a page may weigh, in bytes; it is one file, with nothing beside it."""
    assert len(text.encode()) < 1_500_000


def test_landmarks_and_headings_are_in_order(text: str, seen: Seen) -> None:
    for tag in ("header", "main", "footer", "h1", "title"):
        assert len([t for t, _ in seen.tags if t == tag]) >= 1, tag
    assert len(seen.all("main")) == len(seen.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in seen.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    for nav in seen.all("nav"):
        assert nav["aria-label"]
    for section in seen.all("section"):
        assert section["aria-labelledby"]


def test_tables_and_figures_can_be_heard(text: str, seen: Seen) -> None:
    assert seen.all("table")
    assert len(seen.all("table")) == len(seen.all("caption"))
    assert {a.get("scope") for a in seen.all("th")} == {"col", "row"}
    bodies = re.findall(r"<tbody>(.*?)</tbody>", text, flags=re.DOTALL)
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", "".join(bodies), flags=re.DOTALL)
    assert rows
    assert all(row.startswith('<th scope="row">') for row in rows)
    assert {a.get("role") for a in seen.all("svg")} <= {"img"}
    described = re.findall(r"<svg [^>]*><title id=[^>]*>[^<]+</title><desc id=[^>]*>[^<]+<", text)
    assert len(described) == len(seen.all("svg"))


def test_what_scrolls_can_be_reached_by_keyboard_and_has_a_name(seen: Seen) -> None:
    boxes = [a for _, a in seen.tags if a.get("class") == "wide"]
    assert boxes
    for box in boxes:
        assert (box["tabindex"], box["role"]) == ("0", "region")
        assert box["aria-label"]
    assert {a["tabindex"] for _, a in seen.tags if "tabindex" in a} == {"0"}


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_colours_have_the_contrast_that_small_text_needs(scheme: str) -> None:
    """WCAG 2.2, criterion 1.4.3: 4.5 to 1."""
    colours = palette(scheme)
    for ink in ("ink", "quiet", "leak", "unknown", "link"):
        for paper in ("paper", "panel"):
            assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)


def palette(scheme: str) -> dict[str, str]:
    blocks = {
        "light": STYLE_SHEET[: STYLE_SHEET.index("@media")],
        "dark": STYLE_SHEET[STYLE_SHEET.index("prefers-color-scheme: dark") :].split("}")[0],
        "print": STYLE_SHEET[STYLE_SHEET.index("@media print") :].split("}")[0],
    }
    found = dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6})", blocks["light"]))
    return found | dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6})", blocks[scheme]))


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


def test_the_pages_are_what_they_are_called(pages: dict[str, str], tmp_path: Path) -> None:
    for kind, text in pages.items():
        name = "report" if kind == "run" else kind
        assert f'<p class="kicker">privaudit {name}</p>' in text
    again = made_up_pages(tmp_path)
    for kind in set(again) - {"index"}:  # which says where it lies, and when reports were written
        assert again[kind] == pages[kind]
