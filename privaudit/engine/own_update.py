"""A client's training as the user's own function does it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from privaudit.engine.local_rule import LocalOptions
from privaudit.engine.losses import own_function
from privaudit.engine.samples import Samples
from privaudit.engine.stepper import Stepper
from privaudit.errors import UserError, failure_of_others
from privaudit.randomness import Seed

WHERE = "local.client_update"


def update_by_own(
    stepper: Stepper,
    samples: Samples,
    batches: Sequence[np.ndarray],
    options: LocalOptions,
    number: int,
    seed: Seed,
) -> tuple[float, float]:
    """Let ``client_update(model, batches, round, rng)`` train the model in place.

    It is given the model at the global parameters and in training mode, a list of
    ``(inputs, labels)``, the number of the round with ``first_round`` added, and a generator of
    numpy's; torch draws from the same stream as everywhere.

    Returns:
        Sums over the records of the batches, of the model as it then is: of their losses, and of
        the correct ones.

    Raises:
        UserError: it fails, returns something, changes the shape of a parameter, or diverges.
    """
    path = options.client_update
    assert path is not None
    update, number = own_function(path, WHERE), options.first_round + number
    given = [samples.batch(batch, stepper.device) for batch in batches]
    shapes = [parameter.shape for parameter in stepper.parameters]
    try:
        returned = update(stepper.model, given, number, seed.generator("client_update"))
    except Exception as error:
        raise UserError(
            f"'{path}' failed in round {number}: {failure_of_others(error)}", where=WHERE
        ) from error
    if returned is not None:
        raise UserError(
            f"'{path}' returned {type(returned).__name__} in round {number}, not None",
            where=WHERE,
            remedy="train the model that it is given in place, and return nothing",
        )
    trained = [p for p in stepper.model.parameters() if p.requires_grad]
    same = len(trained) == len(shapes) and all(
        now is before and now.shape == shape
        for now, before, shape in zip(trained, stepper.parameters, shapes, strict=True)
    )
    if not same:
        raise UserError(
            f"'{path}' put other parameters in the place of the model's in round {number}",
            where=WHERE,
            remedy="change the values of the parameters that it is given, and freeze none",
        )
    if not all(bool(torch.isfinite(parameter).all()) for parameter in trained):
        raise UserError(
            f"the parameters that '{path}' left in round {number} are not finite: it diverged",
            where=WHERE,
            remedy="lower its learning rate",
        )
    return _measured(stepper, samples, batches)


@torch.no_grad()
def _measured(
    stepper: Stepper, samples: Samples, batches: Sequence[np.ndarray]
) -> tuple[float, float]:
    loss = correct = 0.0
    for batch in batches:
        inputs, labels = samples.batch(batch, stepper.device)
        outputs = stepper.logits(inputs)
        loss += float(stepper.loss.total(outputs, labels))
        correct += float(stepper.loss.correct(outputs, labels))
    return loss, correct
