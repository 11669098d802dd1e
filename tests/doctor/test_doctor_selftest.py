"""The self-test holds on the real machinery, and fails where that is rigged."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ledger_runs import run_command

from privaudit.attack.protocol import Attack, GameAttack
from privaudit.attack.registry import load_attack
from privaudit.randomness import Seed
from privaudit.selftest import audits as auditing
from privaudit.selftest import run as selftest
from privaudit.selftest.audits import Audited, Known, audits
from privaudit.selftest.checks import all_runs, at_least, at_most, failure, is_auc, is_found
from privaudit.selftest.members import KnownMembers, MemberRatio
from privaudit.selftest.world import KnownWorld, LikelihoodRatio
from privaudit.statistics.roc import mean_auc
from privaudit.statistics.runs import RunScores

QUICK = KnownWorld("quick", runs=1, rounds=8, shadows=2, records=400)


class Peeking(Attack):
    """Walks the frames of its process to the schedule, as trusted code could."""

    name, source = "peeking", "made up for this test"
    rounds = 0

    def partial_fit(self, observation, shadow, layout):  # type: ignore[no-untyped-def]
        self.rounds += 1
        return self

    def score(self) -> np.ndarray:
        present = next(
            frame.frame.f_locals["present"]
            for frame in inspect.stack()
            if isinstance(frame.frame.f_locals.get("present"), list)
        )
        noise = self.seed.generator("noise").standard_normal(self.rounds)
        return np.asarray(4.0 * np.array(present) + noise)


class Broken(Peeking):
    """Fails after the last round."""

    name = "broken"

    def score(self) -> np.ndarray:
        raise ZeroDivisionError("rigged\nto fail")


def of(world: Known, count: int, *attacks: type[GameAttack], seed: int = 1) -> list[Audited]:
    return list(audits(world, count, attacks, Seed(seed)))


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The small form of the self-test, through the command line."""
    import contextlib
    import io

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = run_command("doctor", "--self-test", "--audits", "20", "--workers", "1", "--json")
    found: dict[str, Any] = json.loads(printed.getvalue()) | {"code": code}
    return found


def test_the_machinery_measures_what_is_there(document: dict[str, Any]) -> None:
    failed = [check for check in document["checks"] if not check["holds"]]
    assert not failed
    assert document["holds"] is True
    assert document["code"] == 0


def test_every_check_says_what_it_expects(document: dict[str, Any]) -> None:
    fields = {"name", "expected", "measured", "n", "tolerance", "holds"}
    assert len(document["checks"]) == 31
    for check in document["checks"]:
        assert set(check) == fields
        assert all(check[field] != "" for field in fields)
    assert (document["audits"], document["seed"]) == (20, 1)
    by_name = {check["name"]: check for check in document["checks"]}
    starred = by_name["no leak, 2000 records: starred"]
    assert (starred["n"], starred["tolerance"]) == ("20 audits", "up to 19.6%")
    assert by_name["no leak, 220 records: starred"]["n"] == "4 audits"


def test_forty_audits_without_a_leak() -> None:
    """5 % of 40 is 2; three standard errors more are 6.1."""
    done = of(QUICK, 40, load_attack(selftest.CHEAP))
    starred, leaks, covered = selftest.null_checks(done, QUICK)
    assert leaks.measured == starred.measured
    assert (starred.n, starred.tolerance) == ("40 audits", "up to 15.3%")
    assert starred.holds, starred
    assert covered.holds, covered


def test_a_peeking_attack_turns_the_verdict_red() -> None:
    peeked = of(QUICK, 8, Peeking)
    starred, leaks, covered = selftest.null_checks(peeked, QUICK, Peeking.name)
    assert not starred.holds, starred
    assert not leaks.holds, leaks
    assert not covered.holds, covered


def test_an_attack_better_than_the_best_is_caught() -> None:
    weak = replace(QUICK, shift=0.1)
    runs = all_runs(of(weak, 6, Peeking), Peeking.name)
    assert not is_found("peeking", runs, weak.auc).holds


def test_an_attack_that_learns_nothing_is_caught() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(40) % 2 == 0
    runs = [RunScores(rng.standard_normal(40), labels) for _ in range(8)]
    assert not is_found("blind", runs, 0.75).holds


@pytest.fixture(scope="module")
def planted() -> tuple[KnownWorld, list[Audited]]:
    world = KnownWorld("planted", shift=0.9, shadows=2, rounds=30)
    return world, of(world, 6, LikelihoodRatio)


def test_a_wrong_closed_form_is_caught(planted: tuple[KnownWorld, list[Audited]]) -> None:
    """As if more or fewer honest clients were summed, or the shift were half as long."""
    world, done = planted
    *right, power = selftest.planted_checks(done, world)
    assert all(check.holds for check in right)
    assert power.holds
    for wrong in (
        replace(world, participants=2),
        replace(world, participants=9),
        replace(world, shift=world.shift / 2),
    ):
        auc, *_ = selftest.planted_checks(done, wrong)
        assert not auc.holds, wrong
    coverage = selftest.planted_checks(done, replace(world, shift=0.3))[1]
    assert not coverage.holds


@pytest.fixture(scope="module")
def asked() -> tuple[KnownMembers, list[Audited]]:
    world = KnownMembers("clear", runs=4)
    return world, of(world, 6, MemberRatio)


def test_a_wrong_closed_form_of_members_is_caught(
    asked: tuple[KnownMembers, list[Audited]],
) -> None:
    """As if more or fewer records were summed, or twice as many numbers were known of each."""
    world, done = asked
    assert all(check.holds for check in selftest.members_checks(done, world))
    for wrong in (
        replace(world, participants=2),
        replace(world, participants=9),
        replace(world, features=4 * world.features),
        replace(world, noise=world.candidates),
    ):
        auc, *_ = selftest.members_checks(done, wrong)
        assert not auc.holds, wrong


def test_members_that_are_told_where_none_can_be_are_caught(
    asked: tuple[KnownMembers, list[Audited]],
) -> None:
    _, done = asked
    drowned = selftest.strangers_checks(done, selftest.STRANGERS, MemberRatio.name)
    assert not any(check.holds for check in drowned)
    runs = all_runs(done, MemberRatio.name)
    assert not is_found("too good", runs, selftest.members_world().auc - 0.1).holds


def test_a_report_that_prints_something_else_is_caught(
    planted: tuple[KnownWorld, list[Audited]],
) -> None:
    world, done = planted

    def printed(old: str, new: str) -> list[bool]:
        changed = [replace(a, report=a.report.replace(old, new)) for a in done]
        assert changed != done
        return [check.holds for check in selftest.planted_checks(changed, world)]

    assert printed(r"\*", "")[2:4] == [False, False]  # no star, but a leak
    assert printed("- leak:", "- not told:")[3] is False
    assert printed("100 such audits", "90 such audits")[4] is False


def test_harmless_is_read_from_the_answer() -> None:
    world = replace(QUICK, smaller=(2,))
    for answer, called in (
        ("Single-round attacker: harmless with 1 to 2 honest clients: both 90 % limits", True),
        ("Single-round attacker, with up to 2 honest clients: not shown to be harmless", False),
    ):
        done = [Audited(harmless=answer)] * 20
        (wrongly,) = selftest.audible_checks(done, world)
        (rightly,) = selftest.hushed_checks(done, world)
        assert (wrongly.holds, rightly.holds) == (not called, called)


def test_a_leak_that_is_not_there_is_not_found() -> None:
    _, _, found, *_ = selftest.planted_checks(of(QUICK, 10, LikelihoodRatio), QUICK)
    assert not found.holds


def test_a_defence_that_does_nothing_is_caught(planted: tuple[KnownWorld, list[Audited]]) -> None:
    world, done = planted
    [check] = selftest.defended_checks(done, replace(world, noise=selftest.DEFENCE))
    assert not check.holds


def test_the_closed_form_of_a_noisy_federation() -> None:
    """Within 4.5 standard errors of it; those are largest where the AUC is 0.5."""
    world = KnownWorld("form", shift=1.2, noise=2.0, runs=3, rounds=60, shadows=2)
    runs = all_runs(of(world, 1, LikelihoodRatio), LikelihoodRatio.name)
    error = np.sqrt((60 + 1) / (12 * 30 * 30) / 3)
    assert world.auc > 0.8
    assert abs(mean_auc(runs) - world.auc) < 4.5 * error


def test_an_audit_that_fails_is_a_red_verdict_not_a_dropped_one() -> None:
    done = of(QUICK, 2, Broken)
    check = failure("null audits", done)
    assert check is not None
    assert not check.holds
    assert check.measured.startswith("2 failed; the first: ZeroDivisionError: rigged to fail (test")
    assert failure("null audits", of(QUICK, 1, Peeking)) is None


def test_a_failure_shows_in_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nowhere(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(auditing, "train_run", nowhere)
    assert run_command("doctor", "--self-test", "--audits", "20", "--workers", "1") == 1
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.count("FAILS") == 11
    assert "OSError: no space left" in printed.out


def test_the_same_seed_gives_the_same_numbers_on_two_processes() -> None:
    alone = of(QUICK, 2, LikelihoodRatio)
    together = list(audits(QUICK, 2, [LikelihoodRatio], Seed(1), workers=2))
    other = of(QUICK, 2, LikelihoodRatio, seed=2)

    def scores(done: Sequence[Audited]) -> bytes:
        return b"".join(r.scores.tobytes() for r in all_runs(done, LikelihoodRatio.name))

    assert scores(alone) == scores(together)
    assert scores(alone) != scores(other)
    assert len({a.runs[LikelihoodRatio.name][0].scores.tobytes() for a in alone}) == 2


@pytest.mark.parametrize(
    ("check", "hits", "holds"),
    [(at_most, 19, True), (at_most, 20, False), (at_least, 181, True), (at_least, 180, False)],
)
def test_tolerances_are_three_standard_errors(
    check: Callable[..., Any], hits: int, holds: bool
) -> None:
    """5 % of 200 is 10, one standard error 3.08: at most 19.2; 95 % is 190: at least 180.8."""
    share = 0.05 if check is at_most else 0.95
    assert check("x", [True] * hits + [False] * (200 - hits), share).holds is holds


def test_the_interval_over_all_runs_is_as_wide_as_the_others() -> None:
    labels = np.arange(40) % 2 == 0
    rng = np.random.default_rng(2)
    runs = [RunScores(rng.standard_normal(40) + labels, labels) for _ in range(10)]
    check = is_auc("x", runs, 0.76)
    assert check.holds
    assert check.tolerance.startswith("99.7% interval ")
    assert not is_auc("x", runs, 0.5).holds


def test_an_attack_that_reads_means_alone_is_far_from_the_best_at_a_spread() -> None:
    world = selftest.SPREAD
    done = of(world, 1, selftest.BestAtSpread, load_attack(selftest.CHEAP))
    (found,) = selftest.spread_checks(done, world, selftest.CHEAP)
    assert not found.holds, found
    assert all_runs(done, "optimum")[0].scores.std() > 0
