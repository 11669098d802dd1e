"""Every page in a real browser, where there is one: wide or narrow, light or dark, on paper.

The pages have no scripts; the ones here look at them from outside, through a frame.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import KINDS, LONG_TITLE, every_page
from PIL import Image

from privaudit.report.in_short import QUESTIONS

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LOOK = """
function look(frame) {
  const inside = frame.contentDocument, root = inside.documentElement;
  const boxed = e => e.closest('.wide') !== null;
  const over = [...inside.querySelectorAll('body *')].filter(e => !boxed(e) &&
    (e.getBoundingClientRect().right > root.clientWidth + 1 || e.scrollWidth > e.clientWidth + 1 &&
     e.clientWidth > 0 && getComputedStyle(e).display !== 'inline'));
  const text = inside.querySelector('svg text');
  document.body.setAttribute('data-found-' + frame.name, JSON.stringify({
    page: [root.scrollWidth, root.clientWidth], over: over.map(e => e.outerHTML.slice(0, 80)),
    boxes: [...inside.querySelectorAll('.wide')].map(e => e.scrollWidth > e.clientWidth),
    heads: [...inside.querySelectorAll('h2')].map(e => e.textContent),
    ink: getComputedStyle(inside.body).color, paper: getComputedStyle(inside.body).backgroundColor,
    svg: text && getComputedStyle(text).fill,
    answers: [...inside.querySelectorAll('.short dt')].map(e => [e.textContent,
      e.nextElementSibling.getBoundingClientRect().bottom]),
  }));
}
"""
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(20, 23, 26)"
A4 = 718
"""Pixels between the margins of a sheet of A4."""

LISTED = ("index", "compare", "policies")
"""Pages whose tables are lists on a narrow screen."""

FIRST_SCREENS = ((400, 860), (1280, 800), (1600, 900))
"""Width and height, in pixels."""

pytestmark = pytest.mark.skipif(
    BROWSER is None and not os.environ.get("PRIVAUDIT_REQUIRE_BROWSER"),
    reason="no chromium on this machine",
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return every_page(tmp_path_factory.mktemp("pages"))


def browser(folder: Path, *arguments: str) -> str:
    """What the browser prints; it finds no network, whatever it asks for."""
    assert BROWSER is not None, "no chromium, but PRIVAUDIT_REQUIRE_BROWSER is set"
    own = (f"--user-data-dir={folder / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND")
    done = subprocess.run(
        [BROWSER, *FLAGS, *own, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def seen(pages: dict[str, str], folder: Path, *, width: int, dark: bool) -> dict[str, Any]:
    """What a browser of this width makes of each page; all in one start of the browser."""
    frames = "".join(
        f'<iframe name="{kind}" width="{width}" height="900" style="border:0" onload="look(this)" '
        f'srcdoc="{html.escape(text)}"></iframe>'
        for kind, text in pages.items()
    )
    file = folder / f"frames-{width}.html"
    file.write_text(
        f'<!doctype html><meta charset="utf-8"><body><script>{LOOK}</script>{frames}',
        encoding="utf-8",
    )
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    printed = browser(folder, scheme, "--window-size=1600,1000", "--dump-dom", file.as_uri())
    found = found_in(printed)
    assert found.keys() == pages.keys(), printed[-2000:]
    return found


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (360, True)])
def test_nothing_runs_over(width: int, dark: bool, pages: dict[str, str], tmp_path: Path) -> None:
    for kind, found in seen(pages, tmp_path, width=width, dark=dark).items():
        assert found["over"] == [], kind
        assert found["page"] == [found["page"][1]] * 2, kind
        assert found["paper"] == (DARK if dark else LIGHT)
        assert kind == "table" or found["heads"][0] == "In short"
        if kind not in ("table", "compare", "index"):
            assert found["svg"] == found["ink"]
            assert found["heads"][-1] == "How to make it again"
        if width == 360 and kind not in LISTED:
            assert any(found["boxes"]), f"{kind}: what is wide scrolls in its own box"


@pytest.mark.parametrize(("width", "height"), FIRST_SCREENS)
def test_the_first_screen_answers(
    width: int, height: int, pages: dict[str, str], tmp_path: Path
) -> None:
    """Is there a leak, how sure is that, what next: all of it without scrolling."""
    found = seen(plainly_named(pages), tmp_path, width=width, dark=False)
    for kind in set(found) - {"table"}:
        answers = dict(found[kind]["answers"][:3])
        assert list(answers) == list(QUESTIONS[:3]), kind
        assert max(answers.values()) < height, (kind, answers)


def plainly_named(pages: dict[str, str]) -> dict[str, str]:
    """The same pages without the names that are meant to be too long."""
    long = (LONG_TITLE, "-with-a-rather-long-name-" + "x" * 60)
    for name in long:
        pages = {kind: text.replace(name, "") for kind, text in pages.items()}
    return pages


def test_on_paper_nothing_is_cut_off(pages: dict[str, str], tmp_path: Path) -> None:
    """The rules for paper made those of the screen; what scrolls on screen cannot on paper."""
    printed = {kind: text.replace("@media print", "@media all") for kind, text in pages.items()}
    assert all(printed[kind] != pages[kind] for kind in pages)
    for kind, found in seen(printed, tmp_path, width=A4, dark=True).items():
        assert found["paper"] == LIGHT, "dark screens print on white paper, too"
        assert found["over"] == [], kind
        assert found["page"] == [found["page"][1]] * 2, kind
        assert not any(found["boxes"]), kind


@pytest.mark.parametrize("kind", KINDS)
def test_it_opens_from_disk_and_prints(kind: str, pages: dict[str, str], tmp_path: Path) -> None:
    file, paper = tmp_path / "page.html", tmp_path / "page.pdf"
    file.write_text(pages[kind], encoding="utf-8")
    browser(tmp_path, f"--print-to-pdf={paper}", file.as_uri())
    content = paper.read_bytes()
    assert content.startswith(b"%PDF-")
    sheets = len(re.findall(rb"/Type\s*/Page\b", content))
    assert sheets > (0 if kind in ("table", "compare", "index") else 1)


def test_there_is_something_to_see(pages: dict[str, str], tmp_path: Path) -> None:
    file, shot = tmp_path / "page.html", tmp_path / "page.png"
    file.write_text(pages["run"], encoding="utf-8")
    light = "--blink-settings=preferredColorScheme=1"
    size = ("--window-size=1000,900", "--hide-scrollbars")
    browser(tmp_path, light, *size, f"--screenshot={shot}", file.as_uri())
    pixels = np.asarray(Image.open(shot).convert("L"))
    assert pixels.shape == (900, 1000)
    assert (pixels > 240).mean() > 0.5, "white paper, and panels on it"
    assert 0.01 < (pixels < 128).mean() < 0.3, "with text on it"


AXE = """
async function check(frames, source) {
  for (const frame of frames) {
    const inside = frame.contentDocument, script = inside.createElement('script');
    script.textContent = source;
    inside.head.append(script);
    const found = await frame.contentWindow.axe.run(inside, {runOnly: TAGS});
    document.body.setAttribute('data-found-' + frame.name, JSON.stringify({
      passes: found.passes.length,
      violations: found.violations.map(v => [v.id, v.help, v.nodes.map(n => n.html.slice(0, 200))]),
    }));
  }
}
"""
TAGS = [f"wcag{level}" for level in ("2a", "2aa", "21a", "21aa", "22aa")]
"""WCAG 2.2 AA, as axe-core names its rules."""

BARRIER = '<!doctype html><html lang="en"><title>Planted</title><img src="nothing.png">'
"""A page with one barrier, which must be found."""


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_barrier(dark: bool, pages: dict[str, str], tmp_path: Path) -> None:
    source = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    frames = "".join(
        f'<iframe name="{kind}" width="1200" height="900" srcdoc="{html.escape(text)}"></iframe>'
        for kind, text in (pages | {"planted": BARRIER}).items()
    )
    start = "onload = () => check(document.querySelectorAll('iframe'), AXE)"
    script = f"{AXE.replace('TAGS', json.dumps(TAGS))}\nconst AXE = {script_text(source)};{start}"
    file = tmp_path / "axe.html"
    file.write_text(
        f'<!doctype html><meta charset="utf-8"><body>{frames}<script>{script}</script>',
        encoding="utf-8",
    )
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    printed = browser(tmp_path, scheme, "--virtual-time-budget=100000", "--dump-dom", file.as_uri())
    found = found_in(printed)
    assert [name for name, *_ in found.pop("planted")["violations"]] == ["image-alt"]
    assert found.keys() == pages.keys(), printed[-2000:]
    for kind, said in found.items():
        assert said["violations"] == [], kind
        assert said["passes"] > 5, kind


def script_text(source: str) -> str:
    """A script as a text in another one, which no end tag in it may end."""
    return json.dumps(source).replace("</", "<\\/")


def found_in(printed: str) -> dict[str, Any]:
    """What was written on the body of a page, by frame."""
    found = dict(re.findall(r'data-found-(\w+)="([^"]*)"', printed))
    return {kind: json.loads(html.unescape(text)) for kind, text in found.items()}
