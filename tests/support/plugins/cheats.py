"""Attacks that do not attack: each looks for the truth in a place of its own.

Whoever comes by the scenario computes the truth from it with the simulator; whoever finds nothing
says nothing (all scores equal, AUC exactly 0.5). ``peek`` and ``guess`` always give a schedule.
"""

from __future__ import annotations

import gc
import inspect
import json
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from privaudit.attack.protocol import Attack
from privaudit.randomness import Seed

NAME = re.compile(r"(.+)_[^_]+_[^_]+_k(\d+)")


class Cheat(Attack):
    """Counts the rounds, and looks around when it is asked for scores."""

    source = "none: a cheat, for the tests"

    def __init__(self, *, seed):  # type: ignore[no-untyped-def]
        super().__init__(seed=seed)
        self.rounds = 0

    def partial_fit(self, observation, shadow, layout):  # type: ignore[no-untyped-def]
        self.rounds += 1
        return self

    def score(self):  # type: ignore[no-untyped-def]
        for present in self.candidates():
            if present is not None and len(present) == self.rounds:
                return np.where(present, 1.0, -1.0)
        return np.zeros(self.rounds)

    def candidates(self) -> Iterator[Any]:
        raise NotImplementedError

    def from_scenario(self, text: str) -> np.ndarray | None:
        """The truth, from the text of a scenario, where it is the one of this attack's seed."""
        from privaudit.scenario.grid import cells_of
        from privaudit.world import load_world

        world = load_world(text, None)
        return self.from_world(world, cells_of(world.scenario))

    def from_world(self, world: Any, cells: Any) -> np.ndarray | None:
        for cell in cells:
            own = world.attacker_seed(cell.run).child("attack", self.name, cell.name)
            if own == self.seed:
                present: np.ndarray = world.presence(cell)
                return present
        return None


class Peek(Cheat):
    """Recomputes the schedule from the seed it is handed, by the names in its path."""

    name = "peek"

    def candidates(self) -> Iterator[Any]:
        path = self.seed.path
        prop, k = NAME.fullmatch(path[-1]).groups()  # type: ignore[union-attr]
        for run in (path[1] if len(path) > 2 else "0", "0", "1", "2"):
            rng = Seed(self.seed.root).child("run", run, "audit", prop, "participants", k)
            yield self.drawn(rng.generator("presence"))

    def drawn(self, rng: np.random.Generator) -> np.ndarray:
        extra = int(rng.integers(2)) if self.rounds % 2 else 0
        return rng.permutation(np.arange(self.rounds) < self.rounds // 2 + extra)


class Guess(Peek):
    """Tries small root seeds until one gives the seed it is handed; else takes the likeliest."""

    name = "guess"
    secrets = ("", "glyphs", "0" * 64)

    def candidates(self) -> Iterator[Any]:
        prop, k = NAME.fullmatch(self.seed.path[-1]).groups()  # type: ignore[union-attr]
        for root in (*range(3000), 20261127):
            for run in range(4):
                node = Seed(root).child("run", run, "attacker")
                for secret in self.secrets:
                    if node.opaque(secret).root == self.seed.root:
                        yield self.schedule(root, secret, run, prop, k)
                if node.integer() == self.seed.root or root == self.seed.root:
                    yield self.schedule(root, "", run, prop, k)
        yield self.schedule(1, "", 0, prop, k)

    def schedule(self, root: int, secret: str, run: int, prop: str, k: str) -> np.ndarray:
        return self.drawn(Seed(root).child("presence", secret).generator("run", run, prop, k))


class Frames(Cheat):
    """Walks up the frames, and those of other threads: worlds, scenarios, arrays of truth."""

    name = "frames"

    def candidates(self) -> Iterator[Any]:
        frames = [frame.frame for frame in inspect.stack()]
        for last in sys._current_frames().values():
            frames += [frame for frame, _ in traceback.walk_stack(last)]
        for frame in frames:
            yield from judged(self, [*frame.f_locals.values(), *frame.f_globals.values()])


class Collector(Cheat):
    """The same with every object that the garbage collector knows."""

    name = "collector"

    def candidates(self) -> Iterator[Any]:
        yield from judged(self, gc.get_objects())
        held = [
            value for o in gc.get_objects() if isinstance(o, dict) for value in list(o.values())
        ]
        yield from judged(self, held)


def judged(cheat: Cheat, objects: Any) -> Iterator[Any]:
    """What a heap of objects says about the truth; some, such as refused scenarios, say nothing."""
    for found in objects:
        with suppress(Exception):
            yield told_by(cheat, found)


def told_by(cheat: Cheat, found: Any) -> Any:
    kind = type(found).__name__
    if kind == "World":
        from privaudit.scenario.grid import cells_of

        return cheat.from_world(found, cells_of(found.scenario))
    if kind == "Scenario":
        return cheat.from_scenario(found.model_dump_json())
    if kind in ("Job", "RunFolder"):
        text = getattr(found, "scenario_json", None)
        return cheat.from_scenario(text or (found.path / "scenario.json").read_text())
    if isinstance(found, str) and found.startswith('{"name"') and '"audit"' in found:
        return cheat.from_scenario(found)
    if isinstance(found, np.ndarray) and (found.dtype, found.shape) == (bool, (cheat.rounds,)):
        return found
    return None


class Files(Cheat):
    """Scenarios and truths on disk: near the working folder, and wherever anything says a path."""

    name = "files"

    def candidates(self) -> Iterator[Any]:
        for text in self.scenarios():
            try:
                yield self.from_scenario(text)
            except Exception:
                continue

    def scenarios(self) -> Iterator[str]:
        for place in dict.fromkeys(self.places()):
            for pattern in (
                "scenario.json",
                *("*/" * depth + "scenario.json" for depth in (1, 2, 3)),
            ):
                try:
                    for file in Path(place).glob(pattern):
                        yield file.read_text()
                except OSError:
                    continue

    def places(self) -> Iterator[str]:
        """Every path that anything here names, and what lies above it."""
        words = [os.getcwd(), *sys.argv, *sys.path, *os.environ.values(), sys.executable]
        for process in (os.getpid(), *ancestors()):
            for name in ("cwd", "root", *(f"fd/{number}" for number in range(40))):
                with suppress(OSError):
                    words.append(os.readlink(f"/proc/{process}/{name}"))
            for name in ("cmdline", "environ"):
                with suppress(OSError):
                    words += Path(f"/proc/{process}/{name}").read_bytes().decode().split("\0")
        for word in words:
            for part in re.split(r"[=:]", word):
                if part.startswith("/"):
                    yield part
                    yield from (str(above) for above in list(Path(part).parents)[:-1])


class Commands(Cheat):
    """Reads how the run was called, and so its seed, off other processes; fails if it can."""

    name = "commands"

    def candidates(self) -> Iterator[Any]:
        for process in range(1, os.getpid()):
            with suppress(OSError):
                Path(f"/proc/{process}/cmdline").read_bytes()
                raise RuntimeError("command lines of other processes can be read")
        yield None


class Memory(Cheat):
    """Reads the memory of the processes above it, and searches it for the scenario."""

    name = "memory"

    def candidates(self) -> Iterator[Any]:
        for process in ancestors():
            with suppress(OSError):
                maps = Path(f"/proc/{process}/maps").read_text().splitlines()
                with open(f"/proc/{process}/mem", "rb", 0) as memory:
                    for text in scenarios_in(memory, maps):
                        yield self.from_scenario(text)


def ancestors() -> Iterator[int]:
    process = os.getppid()
    while process > 1:
        yield process
        try:
            status = Path(f"/proc/{process}/stat").read_text()
        except OSError:  # it may not even know who is above
            return
        process = int(status.rsplit(")")[-1].split()[1])


def scenarios_in(memory: Any, maps: list[str]) -> Iterator[str]:
    for line in maps:
        area, rights, *_ = line.split()
        start, end = (int(part, 16) for part in area.split("-"))
        if rights.startswith("rw") and end - start < 1 << 28:
            try:
                memory.seek(start)
                content = memory.read(end - start)
            except (OSError, ValueError, OverflowError):
                continue
            for match in re.finditer(rb'\{"name":"[a-z0-9-]+","title":', content):
                text = content[match.start() : match.start() + 20000].decode("utf-8", "replace")
                try:
                    yield json.dumps(json.JSONDecoder().raw_decode(text)[0])
                except ValueError:
                    continue
