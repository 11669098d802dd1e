"""The page in a real browser, where there is one: nothing runs over, wide or narrow, light or dark.

The page itself has no scripts; the ones here look at it from outside, through a frame.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from report_content import content, scenario

from privaudit.report.drawings import drawings
from privaudit.report.page import page

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
  document.body.dataset.found = JSON.stringify({
    page: [root.scrollWidth, root.clientWidth], over: over.map(e => e.outerHTML.slice(0, 80)),
    boxes: [...inside.querySelectorAll('.wide')].map(e => e.scrollWidth > e.clientWidth),
    heads: [...inside.querySelectorAll('h2')].map(e => e.textContent),
    ink: getComputedStyle(inside.body).color, paper: getComputedStyle(inside.body).backgroundColor,
    svg: getComputedStyle(inside.querySelector('svg text')).fill,
  });
}
"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")


@pytest.fixture(scope="module")
def text() -> str:
    """A page with a wide table, long names and every kind of figure of scores."""
    audit = {
        "properties": ["bold", "a-property-with-a-rather-long-name-" + "x" * 60],
        "fractions": [0.01, 0.05, 0.1, 0.2, 0.5, 1.0],
        "attacks": ["linear", "melis-rf"],
    }
    title = "https://example.org/" + "a-title-without-a-space-" * 8
    made = content(scenario(title=title, audit=audit, report={"published": {"bold": {"1": 0.5}}}))
    return page(made, drawings(made))


def seen(text: str, folder: Path, *, width: int, dark: bool) -> dict[str, Any]:
    """What a browser of this width makes of the page."""
    assert BROWSER is not None
    file = folder / f"frame-{width}.html"
    file.write_text(
        f'<!doctype html><meta charset="utf-8"><body><script>{LOOK}</script>'
        f'<iframe width="{width}" height="900" style="border:0" onload="look(this)" '
        f'srcdoc="{html.escape(text)}"></iframe>',
        encoding="utf-8",
    )
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [BROWSER, *FLAGS, scheme, profile, "--window-size=1600,1000", "--dump-dom"]
    done = subprocess.run(
        [*command, file.as_uri()], capture_output=True, text=True, timeout=120, check=False
    )
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found, done.stderr[-2000:]
    return dict(json.loads(html.unescape(found.group(1))))


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (390, True)])
def test_nothing_runs_over(width: int, dark: bool, text: str, tmp_path: Path) -> None:
    found = seen(text, tmp_path, width=width, dark=dark)
    assert found["over"] == []
    assert found["page"] == [found["page"][1]] * 2
    assert found["heads"][0] == "Verdict"
    assert found["heads"][-1] == "How to make it again"
    assert found["svg"] == found["ink"]
    assert found["paper"] == ("rgb(20, 23, 26)" if dark else "rgb(255, 255, 255)")
    if width == 390:
        assert any(found["boxes"])  # what is wide scrolls in its own box
