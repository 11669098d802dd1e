"""The steps that a scenario can name, by their ``kind``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from privaudit.defences.adaptive import AdaptiveClipping
from privaudit.defences.central import CentralDP
from privaudit.defences.clipping import Clipping
from privaudit.defences.flower import LocalDP
from privaudit.defences.noise import GaussianNoise
from privaudit.defences.nvflare import PercentilePrivacy, SparseVector
from privaudit.defences.quantising import Quantisation, Sign
from privaudit.defences.recordwise import RecordLevelDP
from privaudit.defences.secure import SecureAggregation
from privaudit.defences.sharing import Share
from privaudit.errors import unknown_name

Kinds = (
    Clipping
    | GaussianNoise
    | CentralDP
    | AdaptiveClipping
    | RecordLevelDP
    | Share
    | Quantisation
    | Sign
    | SecureAggregation
    | LocalDP
    | PercentilePrivacy
    | SparseVector
)

KINDS: dict[str, type[Kinds]] = {
    kind.model_fields["kind"].default: kind
    for kind in (
        Clipping,
        GaussianNoise,
        CentralDP,
        AdaptiveClipping,
        RecordLevelDP,
        Share,
        Quantisation,
        Sign,
        SecureAggregation,
        LocalDP,
        PercentilePrivacy,
        SparseVector,
    )
}
"""Kind -> class; the class has its settings."""


def _of_a_known_kind(value: Any) -> Any:
    kind = value.get("kind") if isinstance(value, dict) else None
    if isinstance(value, dict) and kind not in KINDS:
        if kind is None:
            raise ValueError(f"a step has a kind, one of {', '.join(KINDS)}")
        raise ValueError(str(unknown_name("kind of defence", str(kind), KINDS)))
    return value


Step = Annotated[Annotated[Kinds, Field(discriminator="kind")], BeforeValidator(_of_a_known_kind)]
"""A step as a scenario or a trace writes it: a table with its ``kind`` and its settings."""


def bare(kind: str) -> Kinds | None:
    """The step of this kind with its defaults; None where there is no such kind, or it has none."""
    known = KINDS.get(kind)
    if known is None or any(f.is_required() for f in known.model_fields.values()):
        return None
    return known.model_validate({"kind": kind})
