"""A strict reader of our own pages: every element closed in order, ids unique, links local."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "br", "hr", "img", "link", "input", "col", "wbr"})


@dataclass
class Seen:
    """What a page holds."""

    problems: list[str] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of every element of this name."""
        return [attributes for name, attributes in self.tags if name == tag]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen, self.open = Seen(), []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(set(names)) < len(names):
            self.seen.problems.append(f"attribute twice in <{tag}>")
        self.seen.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.seen.problems.append(f"</{tag}> at {self.getpos()} closes nothing")

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.seen.text += data


def read_page(text: str) -> Seen:
    """The elements, the text, and what is wrong with them."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    seen = reader.seen
    seen.problems += [f"<{tag}> is never closed" for tag in reader.open]
    ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    seen.problems += [f"id '{name}' twice" for name in sorted(set(ids)) if ids.count(name) > 1]
    for _, attributes in seen.tags:
        named = (attributes.get("aria-labelledby") or "").split()
        links = [v for k, v in attributes.items() if k.endswith("href") and v and v[0] == "#"]
        for target in [*named, *(link[1:] for link in links)]:
            if target not in ids:
                seen.problems.append(f"no id '{target}'")
    return seen
