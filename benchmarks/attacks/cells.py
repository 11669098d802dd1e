"""The list of cells over which two attacks are compared: ``compare.py --cells`` runs them all.

    python benchmarks/attacks/cells.py           # prints the list

A cell is a scenario, a property, a shared fraction and a number of participants. Tables are drawn
here (:func:`write_tables`) or come from ``--data-dir``; images of glyphs are made by the package.
The list was fixed before the runs that are reported. Some of its scenarios were explored while the
attack was made, with other seeds, so with other deals, weights and rounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Table = dict[str, Any]

SEEDS, ROUNDS = (20_261_203, 20_261_204, 20_261_205, 20_261_206), 60
"""A federation of each. Written down when the attack was finished, before any of them was run. (Of
20261129, 20261130, 20261201 and 20261202 cells that were behind were looked at, and the attack was
changed for adversaries of few records, on yet other seeds.)"""
ALL, SOME, ENDS = [2, 5, 17], [2, 5], [0.1, 1.0]


def federations(folder: Path, seeds: Sequence[int] = SEEDS) -> Iterator[tuple[Path, Table]]:
    """Every scenario as a table, with each of the seeds, and where in the folder its run lies."""
    for seed in seeds:
        for made in scenarios(folder):
            yield folder / str(seed) / made["name"], made | {"seed": seed}


def scenarios(folder: Path) -> Iterator[Table]:
    """Every scenario, without a seed; those of generated tables read them in ``folder``."""
    clinic, credit = clinic_data(folder), credit_data(folder)
    for rounds in (5, 40):  # few clients, who hold more
        made = table("clinic-few", clinic, rounds, ["smoker"], SOME, [0.1, 0.5, 1.0])
        yield _changed(made, "batch-32", audit={"batch_size": 32})
    for rounds in (0, 5, 40):
        yield table("clinic", clinic, rounds, ["smoker"], ALL, [0.1, 0.5, 1.0], hidden=[32])
    yield table("credit", credit, 10, ["old"], ALL, [0.1, 1.0])
    yield table("credit-long", credit, 40, ["old"], ALL, [0.1, 1.0])
    adult = {"name": "adult"}
    for rounds in (0, 5, 20):
        yield table("income", adult, rounds, ["sex", "race"], ALL, ENDS, batch=64)
    acs = {"name": "acs-income", "records": 30_000}
    for rounds in (0, 20):
        yield table("acs", acs, rounds, ["sex", "nonwhite", "married"], ALL, ENDS, batch=64)
    # Everybody may hold the property.
    yield natural(table("clinic", clinic, 5, ["smoker"], ALL, ENDS, hidden=[32]))
    yield natural(table("income", adult, 5, ["sex", "race"], [5, 17], ENDS, batch=64))
    yield natural(glyphs(5, ["bold"], [5], ENDS))
    # Several local steps a round.
    yield local_steps(table("clinic", clinic, 5, ["smoker"], ALL, ENDS, hidden=[32]))
    yield local_steps(table("income", adult, 5, ["sex"], ALL, ENDS, batch=64))
    # Clients that are groups: states, wards, writers, authors.
    states = {"name": "acs-income", "records": 60_000}
    yield by_group(table("acs-states", states, 5, ["nonwhite", "married"], [2, 5], ENDS))
    yield by_group(table("clinic-wards", clinic, 5, ["smoker"], [2, 5], ENDS, hidden=[32]))
    yield writers()
    for rounds in (0, 5):
        yield reviews(rounds)
    # Images.
    for rounds in (0, 8):
        yield glyphs(rounds, ["bold", "serif"], ALL, ENDS)
    yield rows_of_glyphs()
    # Defences, and uneven clients.
    yield defended(table("income", adult, 5, ["sex"], ALL, [1.0], batch=64))
    yield dirichlet(table("income", adult, 5, ["sex", "race"], SOME, ENDS, batch=64))
    yield server(table("clinic", clinic, 5, ["smoker"], [5, 17], ENDS, hidden=[32]))


def table(
    name: str,
    data: Table,
    rounds: int,
    properties: list[str],
    participants: list[int],
    fractions: list[float],
    *,
    hidden: list[int] | None = None,
    batch: int = 32,
) -> Table:
    """A network on a table."""
    return {
        "name": f"{name}-after-{rounds}",
        "runs": 1,
        "data": data,
        "model": {"name": "mlp", "hidden": hidden or [64, 32]},
        "federation": {
            "participants": 5,
            "rounds": rounds,
            "lr": 0.05,
            "momentum": 0.9,
            "batch_size": batch,
        },
        "audit": {
            "properties": properties,
            "participants": participants,
            "fractions": fractions,
            "rounds": ROUNDS,
            "batch_size": 16 if name.startswith("clinic") else 32,
            "attacks": ["melis-rf", "magnitude-stack"],
            "keep_traces": False,
        },
        "ledger": {"enabled": False},
    }


def glyphs(
    rounds: int, properties: list[str], participants: list[int], fractions: list[float]
) -> Table:
    """The convolutional network of the quickstart."""
    made = table("glyphs", {"name": "glyphs"}, rounds, properties, participants, fractions)
    made["model"] = {"name": "cnn", "channels": [8, 16], "hidden": 32}
    made["audit"]["rounds"] = 45
    return made


def rows_of_glyphs() -> Table:
    """Images as rows of numbers, long trained."""
    made = glyphs(20, ["italic"], ALL, ENDS)
    return made | {"name": "glyph-rows-after-20", "model": {"name": "mlp", "hidden": [32]}}


def writers() -> Table:
    """Digits, every client with its own writers."""
    made = glyphs(2, ["student"], [2, 5], ENDS)
    made |= {"name": "writers-after-2", "data": {"name": "mnist-writers"}}
    made["federation"] |= {"partition": "by-group", "adversary_share": 0.2, "target_share": 0.1}
    return made


def reviews(rounds: int) -> Table:
    """Texts, every client with its own authors; a network with dropout."""
    made = table("reviews", {"name": "csi"}, rounds, ["gender", "veracity"], [2], ENDS)
    made["data"] |= {"text": "text", "vocabulary": 2000, "length": 300, "task": "sentiment"}
    made["model"] = {
        "name": "text-cnn",
        "embedding": 32,
        "widths": [3, 4, 5],
        "filters": 32,
        "dropout": 0.5,
    }
    made["federation"] |= {"participants": 2, "partition": "by-group", "batch_size": 12}
    made["audit"] |= {"batch_size": 12, "rounds": 40}
    return made


def natural(made: Table) -> Table:
    """Bystanders hold the property as they happen to."""
    return _changed(made, "natural", audit={"others": "natural"})


def local_steps(made: Table) -> Table:
    """Four steps with momentum before a client sends."""
    steps = {"protocol": "fedavg", "local_steps": 4, "momentum": 0.5, "batch_size": 8}
    return _changed(made, "local-steps", audit=steps)


def by_group(made: Table) -> Table:
    """Whole groups are dealt."""
    return _changed(made, "by-group", federation={"partition": "by-group"})


def dirichlet(made: Table) -> Table:
    """Classes are dealt unevenly."""
    return _changed(
        made, "dirichlet", federation={"partition": "dirichlet", "dirichlet_alpha": 0.5}
    )


def defended(made: Table) -> Table:
    """Clipping, and noise a few times smaller than a delta."""
    return _changed(made, "defended", federation={"clip_norm": 0.05, "noise": 3e-4})


def server(made: Table) -> Table:
    """The server listens."""
    return _changed(made, "server", audit={"threat_model": "server"})


def _changed(made: Table, how: str, **sections: Table) -> Table:
    other = deepcopy(made)
    other["name"] = f"{made['name']}-{how}"
    for section, changes in sections.items():
        other[section] |= changes
    return other


def clinic_data(folder: Path) -> Table:
    """Three numbers; who smokes has another pulse and weight."""
    return {
        "name": "csv",
        "path": str(folder / "clinic.csv"),
        "label": "outcome",
        "group": "ward",
        "properties": {"smoker": {"column": "smokes", "present": "yes"}},
    }


def credit_data(folder: Path) -> Table:
    """Numbers and categories; age is none of the inputs, but much depends on it."""
    return {
        "name": "csv",
        "path": str(folder / "credit.csv"),
        "label": "repaid",
        "properties": {"old": {"column": "age", "present": "> 50"}},
    }


def write_tables(folder: Path) -> None:
    """The tables that are drawn: ``clinic.csv`` and ``credit.csv``."""
    rng = np.random.default_rng(7)
    n = 3000
    smokes = rng.random(n) < 0.4
    age = rng.normal(55, 12, n)
    weight = rng.normal(76, 11, n) - 5 * smokes
    pulse = rng.normal(70, 9, n) + 9 * smokes
    ill = age / 12 + pulse / 9 + rng.normal(0, 1.2, n) > 12.6
    clinic = {
        "age": age.round(1),
        "weight": weight.round(1),
        "pulse": pulse.round(),
        "smokes": np.where(smokes, "yes", "no"),
        "outcome": np.where(ill, "ill", "well"),
        "ward": rng.integers(6, size=n).astype(str),
    }
    pd.DataFrame(clinic).to_csv(folder / "clinic.csv", index=False)
    n = 6000
    age = rng.normal(44, 13, n).clip(18, 90)
    job = rng.choice(["office", "shop", "plant", "none"], n, p=[0.4, 0.3, 0.2, 0.1])
    job[(age > 62) & (rng.random(n) < 0.5)] = "pension"
    income = np.exp(rng.normal(7.6 + 0.006 * (age - 44), 0.4, n))
    loan = np.exp(rng.normal(8.4 - 0.008 * (age - 44), 0.7, n))
    home = np.where(rng.random(n) < 0.2 + 0.01 * (age - 18), "own", "rent")
    good = np.log(income) - 0.5 * np.log(loan) + 0.3 * (home == "own") + rng.normal(0, 0.5, n) > 3.4
    credit = {
        "age": age.round(),
        "job": job,
        "income": income.round(),
        "loan": loan.round(),
        "home": home,
        "repaid": np.where(good, "yes", "no"),
    }
    pd.DataFrame(credit).to_csv(folder / "credit.csv", index=False)


def main() -> None:
    total = 0
    for made in scenarios(Path()):
        audit = made["audit"]
        sizes = [len(audit[key]) for key in ("properties", "fractions", "participants")]
        total += int(np.prod(sizes))
        print(
            f"{made['name']}: {', '.join(audit['properties'])} x {audit['fractions']} shared "
            f"x K = {audit['participants']}: {int(np.prod(sizes))} cells"
        )
    print(f"{total} cells, {len(SEEDS)} federations each")


if __name__ == "__main__":
    main()
