"""How much noise stands between one delta and whoever looks: what an accountant starts from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from privaudit.defences.noise import GaussianNoise
from privaudit.defences.transforms import Transforms
from privaudit.errors import UserError

NO_NOISE = "no noise is added"


@dataclass(frozen=True)
class _Noise:
    place: str
    multiplier: float
    broken: str


def noise_multiplier(transforms: Transforms, *, server: bool, honest: int) -> float | str:
    """Deviation of the Gaussian noise on a sum, in units of the longest that one delta can be.

    Args:
        transforms: what is done to deltas.
        server: whether somebody looks who sees single deltas, else the sum of the honest ones.
        honest: deltas in that sum whose noise the observer does not know, at least 1.

    Returns:
        The multiplier, or in one line why there is none.
    """
    found = _noises(transforms)
    if not found:
        return NO_NOISE
    reasons, known = [], []
    for noise in found:
        if noise.multiplier == 0:
            reasons.append("nothing bounds the deltas that the noise is added to")
        elif noise.place == "sum" and server:
            reasons.append("the server sees the deltas before it adds noise to their sum")
        elif server:
            known.append(noise.multiplier)
        elif noise.broken:
            reasons.append(noise.broken)
        else:
            known.append(noise.multiplier * (honest**0.5 if noise.place == "delta" else 1.0))
    return max(known) if known else reasons[0]


def _noises(transforms: Transforms) -> list[_Noise]:
    steps, found = transforms.steps, []
    longest: float | None = None
    for place, step in enumerate(steps):
        noise = step.noise(longest)
        longest = step.longest(longest)
        if noise is None:
            continue
        where, multiplier = noise
        after = steps[place + 1 :]
        broken = ""
        if where == "delta" and after:
            broken = (
                f"what comes after the noise ({after[0].words}) makes of a sum something else than "
                "the sum of what is behind noise; for who sees single deltas it is accounted"
            )
        elif where == "sum":
            # 1 stands for the longest that a delta is: nothing may make it longer before the sum.
            limit: float | None = 1.0
            for later in after:
                limit = later.longest(limit)
                if limit is None:
                    broken = (
                        f"what comes after clipping ({later.words}) can make a delta longer again; "
                        "put it before"
                    )
                    break
        found.append(_Noise(where, multiplier, broken))
    return found


def longest_of(transforms: Transforms) -> float | None:
    """The largest L2 norm of what leaves a client, but for its noise; None = no limit."""
    longest: float | None = None
    for step in transforms.steps:
        # Noise makes a delta longer, not what is hidden behind it.
        longest = longest if isinstance(step, GaussianNoise) else step.longest(longest)
    return longest


def without_noise(transforms: Transforms) -> Transforms:
    """What clients do but for the noise of their own.

    Raises:
        UserError: a step clips and adds noise in one.
    """
    kept = tuple(step for step in transforms.defences if not isinstance(step, GaussianNoise))
    for step in kept:
        found = step.noise(1.0)
        if found is not None and found[0] == "delta":
            raise UserError(
                f"a step that adds noise to a delta in one with something else ({step.words})",
                where="federation.defence",
                remedy="name clipping and noise as steps of their own: kind = 'clip', 'noise'",
            )
    return replace(transforms, noise=0.0, defences=kept)
