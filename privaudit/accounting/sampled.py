"""ε where each participant is in a round by itself with some probability: dp-accounting's PLD.

A. Koskela, J. Jälkö and A. Honkela, Computing Tight Differential Privacy Guarantees Using FFT,
AISTATS 2020; V. Doroshenko et al., Connect the Dots, PETS 2022.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from privaudit.errors import UserError


@lru_cache(maxsize=1024)
def sampled_epsilon(
    multiplier: float,
    rounds: int,
    delta: float,
    *,
    share: float,
    neighbours: Literal["add-or-remove", "replace-one"],
) -> float:
    """ε of rounds with Poisson sampling of this share and Gaussian noise on the sum.

    Raises:
        UserError: dp-accounting is not installed.
    """
    try:
        import dp_accounting
        from dp_accounting.pld import PLDAccountant
    except ImportError as error:
        raise UserError(
            "rounds in which only some take part are accounted by dp-accounting, which is not "
            "installed",
            where="federation.sampler",
            remedy="pip install 'privaudit[accounting]'",
        ) from error
    relation = {
        "add-or-remove": dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE,
        "replace-one": dp_accounting.NeighboringRelation.REPLACE_ONE,
    }[neighbours]
    accountant = PLDAccountant(relation)
    event = dp_accounting.PoissonSampledDpEvent(share, dp_accounting.GaussianDpEvent(multiplier))
    accountant.compose(event, rounds)
    return float(accountant.get_epsilon(delta))
