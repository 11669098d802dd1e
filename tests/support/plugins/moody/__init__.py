"""An attack that fails as long as the file ``cheerful`` does not lie beside it."""

from __future__ import annotations

from pathlib import Path

from misbehaving import Honest


class Moody(Honest):
    """Fails for a reason that passes."""

    name = "moody"

    def score(self):  # type: ignore[no-untyped-def]
        if not Path(__file__).with_name("cheerful").exists():
            raise RuntimeError("not today")
        return super().score()
