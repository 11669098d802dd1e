"""Record-level differential privacy: clients train by DP-SGD.

M. Abadi et al., Deep Learning with Differential Privacy, CCS 2016: the gradient of each record is
clipped, and each step of local training takes noise on their sum (:mod:`privaudit.engine
.recordwise`). What leaves the client, and whatever is made of it, then promises something of each
single record to everybody, the server too; and nothing of what many records share, such as a
property of a batch.

It is the one step that is no transform of a delta: it says how the delta is trained
(:attr:`.protocol.Defence.in_training`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from privaudit.defences.protocol import Defence
from privaudit.engine.recordwise import Recordwise


class RecordLevelDP(Defence):
    """DP-SGD at the clients."""

    kind: Literal["dp-sgd"] = "dp-sgd"
    bound: float = Field(
        ge=1e-9, le=1e12, description="largest L2 norm of the gradient of one record, above 0"
    )
    multiplier: float = Field(
        gt=0,
        le=1e9,
        description="deviation of the noise on the sum of a batch, in units of the bound, above 0",
    )

    @property
    def words(self) -> str:
        """As :class:`.protocol.Defence`."""
        return (
            f"DP-SGD by clients: gradients of records clipped to L2 norm {self.bound:g}, Gaussian "
            f"noise of {self.multiplier:g} times that on the sum of each batch"
        )

    @property
    def in_training(self) -> Recordwise:
        """As :class:`.protocol.Defence`."""
        return Recordwise(self.bound, self.multiplier)

    def longest(self, before: float | None) -> float | None:
        """As :class:`.protocol.Defence`: it leaves a delta as it is."""
        return before
