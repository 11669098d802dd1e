"""Pictures of the first screen of every kind of page, on runs of embedded data.

    python docs/screens/take.py RUNS [KIND ...]

makes whatever is not yet in the folder ``RUNS`` (minutes, embedded data), writes all pages again,
takes each at three widths, light and dark, with chromium, and leaves ``KIND-WIDTH-light.webp`` and
``KIND-WIDTH-dark.webp`` beside this file, reduced to few colours.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
SIZES = {400: 860, 1280: 800, 1600: 900}
"""Width and height of a screen, in pixels."""

COLOURS = 48
ONE_CELL = "--set audit.participants=[2] --set runs=4 --set audit.rounds=36"
SHORT = "--seeds 3 --set audit.properties=['bold']"
RUNS = {
    "undefended": f"run demo {ONE_CELL} --set audit.defences=['none']",
    "defended": f"run demo {ONE_CELL} --set audit.defences=['noise']",
    "run": "run quickstart",
    "dilution": f"dilution quickstart {SHORT} --participants 2,5,9,17 --whole-runs 4"
    " --whole-rounds 10",
    "sweep": f"sweep quickstart {SHORT} --over federation.rounds=0,2,8 --set audit.fractions=[1.0]",
    "policies": "policies policies-glyphs --set runs=3 --set"
    " audit.defences=['none','signs','secure-aggregation','dp-strong']",
    "canaries": "canaries quickstart --set federation.protocol=fedsgd --set federation.momentum=0"
    " --set federation.clip_norm=0.2 --set federation.noise=0.5",
}
"""Name -> how it is made; each a minute or two on one core."""


def privaudit(*words: str) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "privaudit", *words]
    path = os.environ | {"PYTHONPATH": str(HERE)}  # for live.py
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=path)
    return done.stdout


def judged(runs: Path) -> None:
    """Three federations of a loop of one's own, judged."""
    with tempfile.TemporaryDirectory() as made:
        subprocess.run([sys.executable, HERE / "live.py", made], check=True)
        places = [Path(made) / str(number) for number in range(3)]
        words = ["judge", *(str(place / "trace") for place in places), "--model", "live:Net"]
        for place in places:
            words += ["--truth", str(place / "truth"), "--auxiliary", str(place / "mine.npz")]
        privaudit(*words, "--out", str(runs / "live"))


def pages(runs: Path) -> Iterator[tuple[str, Path]]:
    """Kind -> its page, as this version writes it."""
    for name, command in RUNS.items():
        if not (runs / name).exists():
            privaudit(*command.split(), "--out", str(runs / name), "--quiet")
    if not (runs / "live").exists():
        judged(runs)
    for name in ("run", "dilution", "sweep", "policies", "canaries", "live"):
        privaudit("report", str(runs / name))
        yield name, runs / name / "report" / "index.html"
    compared = runs / "compare.html"
    before_and_after = (str(runs / "undefended"), str(runs / "defended"))
    compared.write_text(privaudit("compare", *before_and_after, "--format", "html"), "utf-8")
    yield "compare", compared
    privaudit("index", str(runs))
    yield "index", runs / "index.html"


def take(kind: str, page: Path, width: int, dark: bool) -> None:
    """One picture of the first screen."""
    found = filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome")))
    browser = next(found, "chromium")
    with tempfile.TemporaryDirectory() as place:
        shot = Path(place) / "shot.png"
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={place}/profile", f"--window-size={width},{SIZES[width]}"]
        command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
        command += [f"--screenshot={shot}", page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True)
        picture = Image.open(shot).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    file = HERE / f"{kind}-{width}-{'dark' if dark else 'light'}.webp"
    picture.convert("RGB").save(file, lossless=True, quality=100, method=6)


def main(runs: Path, kinds: list[str]) -> None:
    """All pictures, or those of some kinds."""
    runs.mkdir(parents=True, exist_ok=True)
    for kind, page in pages(runs):
        for width in SIZES if kind in kinds or not kinds else ():
            for dark in (False, True):
                take(kind, page, width, dark)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
