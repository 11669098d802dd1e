"""``privaudit canaries``: through the federation of a scenario, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from html_check import read_page
from ledger_runs import SMALL, run_command
from refusals import refused

from privaudit.accounting.gaussian import epsilon_at
from privaudit.canaries.words import in_words
from privaudit.custody.folder import RunFolder
from privaudit.experiment.executors.here import Here
from privaudit.scenario.load import load_scenario
from privaudit.scenario.schema import Scenario
from privaudit.studies.canaries import Asked, expected, measure_canaries
from privaudit.studies.canaries_report import write_canaries

SETTINGS = [
    *SMALL,
    "federation.clip_norm=0.2",
    "federation.protocol=fedsgd",
    "federation.momentum=0",
]
NOISE = "federation.noise=0.5"
"""The multiplier is 2.5 for a server and 5 for a participant of 5, over 2 rounds."""


def arguments(*more: str, settings: tuple[str, ...] = (NOISE,)) -> list[str]:
    given = [f"--set={setting}" for setting in (*SETTINGS, *settings)]
    return ["canaries", "quickstart", *given, "--workers=1", *more]


LOCAL_DP = '{kind="flower-local-dp",clipping_norm=1.0,sensitivity=1.0,epsilon=1.0,delta=0.1}'


def behind(step: str) -> list[str]:
    """Settings of a training that clips, and then does this."""
    return [
        "federation.clip_norm=null",
        "federation.noise=0.0",
        f'defences.x=[{{kind="clip",bound=0.2}},{step}]',
        "federation.defence=x",
    ]


def noisy(*settings: str) -> Scenario:
    return load_scenario("quickstart", [*SETTINGS, *settings])


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("canaries") / "run"
    measure_canaries(noisy(NOISE), folder, workers=1)
    write_canaries(RunFolder(folder))
    return folder


def readers(folder: Path) -> dict[str, dict[str, Any]]:
    found = json.loads((folder / "report" / "canaries.json").read_text())
    return {one["view"]: one for one in found}


def test_both_readers_find_what_the_settings_promise(audited: Path) -> None:
    found = readers(audited)
    assert [one["claim"] for one in found.values()] == ["simulated noise"] * 2
    assert found["participant"]["claimed_epsilon"] == pytest.approx(epsilon_at(2**0.5 / 5, 1e-5))
    assert found["server"]["claimed_epsilon"] == pytest.approx(epsilon_at(2**0.5 / 2.5, 1e-5))
    for one in found.values():
        assert one["mu"]["low"] <= one["mu"]["value"] <= one["mu"]["high"]
        assert one["epsilon"]["low"] <= one["claimed_epsilon"] <= one["epsilon"]["high"]
        assert one["bound"] <= one["claimed_epsilon"] < one["ceiling"]
        assert one["came"]["low"] <= 1 <= one["came"]["high"]
        assert one["verdict"] == "consistent"
        assert one["cap"] <= one["claimed_epsilon"]


def test_the_report_is_that_of_the_records(
    audited: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = audited / "report" / "index.html"
    before = page.read_bytes()
    assert read_page(before.decode()).problems == []
    assert run_command("report", str(audited)) == 0
    assert page.read_bytes() == before
    for form in ("github", "csv", "json", "html", "latex", "markdown"):
        assert run_command("table", str(audited), "--format", form) == 0
    printed = capsys.readouterr().out
    assert "No audit shows that a claim holds" in printed
    assert "an audit by canaries, no run" in refused(
        capsys, "verify", str(audited), unchanged=audited
    )


def test_as_typed_a_claim_of_four_times_the_noise_is_refuted(
    audited: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command that the report says makes it again, but for the claim."""
    told = (audited / "report" / "canaries.md").read_text().split("    privaudit ")[-1]
    words = told.splitlines()[0].replace("RUN", str(audited)).split()
    out = tmp_path / "run"
    more = ["--claimed-epsilon=0.5", "--json", "--gate", "--out", str(out), "--workers=2"]
    assert run_command(*words, *more) == 1
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    found = document["readers"]
    assert document["gate"]["outcome"] == "found"
    assert printed.err == f"gate: {document['gate']['line'].rstrip('.')}\n"
    server = found[1]
    assert (server["verdict"], server["claim"], server["found"]) == ("refuted", "stated", True)
    before, after = (
        [json.loads(line) for line in (folder / "canaries.jsonl").read_text().splitlines()]
        for folder in (audited, out)
    )
    assert [one["scores"] for one in after] == [one["scores"] for one in before]


def test_without_noise_nothing_is_claimed(tmp_path: Path) -> None:
    (found,) = measure_canaries(noisy(), tmp_path / "run", Asked(views=("participant",)), workers=1)
    assert found.verdict == "nothing claimed"
    assert "nothing is claimed (no noise is added: ε is infinite), so nothing" in in_words([found])


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert run_command(*arguments("--dry-run", "--out", str(out))) == 0
    printed = capsys.readouterr().out
    assert "1,000 canaries of" in printed
    assert "participant: " in printed
    assert not out.exists()


@pytest.mark.parametrize(
    ("settings", "given", "message"),
    [
        (["federation.clip_norm=null"], [], "nothing bounds what one client adds to a round"),
        ([], ["--claimed-epsilon=2"], "claimed at which δ"),
        ([], ["--delta=0.2"], "is not below 1/n for n = 5 clients"),
        ([], ["--canaries=5"], "must be 20 to 1,000,000, got 5"),
        ([], ["--guesses=2000"], "2000 guesses about 1000 canaries"),
        ([], ["--claimed-epsilon=9", "--delta=1e-5"], "can exceed ε = 5.78"),
        ([], ["--view=serverr"], "did you mean 'server'"),
        (["federation.rounds=0"], [], "give --rounds 10"),
        (["federation.norm_bound=0.1"], [], "refuses every canary"),
        ([], ["--rounds=0"], "--rounds"),
        (behind('{kind="secure-aggregation"}'), ["--view=server"], "use --view participant"),
        (
            behind('{kind="sign"},{kind="clip",bound=0.2}'),
            [],
            "keeps something from round to round",
        ),
        (
            behind(f'{LOCAL_DP},{{kind="clip",bound=0.2}}'),
            [],
            "name clipping and noise as steps of their own",
        ),
    ],
)
def test_one_line_for_what_cannot_be_asked(
    settings: list[str],
    given: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = arguments(*given, settings=(NOISE, *settings))
    assert message in refused(capsys, *asked, unchanged=tmp_path)


def test_a_server_that_sees_sums_is_no_reader() -> None:
    made = noisy(*behind('{kind="secure-aggregation"}'))
    assert Asked().resolved(made).views == ("participant",)
    assert Asked().resolved(noisy(NOISE)).views == ("participant", "server")


@pytest.mark.parametrize(
    ("settings", "claim"),
    [
        (["federation.protocol=fedavg", "federation.adversary_share=0.5"], "unequal weights"),
        (
            ["federation.sharing_rule=random", "federation.shared_fraction=0.5"],
            "comes after the noise",
        ),
        (["federation.norm_bound=100.0"], "a refused delta changes the divisor"),
    ],
)
def test_nothing_is_claimed_where_a_condition_fails(settings: list[str], claim: str) -> None:
    asked = Asked(views=("participant", "server"))
    found = expected(noisy(NOISE, *settings), Path("nowhere"), asked, executor=Here())
    participant, server = found["readers"]
    assert participant["claimed_epsilon"] is None
    assert claim in participant["claim"]
    assert server["claimed_epsilon"] > 0
