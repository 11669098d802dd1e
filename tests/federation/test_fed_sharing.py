"""Which coordinates leave a client, and the order of what is done to a delta."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from privaudit.defences.sharing import SHARING_RULES, Sharing, shared_count
from privaudit.defences.transforms import Transforms
from privaudit.engine.layout import Layout
from privaudit.errors import UserError
from privaudit.federation.aggregation import Aggregator, Submission
from privaudit.randomness import Seed

PARTIAL = sorted(set(SHARING_RULES) - {"all"})
SEED = Seed(5)
sizes = st.lists(st.integers(1, 30), min_size=1, max_size=4)
fractions = st.floats(0.001, 1.0)
roots = st.integers(0, 1000)


def layout_of(lengths: list[int]) -> Layout:
    return Layout.of([(f"p{i}", (n,)) for i, n in enumerate(lengths)])


def delta_of(layout: Layout, root: int) -> Tensor:
    """Distinct, non-zero values, so that what was shared can be told from what was not."""
    order = torch.randperm(layout.size, generator=Seed(root).torch_generator("values"))
    signs = 1 - 2 * (order % 2).float()
    return (order + 1).float() * signs


@pytest.mark.parametrize("percent", [1, 7, 10, 29, 50, 55, 57, 58, 100])
def test_the_ceiling_is_that_of_the_fraction_as_written(percent: int) -> None:
    """In floating point 0.07 * 100 is above 7."""
    for size in range(1, 400):
        assert shared_count(percent / 100, size) == -(-percent * size // 100)
    assert math.ceil(0.07 * 100) == 8


@pytest.mark.parametrize("rule", PARTIAL)
@given(lengths=sizes, fraction=fractions, root=roots)
def test_exactly_the_ceiling_of_the_share_is_sent(
    rule: str, lengths: list[int], fraction: float, root: int
) -> None:
    layout = layout_of(lengths)
    delta = delta_of(layout, root)
    sent = Sharing(rule, fraction).apply(delta, layout, SEED)
    parts = lengths if rule == "largest-per-layer" else [layout.size]
    expected = [shared_count(fraction, n) for n in parts]
    found = [int(part.count_nonzero()) for part in sent.split(parts)]
    assert found == expected
    shared = sent != 0
    assert torch.equal(sent[shared], delta[shared]), "what is shared is shared as it is"


@pytest.mark.parametrize("rule", ["largest", "largest-per-layer"])
@given(lengths=sizes, fraction=fractions, root=roots)
def test_the_largest_are_the_largest(
    rule: str, lengths: list[int], fraction: float, root: int
) -> None:
    layout = layout_of(lengths)
    delta = delta_of(layout, root)
    sent = Sharing(rule, fraction).apply(delta, layout, SEED)
    parts = lengths if rule == "largest-per-layer" else [layout.size]
    for kept, values in zip(sent.split(parts), delta.split(parts), strict=True):
        left = values[kept == 0].abs()
        if len(left):
            assert kept[kept != 0].abs().min() > left.max()


@given(lengths=sizes, fraction=fractions, root=roots)
def test_ties_are_cut_to_the_same_number(lengths: list[int], fraction: float, root: int) -> None:
    layout = layout_of(lengths)
    sent = Sharing("largest", fraction).apply(torch.ones(layout.size), layout, Seed(root))
    assert int(sent.count_nonzero()) == shared_count(fraction, layout.size)


def test_random_depends_on_the_seed_and_not_on_the_values() -> None:
    layout = layout_of([200])
    rule = Sharing("random", 0.3)
    masks = [rule.apply(delta_of(layout, root), layout, SEED) != 0 for root in (1, 2)]
    assert torch.equal(masks[0], masks[1])
    other = rule.apply(delta_of(layout, 1), layout, Seed(6)) != 0
    assert not torch.equal(masks[0], other)


def test_random_shares_every_coordinate_equally_often() -> None:
    layout, trials, fraction = layout_of([40]), 400, 0.25
    rule = Sharing("random", fraction)
    ones = torch.ones(40)
    counts = sum(rule.apply(ones, layout, Seed(i)) for i in range(trials))
    # Binomial(400, 1/4), 40 of them: 4.5 standard deviations leave 40 * 7e-6.
    assert float((counts - trials * fraction).abs().max()) < 4.5 * math.sqrt(trials * 0.25 * 0.75)


def test_fraction_one_shares_everything_under_every_rule() -> None:
    layout = layout_of([7, 3])
    delta = delta_of(layout, 0)
    for rule in SHARING_RULES:
        assert torch.equal(Sharing(rule, 1.0).apply(delta, layout, SEED), delta)


@pytest.mark.parametrize("rule", PARTIAL)
@given(fraction=fractions, roots=st.lists(roots, min_size=1, max_size=4))
def test_what_nobody_shared_keeps_its_global_value(
    rule: str, fraction: float, roots: list[int]
) -> None:
    """And what one client shared moves by its weighted value: nothing is renormalised."""
    layout = layout_of([9, 14])
    aggregator = Aggregator(layout.size)
    sent = []
    for client, root in enumerate(roots):
        delta = delta_of(layout, root)
        sent.append(Sharing(rule, fraction).apply(delta, layout, Seed(root)))
        aggregator.add(Submission(client, sent[-1], samples=1))
    average = aggregator.delta()
    untouched = torch.stack(sent).eq(0).all(0)
    before = torch.linspace(-1, 1, layout.size)
    assert torch.equal((before + average)[untouched], before[untouched])
    torch.testing.assert_close(average, torch.stack(sent).mean(0))


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.0001, math.nan, math.inf])
def test_fractions_outside_0_1_are_refused(fraction: float) -> None:
    with pytest.raises(UserError, match=r"must be in \(0, 1\]"):
        Sharing("largest", fraction)


def test_unknown_rule_and_partial_all_are_refused() -> None:
    with pytest.raises(UserError, match="unknown sharing rule 'larges'; did you mean 'largest'"):
        Sharing("larges", 0.5)
    with pytest.raises(UserError, match="'all' shares everything, got fraction"):
        Sharing("all", 0.5)


def test_clip_scales_a_long_delta_and_leaves_a_short_one() -> None:
    layout = layout_of([2])
    clip = Transforms(clip_norm=1.0)
    torch.testing.assert_close(
        clip.apply(torch.tensor([3.0, -4.0]), layout, SEED), torch.tensor([0.6, -0.8])
    )
    short = torch.tensor([0.3, 0.4])
    assert torch.equal(clip.apply(short, layout, SEED), short)


def test_noise_has_the_stated_deviation_and_comes_from_the_seed() -> None:
    layout = layout_of([10_000])
    noisy = Transforms(noise=0.5)
    zero = torch.zeros(layout.size)
    found = noisy.apply(zero, layout, SEED)
    assert torch.equal(noisy.apply(zero, layout, SEED), found)
    assert not torch.equal(noisy.apply(zero, layout, Seed(6)), found)
    # The deviation of n normal draws has standard error sigma / sqrt(2 n); five of them.
    assert float(found.std()) == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(2 * layout.size))
    assert float(found.mean()) == pytest.approx(0.0, abs=5 * 0.5 / math.sqrt(layout.size))


def test_the_order_is_clip_then_noise_then_share() -> None:
    layout = layout_of([60])
    delta = 10.0 * delta_of(layout, 0)
    chain = Transforms(clip_norm=1.0, noise=0.3, sharing=Sharing("largest", 0.5))
    clipped = Transforms(clip_norm=1.0).apply(delta, layout, SEED)
    noised = Transforms(noise=0.3).apply(clipped, layout, SEED)
    expected = Sharing("largest", 0.5).apply(noised, layout, SEED)
    found = chain.apply(delta, layout, SEED)
    assert torch.equal(found, expected)
    assert int(found.count_nonzero()) == 30, "noise after sharing would fill every coordinate"
    assert float(found.norm()) > 1.0, "clipping after the noise would bound the norm"
    by_value = Sharing("largest", 0.5).apply(clipped, layout, SEED) != 0
    assert not torch.equal(found != 0, by_value), "the largest are chosen after the noise"


def test_transforms_do_not_change_their_argument() -> None:
    layout = layout_of([50])
    delta = delta_of(layout, 0)
    before = delta.clone()
    Transforms(clip_norm=0.1, noise=0.3, sharing=Sharing("random", 0.5)).apply(delta, layout, SEED)
    assert torch.equal(delta, before)


@pytest.mark.parametrize("rule", ["largest", "largest-per-layer"])
@pytest.mark.parametrize("fraction", [0.1, 0.9])
def test_a_delta_that_is_not_a_number_stays_so_for_the_server_to_refuse(
    rule: str, fraction: float
) -> None:
    for bad in (math.nan, math.copysign(math.nan, -1.0), math.inf, -math.inf):
        delta = torch.cat([torch.tensor([0.5, bad, -2.0]), torch.zeros(7)])
        sent = Sharing(rule, fraction).apply(delta, Layout.of([("only", (10,))]), Seed(0))
        assert not torch.isfinite(sent).all()
