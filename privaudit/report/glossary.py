"""Words that a reader of a page may not know, in plain ones; pages list those they use."""

from __future__ import annotations

import re

TERMS = (
    (
        "AUC",
        r"\bAUCs?\b",
        "of a pair of rounds (or records), one of each kind, how often the attack says rightly "
        "which is which: 0.50 is a coin, 1.00 always",
    ),
    (
        "Interval",
        r"\d \[\d",
        "numbers in square brackets: between them lies what other runs of the same federation "
        "would give, right in 95 of 100 cases",
    ),
    (
        "Told from chance, *",
        r"told from chance|\*",
        "chance alone gives as much so seldom that of all stars no more than about 5 in 100 are "
        "expected to be wrong",
    ),
    (
        "Participant, server",
        r"participant|server",
        "who listens: a device that takes part and keeps to the rules, or who adds up what all "
        "devices send",
    ),
    ("K", r"\bK\b", "devices in the federation, the listener and its target among them"),
    ("Honest clients", r"honest clients", "devices that do not help the listener"),
    ("Delta", r"\bdeltas?\b", "what a device sends: by how much training changed its model"),
    (
        "Shared",
        r"\bshared\b",
        "how many of a delta's values are sent; the rule says which of them",
    ),
    (
        "Shadows",
        r"\b[Ss]hadows?\b",
        "deltas that the listener makes itself, from records of its own, to learn what a property "
        "does to them",
    ),
    ("Run", r"\bruns?\b", "one federation from its beginning, with devices dealt anew"),
    (
        "ε (epsilon)",
        r"ε",
        "a promise of differential privacy: how much more likely anything becomes by what one "
        "device (or record) holds; 0 is nothing, above 10 hardly a promise",
    ),
    (
        "Ceiling",
        r"[Cc]eiling",
        "the highest AUC any attack can have while the promise is kept",
    ),
)
"""(Word, where it is used, what it means), in the order of a page."""


def glossary(page: str) -> list[tuple[str, str]]:
    """(Word, what it means) of those that the text of a page uses."""
    return [(word, meaning) for word, used, meaning in TERMS if re.search(used, page)]
