"""Gates on studies: a dilution measurement against its threshold, canaries against their claim."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.canaries import Reading
from privaudit.canaries.words import number, sentence
from privaudit.evaluation.gate import EXCLUDED, FOUND, OPEN, Gate
from privaudit.statistics.harmless import Finding
from privaudit.studies.dilution_curves import Curve
from privaudit.studies.dilution_words import answer_in_words, clients


def gate_of_dilution(curves: Sequence[Curve], threshold: float) -> Gate:
    """Whether every attacker is harmless with the most clients that were measured."""
    above = f"a leak above an AUC of {threshold:g}"
    for curve in curves:
        last = curve.aucs[-1] if curve.aucs else None
        if last is not None and curve.tests[-1].told and last.low > threshold:
            return Gate(FOUND, f"{above} was found: {answer_in_words(curve)}")
    left = [curve for curve in curves if not _harmless(curve)]
    if left or not curves:
        why = f": {_first(left[0])}" if left else ""
        many = f"in {len(left)} of {len(curves)} curves" if curves else "as nothing was measured"
        return Gate(OPEN, f"{above} could not be excluded {many}{why}")
    most = max(honest for curve in curves for honest in curve.honest)
    return Gate(
        EXCLUDED,
        f"{above} is excluded for these attackers with {clients(most)}: both 90 % limits of every "
        f"AUC lie within {1 - threshold:.2g} to {threshold:.2g}",
    )


def _harmless(curve: Curve) -> bool:
    answer = curve.answer
    return answer is not None and answer.at_largest is Finding.HARMLESS and not curve.failures


def _first(curve: Curve) -> str:
    if curve.failures:
        return f"{curve.attack} on '{curve.property}' has failed runs ({curve.failures[0]})"
    return answer_in_words(curve)


def gate_of_canaries(readings: Sequence[Reading]) -> Gate:
    """Whether no more leaks than is claimed, as far as these readers see.

    A claim without headroom does not pass: what leaks exactly as much as is claimed cannot be told
    from what leaks a little more. Claim the ε that you would release at.
    """
    found = next((reading for reading in readings if reading.found), None)
    if found is not None:
        claimed = number(found.record.claimed_epsilon)
        return Gate(FOUND, f"a leak above ε = {claimed} was found: {sentence(found)}")
    left = [reading for reading in readings if not reading.excluded]
    if not left:
        most = " and ".join(
            f"{r.record.view} {number(r.epsilon.high)} of {number(r.record.claimed_epsilon)}"
            for r in readings
        )
        return Gate(
            EXCLUDED, f"a leak above the claimed ε is excluded for these readers: at most {most}"
        )
    first = left[0]
    if first.verdict != "consistent":
        return Gate(OPEN, f"a leak above the claim could not be excluded: {sentence(first)}")
    claimed, high = number(first.record.claimed_epsilon), number(first.epsilon.high)
    return Gate(
        OPEN,
        f"a leak above ε = {claimed} could not be excluded ({first.record.view}): the estimate "
        f"reaches up to {high}; use more --canaries, or claim the ε that you would release at",
    )
