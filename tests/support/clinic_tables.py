"""One table in the many ways in which people write it: the inputs that once went wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

RECORDS = 3000


def clinic() -> pd.DataFrame:
    """Numbers, a property that moves them, and an outcome."""
    rng = np.random.default_rng(7)
    smokes = rng.random(RECORDS) < 0.4
    age = rng.normal(55, 12, RECORDS)
    weight = rng.normal(76, 11, RECORDS) - 5 * smokes
    pulse = rng.normal(70, 9, RECORDS) + 9 * smokes
    ill = age / 12 + pulse / 9 + rng.normal(0, 1.2, RECORDS) > 12.6
    return pd.DataFrame(
        {
            "age": age.round(1),
            "weight": weight.round(1),
            "pulse": pulse.round(),
            "smokes": np.where(smokes, "yes", "no"),
            "outcome": np.where(ill, "ill", "well"),
        }
    )


def write_tables(folder: Path) -> None:
    """``clinic.csv`` and its relatives, one fault or habit each."""
    frame, rng = clinic(), np.random.default_rng(8)
    smokes = frame["smokes"] == "yes"
    frame.to_csv(folder / "clinic.csv", index=False)
    text = (folder / "clinic.csv").read_text()

    def save(name: str, **how: object) -> None:
        frame.to_csv(folder / f"{name}.csv", index=False, **how)  # type: ignore[call-overload]

    def changed(name: str, **columns: object) -> None:
        frame.assign(**columns).to_csv(folder / f"{name}.csv", index=False, na_rep="NA")

    changed("na_prop", smokes=frame["smokes"].mask(rng.random(RECORDS) < 0.3))
    changed("float_prop", smokes=smokes.astype(float).mask(rng.random(RECORDS) < 0.2))
    changed("bool", smokes=smokes)
    changed("race", race=rng.choice(list("abcde"), RECORDS, p=[0.6, 0.2, 0.1, 0.07, 0.03]))
    bmi = pd.Series(rng.normal(25, 4, RECORDS).round(1).astype(str))
    bmi[17] = "24.1kg"
    changed("typo", bmi=bmi)
    changed("job", job=rng.choice([1131, 2010, 4850, 9130, 10, 3255] * 3, RECORDS))
    changed("ids", patient=rng.permutation(RECORDS) + 5, code=[f"p{i}" for i in range(RECORDS)])
    changed("dates", seen=pd.date_range("2020-01-01", periods=700).astype(str)[smokes * 1 + 5])
    changed("remarks", said=[f"word{i % 700} again" for i in range(RECORDS)])
    save("decimal", sep=";", decimal=",")
    save("utf16", encoding="utf-16")
    (folder / "latin1.csv").write_bytes(text.replace("ill", "krank\u00e9").encode("latin-1"))
    (folder / "spaces.csv").write_text(text.replace(",", ", "))
    (folder / "sep.csv").write_text(f"sep=,\n{text}")
    (folder / "trail.csv").write_text(text.replace("\n", ",\n"))
    windows = text.replace("\n", "\r\n").encode("utf-8-sig")
    (folder / "bomcrlf.csv").write_bytes(windows)
