"""Tap for NVFlare 2.9: one filter, on what a site is sent and on what it sends (docs/live.md)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from privaudit.errors import UserError
from privaudit.taps.journal import Journal

try:
    from nvflare.apis.dxo import DXO, DataKind, MetaKey
    from nvflare.apis.dxo_filter import DXOFilter
    from nvflare.apis.fl_constant import FilterKey, FLContextKey
    from nvflare.apis.fl_context import FLContext
    from nvflare.apis.shareable import Shareable
    from nvflare.app_common.app_constant import AppConstants
    from nvflare.recipe.spec import Recipe
except ImportError as error:
    raise UserError(
        "NVFlare is not installed",
        where="privaudit.taps.nvflare",
        remedy="pip install 'privaudit[nvflare]'",
    ) from error

LOG = logging.getLogger(__name__)


class ParticipantTap(DXOFilter):
    """Keeps what one site is sent and sends, in ``directory/run-JOB``; changes nothing.

    The same filter goes to both sides (:func:`tap`), or into a site's ``privacy.json``.
    As the last filter of the output side it sees what leaves the site.

    Args:
        directory: for the journals.
        site: whose; on other sites the filter does nothing.
        parameters: names of the tensors that are trained; None = all floating point tensors but
            the statistics of normalisation layers.
        rules: what the site knows of the federation
            (:class:`privaudit.observation.rules.Rules`).
    """

    def __init__(
        self,
        directory: str,
        site: str,
        parameters: Sequence[str] | None = None,
        rules: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            supported_data_kinds=[DataKind.WEIGHTS, DataKind.WEIGHT_DIFF], data_kinds_to_filter=None
        )
        # Plain attributes under the names of the arguments: NVFlare writes the filter into the
        # job's configuration by them.
        self.directory, self.site, self.parameters, self.rules = directory, site, parameters, rules

    def process_dxo(self, dxo: DXO, shareable: Shareable, fl_ctx: FLContext) -> None:
        """Keep the model; None = not filtered."""
        if fl_ctx.get_identity_name() != self.site:
            return
        journal = Journal(Path(self.directory) / f"run-{fl_ctx.get_job_id()}")
        try:
            self._keep(journal, dxo, shareable, fl_ctx)
        except Exception as error:  # it must not stop the federation
            LOG.warning("privaudit: not kept: %s", error)
            try:
                journal.note(str(error))
            except OSError:
                LOG.warning("privaudit: nor can it be noted in %s", journal.path)

    def _keep(self, journal: Journal, dxo: DXO, shareable: Shareable, fl_ctx: FLContext) -> None:
        number = shareable.get_header(AppConstants.CURRENT_ROUND)
        if number is None:
            number = fl_ctx.get_prop(AppConstants.CURRENT_ROUND)
        number = int(number)  # counted from 0: rounds before this one
        state = {name: torch.as_tensor(np.asarray(array)) for name, array in dxo.data.items()}
        if fl_ctx.get_prop(FLContextKey.FILTER_DIRECTION) == FilterKey.IN:
            shape = journal.begin(
                state,
                run=str(fl_ctx.get_job_id()),
                parameters=self.parameters,
                rules=self.rules,
                about={"framework": "nvflare", "node": self.site},
            )
            journal.keep("seen", number, shape.flat(state))
            return
        sent = journal.head().shape.flat(state)
        if dxo.data_kind == DataKind.WEIGHT_DIFF:
            sent = _added(journal.read("seen", number)[0], sent)
        steps = dxo.get_meta_prop(MetaKey.NUM_STEPS_CURRENT_ROUND)
        journal.keep("sent", number + 1, sent, float(steps) if steps else None)


def tap(
    recipe: Recipe,
    directory: Path | str,
    site: str,
    *,
    parameters: Sequence[str] | None = None,
    rules: Mapping[str, Any] | None = None,
) -> None:
    """Add the filter to both sides of the task ``train`` of a recipe; the line an app needs.

    What is sent to the sites then holds no copy of this package: NVFlare takes the files that it
    sees imported, not all of them, and that part of a package would hide the installed one.

    Args:
        recipe: any, such as ``FedAvgRecipe(...)``.
        directory: for the journals, on the site.
        site: who listens.
        parameters: see :class:`ParticipantTap`.
        rules: see :class:`ParticipantTap`.
    """
    both = ParticipantTap(
        str(directory),
        site,
        None if parameters is None else list(parameters),
        None if rules is None else dict(rules),
    )
    recipe.add_client_input_filter(both, tasks=["train"])
    recipe.add_client_output_filter(both, tasks=["train"])
    job = recipe._job  # a recipe offers no way of its own to say this
    job.set_app_packages([*(job.job.app_packages or []), "privaudit"])


def _added(before: Mapping[str, Tensor], difference: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: before[name] + vector for name, vector in difference.items()}
