"""The documentation as a site: built without a warning, notebooks run, no barrier on any page.

``make docs`` builds the same into docs/_build.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from privaudit.cli import app

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(file.stem for file in (ROOT / "docs" / "notebooks").glob("*.ipynb"))
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
CHECKED = ("index", "tutorial", "verbs", "settings", "api", "peers", "notebooks/own-data")
"""Pages of each kind."""

TAGS = [f"wcag{level}" for level in ("2a", "2aa", "21a", "21aa", "22aa")]
AXE = """
async function check(frame) {
  const inside = frame.contentDocument, script = inside.createElement('script');
  script.textContent = AXE;
  inside.head.append(script);
  const found = await frame.contentWindow.axe.run(inside, {runOnly: TAGS});
  frame.setAttribute('data-found', JSON.stringify({
    passes: found.passes.length,
    violations: found.violations.map(v => [v.id, v.nodes.map(n => n.html.slice(0, 200))]),
  }));
}
onload = async () => { for (const f of document.querySelectorAll('iframe')) await check(f); };
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; whatever Sphinx warns of fails here."""
    place = tmp_path_factory.mktemp("site")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", str(place / "trees"), str(ROOT / "docs"), str(place / "html")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
    return place / "html"


def text_of(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_every_document_is_a_page_of_the_site(site: Path) -> None:
    for file in (ROOT / "docs").glob("*.md"):
        assert (site / f"{file.stem}.html").is_file(), f"{file.name} stands in no toctree"


def test_it_needs_no_network(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|link|img)[^>]*(?:src|href)="(https?:[^"]+)"', page.read_text("utf-8")
        )
        assert not loaded, (page.name, loaded)


def test_every_verb_has_its_help_and_two_examples(site: Path) -> None:
    import typer

    page = text_of(site / "verbs.html")
    for name in typer.main.get_command(app.app).commands:  # type: ignore[attr-defined]
        assert f"Usage: privaudit {name}" in page, name
        assert len(re.findall(rf"^ +privaudit {name}\b", page, re.MULTILINE)) >= 2, name


def test_the_reference_has_docstrings_and_settings(site: Path) -> None:
    page = text_of(site / "api.html")
    for name in ("evaluate", "audit_model", "open_run", "Result", "Canaries", "TraceWriter"):
        assert f"{name}(" in page or f".{name}" in page, name
    assert "Judge the scores of any attack" in page
    assert "independent federation runs" in text_of(site / "settings.html")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_are_run_when_the_site_is_built(name: str, site: Path) -> None:
    page = (site / "notebooks" / f"{name}.html").read_text(encoding="utf-8")
    cells = json.loads((ROOT / "docs" / "notebooks" / f"{name}.ipynb").read_text("utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells), "outputs are made, not kept"
    assert page.count("cell_output") >= 3
    assert "Traceback" not in page


def test_notebooks_show_what_they_are_about(site: Path) -> None:
    assert "smokes" in text_of(site / "notebooks" / "own-data.html")
    trainer = text_of(site / "notebooks" / "own-trainer.html")
    assert "The rules explain what the adversary sent itself." in trainer
    assert "20 scores in, 20 out" in trainer
    assert "no noise is added" in text_of(site / "notebooks" / "choosing-a-defence.html")


@pytest.mark.skipif(
    BROWSER is None and not os.environ.get("PRIVAUDIT_REQUIRE_BROWSER"),
    reason="no chromium on this machine",
)
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_barrier_on_the_site(dark: bool, site: Path, tmp_path: Path) -> None:
    assert BROWSER is not None, "no chromium, but PRIVAUDIT_REQUIRE_BROWSER is set"
    found = barriers(site, tmp_path, dark=dark)
    assert list(found) == list(CHECKED)
    for name, said in found.items():
        assert said["violations"] == [], name
        assert said["passes"] > 5, name


def barriers(site: Path, profile: Path, *, dark: bool) -> dict[str, Any]:
    """Page -> what axe-core says of it."""
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    source = json.dumps(axe).replace("</", "<\\/")
    frames = "".join(
        f'<iframe name="{name}" width="1300" height="900" src="{name}.html"></iframe>'
        for name in CHECKED
    )
    script = f"const TAGS = {json.dumps(TAGS)}, AXE = {source};{AXE}"
    harness = site / f"axe-{dark}.html"
    harness.write_text(
        f'<!doctype html><meta charset="utf-8"><body>{frames}<script>{script}</script>',
        encoding="utf-8",
    )
    done = subprocess.run(
        [
            str(BROWSER),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--allow-file-access-from-files",
            f"--user-data-dir={profile / 'profile'}",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            "--virtual-time-budget=200000",
            "--dump-dom",
            harness.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    harness.unlink()
    assert done.returncode == 0, done.stderr[-2000:]
    seen = re.findall(r'<iframe name="([^"]+)"[^>]*data-found="([^"]*)"', done.stdout)
    return {name: json.loads(html.unescape(said)) for name, said in seen}
