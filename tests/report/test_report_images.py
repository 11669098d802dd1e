"""Rebuilt images beside the true ones: all of them, on a wide page and on a narrow one."""

from __future__ import annotations

from typing import Any

import pytest

from privaudit.report.figures import NARROW
from privaudit.report.rebuilt_figures import rebuilt_images


def shown(count: int) -> dict[str, Any]:
    images = [[20 * number] * 4 for number in range(count)]
    decibels = [float(number) for number in range(count)]
    return {
        "shape": [1, 2, 2],
        "truth": images,
        "attacks": {"spear": {"images": images, "psnr": decibels}},
        "own": {"images": images, "psnr": decibels},
    }


@pytest.mark.parametrize("count", [1, 3, 4, 8])
@pytest.mark.parametrize("narrow", [False, True])
def test_every_image_is_there_with_its_number(count: int, narrow: bool) -> None:
    figure = rebuilt_images(shown(count), narrow=narrow)
    assert figure is not None
    assert sum(len(axes.images) for axes in figure.axes) == 3 * count
    said = sorted(axes.get_xlabel() for axes in figure.axes if axes.get_xlabel())
    assert said == sorted(2 * [f"{number}.0 dB" for number in range(count)])
    left = {axes.get_ylabel() for axes in figure.axes} - {""}
    assert left == {"truth", "spear", "nearest own"}
    assert not narrow or figure.get_figwidth() <= NARROW
