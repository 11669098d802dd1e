"""The documentation as a site: ``make docs``. Built by a test, warnings as errors."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Any

project = "privaudit"
author = "The privaudit authors"
project_copyright = "the privaudit authors"
release = metadata.version("privaudit")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "examples", "screens"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

# Notebooks are run at every build, in a folder of their own: what they show is what they do.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 180
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"privaudit {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1a5fb4", "color-brand-content": "#1a5fb4"},
    "dark_css_variables": {"color-brand-primary": "#8ab8ff", "color-brand-content": "#8ab8ff"},
}
# Both pass WCAG 2.2 AA on the theme's grounds, which the default of Sphinx does not.
pygments_style = "a11y-light"
pygments_dark_style = "a11y-dark"

REPOSITORY = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
VERBS = "<!-- verbs -->"


def _prepare(app: Any, docname: str, source: list[str]) -> None:
    """What pages cannot say themselves: links out of docs/, and what the program says of itself."""
    folder = (Path(app.srcdir) / docname).parent
    pages = {(Path(app.srcdir) / found).resolve() for found in app.env.found_docs}
    source[0] = LINK.sub(lambda link: _inside(link, folder, pages), source[0])
    if docname == "index" and "executors" not in app.env.found_docs:
        source[0] = source[0].replace("\nexecutors\n", "\n")
    if VERBS in source[0]:
        source[0] = source[0].replace(VERBS, "\n".join(_verbs()))


def _inside(link: re.Match[str], folder: Path, pages: set[Path]) -> str:
    """A link to a file of the checkout that is no page of the site becomes its name."""
    text, target = link[1], link[2]
    path = (folder / target.partition("#")[0]).resolve()
    if "://" in target or target.startswith("#") or path.with_suffix("") in pages:
        return link[0]
    if not path.exists() or path.suffix in (".png", ".svg"):
        return link[0]  # of what is missing the build says so
    name = str(path.relative_to(REPOSITORY)) + ("/" if path.is_dir() else "")
    said = text.strip("`").rstrip("/")
    return f"`{name}`" if said == name.rstrip("/") else f"{text} (`{name}`)"


def _verbs() -> list[str]:
    """A section for each verb, with its help."""
    import typer
    from typer.testing import CliRunner

    from privaudit.cli import app as cli

    lines = []
    for name in typer.main.get_command(cli.app).commands:  # type: ignore[attr-defined]
        done = CliRunner().invoke(cli.app, [name, "--help"], env={"COLUMNS": "96"})
        lines += [f"## {name}", "", "```text", done.output.strip(), "```", ""]
    return lines


def _without_barriers(
    app: Any, page: str, template: str, context: dict[str, Any], tree: Any
) -> None:
    """What axe-core finds in the theme: headings without a level, boxes no keyboard scrolls."""
    pages = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = pages.replace(
        'role="heading"', 'role="heading" aria-level="2"'
    )
    context["body"] = context.get("body", "").replace("<pre>", '<pre tabindex="0">')


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("source-read", _prepare)
    app.connect("html-page-context", _without_barriers, priority=900)  # after the theme's own
