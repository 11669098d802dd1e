"""The time left, by a clock of the test's own."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.experiment.tasks import Outcome, work_of_cells
from privaudit.progress import Forecast, Work
from privaudit.scenario.grid import groups_of, work_of
from privaudit.scenario.load import load_scenario

WITHIN = 1.5
"""Factor by which the time left may be wrong, after a tenth of the work."""


def finishing(seconds: list[float], workers: int) -> Iterator[tuple[int, float]]:
    """(Task, when it is done) where each worker takes the next as soon as it is free."""
    free = [0.0] * workers
    ends = []
    for number, takes in enumerate(seconds):
        begun = heapq.heappop(free)
        heapq.heappush(free, begun + takes)
        ends.append((number, begun + takes))
    yield from sorted(ends, key=lambda end: end[1])


def after_a_tenth(sizes: list[float], seconds: list[float], workers: int) -> tuple[float, float]:
    """(Time left as forecast, as it was) when a tenth of the work has arrived."""
    work = Work(sum(sizes), lambda number: sizes[number], under_way=(workers - 1) / 2)
    forecast, done = Forecast(work), 0.0
    ends = list(finishing(seconds, workers))
    for number, when in ends:
        forecast.arrived(number, when)
        done += sizes[number]
        if done >= work.total / 10:
            left = forecast.left(when)
            assert left is not None
            return left, ends[-1][1] - when
    raise AssertionError("there is always a tenth")


@given(
    seed=st.integers(0, 10**6),
    workers=st.integers(1, 8),
    tasks=st.integers(30, 60),
    largest=st.floats(1, 30),
)
def test_a_tenth_tells_the_rest(seed: int, workers: int, tasks: int, largest: float) -> None:
    """Tasks differ in size up to 30 times, and take what they should within 15 %."""
    rng = np.random.default_rng(seed)
    sizes = sorted(rng.uniform(1, largest, workers * tasks), reverse=True)
    seconds = [size * 0.7 * rng.uniform(0.85, 1.15) for size in sizes]
    said, true = after_a_tenth([float(s) for s in sizes], [float(s) for s in seconds], workers)
    assert true / WITHIN < said < true * WITHIN


def test_counting_items_would_not_tell_it() -> None:
    """The largest come first: by their number the rest seems to take much longer."""
    sizes = [30.0] * 10 + [1.0] * 90
    true = after_a_tenth(sizes, sizes, 1)
    counted = after_a_tenth([1.0] * 100, sizes, 1)
    assert true[0] == pytest.approx(true[1])
    assert counted[0] > 10 * counted[1]


def test_between_arrivals_the_clock_runs_on() -> None:
    forecast = Forecast(Work(4.0, lambda _: 1.0))
    assert forecast.left(3.0) is None
    forecast.arrived(0, 5.0)
    assert forecast.left(5.0) == 15.0
    assert forecast.left(7.0) == 13.0
    assert forecast.left(60.0) == 0.0


def test_what_was_done_before_takes_no_time() -> None:
    """Of a run that goes on: three of four cells were there, the last has not come yet."""
    forecast = Forecast(Work(4.0, lambda _: 1.0, fresh=lambda item: item > 1))
    for number in (0, 1):
        forecast.arrived(number, 0.01)
    assert forecast.left(1.0) is None
    forecast.arrived(2, 10.0)
    assert forecast.left(10.0) == 10.0


@pytest.mark.parametrize("workers", [1, 3])
def test_cells_are_as_much_work_as_their_groups(workers: int) -> None:
    scenario = load_scenario("glyphs", ["audit.participants=[2, 9, 33]"])
    groups = groups_of(scenario, workers)
    work = work_of_cells(groups, workers)
    for group in groups:
        of_cells = sum(work.of(Outcome(cell, 1.0)) for cell in group)
        assert of_cells == pytest.approx(work_of(group))
    assert work.total == pytest.approx(sum(map(work_of, groups)))
    assert work.fresh(Outcome(groups[0][0], 2.0))
    assert not work.fresh(Outcome(groups[0][0], 0.001))
