"""What a dilution measurement found: a curve per attack, and which of two attacks is ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path

from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError
from privaudit.evaluation.rebuilt_cells import RebuiltCell, rebuilt_cells
from privaudit.evaluation.records import Record, colluders_in, parse_records, with_scores
from privaudit.experiment.training import parameters_sent, training_rows
from privaudit.randomness import Seed
from privaudit.scenario.grid import how_sent
from privaudit.scenario.schema import PROPERTY, Scenario
from privaudit.statistics.dilution import DilutionFit, DilutionPoint, fit_dilution
from privaudit.statistics.harmless import HarmlessAnswer, harmless_from
from privaudit.statistics.intervals import Interval, auc_interval
from privaudit.statistics.laws import MOMENT_LAW, POWER_LAW
from privaudit.statistics.paired import Difference, auc_difference
from privaudit.statistics.runs import RunScores, complete_pairs, whole_run
from privaudit.statistics.told import (
    Design,
    adjusted,
    against_chance,
    design_of,
    is_told,
    smallest_told,
)
from privaudit.studies.dilution import ALL_ROUNDS, FOLDERS, Attacker, plans_of
from privaudit.studies.dilution_prices import PricePoint, price_points


@dataclass(frozen=True)
class PointTest:
    """Of "the AUC is above 0.5" at one number of honest clients, and of "it is below".

    Attributes:
        p_value: of the first.
        q_value: the same, adjusted over all points of the attacker.
        p_below: of the second.
        q_below: likewise.
    """

    p_value: float
    q_value: float | None
    p_below: float
    q_below: float | None

    @property
    def told(self) -> bool:
        """Whether the attack is told from chance."""
        return is_told(self.q_value)

    @property
    def wrong_way(self) -> bool:
        """Whether it is, with scores turned round."""
        return is_told(self.q_below)


@dataclass(frozen=True)
class Curve:
    """One attack on one property at several numbers of honest clients.

    Attributes:
        attacker: ``single-round`` or ``whole-run``; ``all-rounds`` in a game that has no other.
        rounds: rounds the attacker decides from.
        runs: federation runs per number of participants.
        honest: their numbers, increasing: K less the adversary and who colludes with it.
        participants: K of each.
        aucs: AUC with interval at each.
        tests: against chance at each.
        detectable: smallest AUC that would have been told from 0.5 at every number of clients (80 %
            power), if one point alone leaked of all that are adjusted together; None where at one
            nothing would have been.
        detectable_if_all: the same if all of them did.
        power: fit of d' = d'(n0) (n / n0)^exponent; None with fewer than two points, and where the
            attack is not told from chance with the fewest clients: nothing is there to fade.
        moment: fit of the law of an attacker who learns from simulated aggregates, likewise.
        answer: from how many honest clients on the attacker is equivalent to a blind guess.
        failures: reasons of cells without scores.
        scores: number of honest clients -> run -> what the AUC is computed of.
    """

    attacker: Attacker
    property: str
    attack: str
    rule: str
    fraction: float
    rounds: int
    runs: int
    honest: tuple[int, ...]
    participants: tuple[int, ...]
    aucs: tuple[Interval, ...]
    tests: tuple[PointTest, ...]
    detectable: float | None
    detectable_if_all: float | None
    power: DilutionFit | None
    moment: DilutionFit | None
    answer: HarmlessAnswer | None
    failures: tuple[str, ...]
    scores: Mapping[int, Mapping[int, RunScores]]

    @cached_property
    def paired(self) -> bool:
        """Whether each federation was audited with the property and without it."""
        return any(run.pair is not None for of in self.scores.values() for run in of.values())

    @cached_property
    def share(self) -> str:
        """How much is shared, and by which rule if not all."""
        rule = "" if self.rule == "all" else f" ({self.rule})"
        return f"{100 * self.fraction:g} %{rule}"


@dataclass(frozen=True)
class Order:
    """Which of two attacks on the same property is ahead, over all numbers of honest clients.

    Attributes:
        ahead: the attack with the higher mean AUC.
        behind: the other.
        difference: of their AUCs, at a level corrected for the pairs of attacks of the curve; None
            where there are too few runs.
    """

    attacker: Attacker
    property: str
    share: str
    ahead: str
    behind: str
    difference: Difference | None

    @cached_property
    def told(self) -> bool:
        """Whether that is more than chance."""
        return self.difference is not None and self.difference.ordered


def check_harmless_threshold(threshold: float) -> None:
    """Refuse a threshold outside (0.5, 1], before anything runs."""
    if not 0.5 < threshold <= 1.0:
        raise UserError(
            f"threshold must be in (0.5, 1], got {threshold:g}",
            where="--threshold",
            remedy="0.5 is a blind guess: no interval lies below it",
        )


@dataclass(frozen=True)
class Dilution:
    """What a measurement found.

    Attributes:
        scenario: of the run that has every game in it.
        curves: one per attack of games with an AUC.
        rebuilt: cells of the game reconstruction.
        prices: what defences cost the main task; empty where there are none.
    """

    scenario: Scenario
    curves: Sequence[Curve]
    rebuilt: Sequence[RebuiltCell]
    prices: Sequence[PricePoint] = ()


def read_dilution(out: Path, *, threshold: float) -> Dilution:
    """A measurement, from its records alone.

    Raises:
        UserError: ``threshold`` outside (0.5, 1], or no records there.
    """
    records = _single_round(out)
    cells = rebuilt_cells(records)
    curves = dilution_curves(out, threshold=threshold, needed=not cells)
    scenario = plans_of(out)["single-round"]
    defended = any(record.defence for record in records)
    prices = price_points(records, _parameters(out, scenario)) if defended else []
    return Dilution(scenario, curves, cells, prices)


def _single_round(out: Path) -> list[Record]:
    """Records of the run that has every game in it; empty where there are none."""
    path = out / FOLDERS["single-round"]
    if not (path / "records.jsonl").is_file():
        return []
    folder = RunFolder.open(path)
    where = str(folder.file("records.jsonl"))
    return parse_records(folder.read_lines("records.jsonl"), where=where)


def _parameters(out: Path, scenario: Scenario) -> int:
    """Of the model; 0 where nobody trained before the audit."""
    folder = RunFolder.open(out / FOLDERS["single-round"])
    return parameters_sent(training_rows(folder, scenario.runs))


def dilution_curves(out: Path, *, threshold: float, needed: bool = True) -> list[Curve]:
    """Every curve of a measurement, from its records alone.

    Raises:
        UserError: ``threshold`` outside (0.5, 1], or no records there.
    """
    check_harmless_threshold(threshold)
    curves: list[Curve] = []
    for attacker, name in FOLDERS.items():
        if not (out / name / "records.jsonl").is_file():
            continue
        folder = RunFolder.open(out / name)
        rows = folder.read_lines("records.jsonl")
        records = parse_records(rows, where=str(folder.file("records.jsonl")))
        records = [record for record in records if not record.is_rebuilding]
        curves += _curves(records, attacker, threshold)
    if not curves and needed:
        raise UserError("no dilution measurement here", where=str(out))
    return curves


@dataclass(frozen=True)
class _Measured:
    """One attack, property and share with one number of participants.

    Attributes:
        runs: run -> what the AUC is computed of.
        design: what a test of them has to work with.
        above: p-value of "the AUC is above 0.5".
        below: of "it is below".
    """

    runs: Mapping[int, RunScores]
    design: Design
    above: float
    below: float


def _curves(records: Sequence[Record], attacker: Attacker, threshold: float) -> list[Curve]:
    """A point is told from chance among all points of the attacker (Benjamini-Hochberg)."""
    groups: dict[tuple[str, str, str, float], list[Record]] = {}
    for record in records:
        sent = how_sent(record.rule, record.defence)
        key = (record.property, record.attack, sent, record.fraction)
        groups.setdefault(key, []).append(record)
    points = {
        (key, participants): _measured(group, participants, attacker)
        for key, group in groups.items()
        for participants in sorted({record.participants for record in group})
    }
    found = {at: point for at, point in points.items() if point}
    above = dict(zip(found, adjusted([p.above for p in found.values()]), strict=True))
    below = dict(zip(found, adjusted([p.below for p in found.values()]), strict=True))
    curves = []
    for key, group in groups.items():
        own = {k: point for (of, k), point in found.items() if of == key}
        tests = {
            k: PointTest(point.above, above[key, k], point.below, below[key, k])
            for k, point in own.items()
        }
        curves.append(_curve(group, attacker, threshold, own, tests, len(found)))
    return curves


def _measured(records: Sequence[Record], participants: int, attacker: Attacker) -> _Measured | None:
    good = with_scores(r for r in records if r.participants == participants)
    if not good:
        return None
    runs = [record.run_scores() for record in good]
    rounds = runs[0].n_rounds
    if attacker == "whole-run":
        runs = whole_run(runs)
    design = design_of(runs, [r.held() for r in good], rounds=rounds)
    seed = Seed(good[0].seed).child(
        "dilution", attacker, good[0].property, good[0].attack, repr(good[0].fraction)
    )
    turned = [replace(run, scores=-run.scores) for run in runs]
    above, below = (
        against_chance(made, design, seed.generator(way, good[0].rule, participants)).p_value
        for way, made in (("above", runs), ("below", turned))
    )
    return _Measured(dict(zip((r.run for r in good), runs, strict=True)), design, above, below)


def _curve(
    records: Sequence[Record],
    attacker: Attacker,
    threshold: float,
    measured: Mapping[int, _Measured],
    tests: Mapping[int, PointTest],
    cells: int,
) -> Curve:
    """``cells``: how many points of the attacker are adjusted together."""
    points = [
        DilutionPoint(
            k - 1 - colluders_in(records[0].configuration, k),
            tuple(point.runs.values()),
            **point.design.pools,
            told=tests[k].told,
            wrong_way=tests[k].wrong_way,
        )
        for k, point in measured.items()
    ]
    fits = len(points) > 1 and bool(points[0].told)
    first = records[0]
    configuration, by_round = first.configuration, first.game == PROPERTY
    listened = configuration["audit" if by_round else "federation"]["rounds"]
    rounds = 1 if by_round and attacker == "single-round" else listened
    return Curve(
        attacker=attacker if by_round else ALL_ROUNDS,
        property=first.property,
        attack=first.attack,
        rule=how_sent(first.rule, first.defence),
        fraction=first.fraction,
        rounds=rounds,
        runs=first.configuration["runs"],
        honest=tuple(point.honest for point in points),
        participants=tuple(measured),
        aucs=tuple(
            auc_interval(point.runs, tau=point.tau, overlap=point.overlap) for point in points
        ),
        tests=tuple(tests.values()),
        detectable=_least_told(measured, cells),
        detectable_if_all=_least_told(measured, 1),
        power=fit_dilution(points, POWER_LAW) if fits else None,
        moment=fit_dilution(points, MOMENT_LAW) if fits else None,
        answer=harmless_from(points, threshold=threshold) if len(points) > 1 else None,
        failures=tuple(r.reason for r in records if r.status == "failed"),
        scores={point.honest: m.runs for point, m in zip(points, measured.values(), strict=True)},
    )


def _least_told(measured: Mapping[int, _Measured], cells: int) -> float | None:
    """What would have been told at every number of clients; None where at one nothing would."""
    limits = [smallest_told(point.design, cells=cells) for point in measured.values()]
    known = [limit for limit in limits if limit is not None]
    return max(known) if known and len(known) == len(limits) else None


def orders(curves: Sequence[Curve]) -> list[Order]:
    """Each pair of attacks of one attacker, property and share, compared on the runs of both."""
    groups: dict[tuple[str, str, str], list[Curve]] = {}
    for curve in curves:
        groups.setdefault((curve.attacker, curve.property, curve.share), []).append(curve)
    found = []
    for group in groups.values():
        pairs = list(combinations(group, 2))
        found += [_order(a, b, level=1 - 0.05 / len(pairs)) for a, b in pairs]
    return found


def _order(first: Curve, second: Curve, *, level: float) -> Order:
    """Runs that failed for one of the two, at any number of clients, are left out."""
    honest = [n for n in first.honest if n in second.honest]
    common = [
        run
        for run in (first.scores[honest[0]] if honest else {})
        if all(run in curve.scores[n] for curve in (first, second) for n in honest)
    ]
    if common:
        whole = complete_pairs([first.scores[honest[0]][run] for run in common])
        common = [run for run in common if first.scores[honest[0]][run] in whole]
    ahead, behind, difference = first, second, None
    if common and (first.attacker != "whole-run" or _both_states(first, honest, common)):
        settings = [[(first.scores[n][r], second.scores[n][r]) for r in common] for n in honest]
        difference = auc_difference(settings, level=level)
        if difference is not None and difference.value < 0:
            ahead, behind, difference = second, first, difference.turned
    return Order(
        attacker=first.attacker,
        property=first.property,
        share=first.share,
        ahead=ahead.attack,
        behind=behind.attack,
        difference=difference,
    )


def _both_states(curve: Curve, honest: Sequence[int], runs: Sequence[int]) -> bool:
    """Whether runs with and without the property are left at each number of clients."""
    return all(len({bool(curve.scores[n][run].present[0]) for run in runs}) == 2 for n in honest)
