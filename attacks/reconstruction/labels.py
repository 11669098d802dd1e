"""How many records of each class a batch held, from the bias gradient of the last layer."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from privaudit.attack.reconstruction import Rebuilding, ReconstructionAttack
from privaudit.engine.layout import ParameterSlice
from privaudit.engine.samples import prepare
from privaudit.errors import UserError
from privaudit.models.last_layer import last_dense_layer
from privaudit.observation.views import Observation

MOST_OWN = 256
"""Own records that the mean prediction is taken of."""


class LabelCounts(ReconstructionAttack):
    """The labels behind a round, each as often as the last layer's biases count it.

    See :func:`label_counts`. With local steps the parameters before the round stand for all steps.
    """

    name = "label-counts"
    source = "A. Wainakh et al. (LLG), PETS 2022, section 4; one record: B. Zhao et al., 2020"
    of = "labels"

    def check(self, given: Rebuilding) -> None:
        """The model ends in a dense layer with biases that are trained."""
        last_biases(given, self.name)

    def rebuild(self, observation: Observation, given: Rebuilding) -> np.ndarray:
        """[n] labels in the order of classes, as many as records stand behind the round."""
        model, gradient = model_at(given, observation.before), gradient_of(observation, given)
        return counted(model, gradient, given, given.records(observation), self.name)


def counted(
    model: nn.Module, gradient: Tensor, given: Rebuilding, records: int, attack: str
) -> np.ndarray:
    """[records] labels as the last layer's biases count them, those of one class together.

    Args:
        model: at the parameters before the round (:func:`model_at`).
        gradient: [P] of everybody's mean losses, summed (:func:`gradient_of`).
        given: what the adversary holds.
        records: how many there are.
        attack: name of who asks.

    Raises:
        UserError: the model does not end in a dense layer with biases that are trained.
    """
    at = last_biases(given, attack)
    with torch.no_grad():
        outputs = model(prepare(given.own.inputs[:MOST_OWN]))
    guesses = torch.softmax(outputs, dim=1).mean(0).double().numpy()
    # Each client's step is of the mean over its batch; of the sum it is so many times as long.
    summed = gradient[at.start : at.stop].double().numpy() * given.rules.batch_size
    counts = label_counts(summed, guesses, records)
    return np.repeat(np.arange(len(counts)), counts)


def label_counts(bias_gradient: np.ndarray, probabilities: np.ndarray, records: int) -> np.ndarray:
    """[C] whole numbers that add up to ``records``.

    The gradient of the summed cross-entropy in the bias of class c is sum_n p_nc - n_c. So a class
    with a negative one is there: B. Zhao, K. Mopuri & H. Bilen, "iDLG", 2020, section 3 (one
    record); A. Wainakh et al., "User-Level Label Leakage from Gradients in Federated Learning"
    (LLG), PETS 2022, section 4 (batches). That holds whatever the predictions are, also where
    clients are weighed or clipped, and over local steps. For the rest n_c = records * (mean p_c) -
    gradient_c: the mean prediction on the batch is not known, and that on the adversary's own
    records stands for it.

    Args:
        bias_gradient: [C] of the loss summed over the records.
        probabilities: [C] mean prediction on own records, at the parameters before the round.
        records: how many there are.
    """
    counts = np.zeros(len(bias_gradient), dtype=np.int64)
    surest = np.argsort(bias_gradient, kind="stable")[:records]
    counts[surest[bias_gradient[surest] < 0]] = 1
    wanted = np.clip(records * probabilities - bias_gradient - counts, 0.0, None)
    if not wanted.any():
        wanted = probabilities
    return counts + _whole(wanted, records - int(counts.sum()))


def _whole(wanted: np.ndarray, total: int) -> np.ndarray:
    """[C] whole numbers in these proportions that add up to ``total``."""
    wanted = wanted * (total / wanted.sum())
    counts = np.floor(wanted).astype(np.int64)
    # The largest remainders are rounded up.
    short = total - int(counts.sum())
    counts[np.argsort(counts - wanted, kind="stable")[:short]] += 1
    return counts


def gradient_of(observation: Observation, given: Rebuilding) -> Tensor:
    """[P] of everybody's mean losses, summed; 0 where rounding alone may have left something."""
    signal = observation.signal * (observation.signal.abs() > observation.rounding)
    return -signal / given.rules.lr


def model_at(given: Rebuilding, parameters: Tensor) -> nn.Module:
    """The model at these parameters, as clients train it, with everything there that drops out."""
    model = copy.deepcopy(given.engine.model).cpu().train()
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
    named = dict(model.named_parameters())
    with torch.no_grad():
        for piece in given.layout.slices:
            named[piece.name].copy_(parameters[piece.start : piece.stop].view(piece.shape))
    return model


def last_biases(given: Rebuilding, attack: str) -> ParameterSlice:
    """Where the biases lie of the dense layer that the logits come from.

    Raises:
        UserError: there is none, or nobody trains them.
    """
    model = copy.deepcopy(given.engine.model).cpu()
    layer = last_dense_layer(model, prepare(given.own.inputs[:2]), without=f"leave '{attack}' out")
    places = {piece.name: piece for piece in given.layout.slices}
    name = f"{layer}.bias"
    if name not in places:
        raise UserError(
            f"counts labels by the biases of the last dense layer, and nobody trains '{name}'",
            where=f"attack '{attack}'",
            remedy="leave it out, or use a model whose last dense layer has biases",
        )
    return places[name]
