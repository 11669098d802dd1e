"""Gradients of :class:`~privaudit.models.text_cnn.TextCNN` by hand: autograd's, up to rounding.

What it does otherwise than autograd (docs/performance.md has the gain):

- every word that occurs is multiplied with every filter once for all batches of a call, not once
  per batch, and a window's value is a sum of entries of that table: its maximum is the activation;
- the slope of a maximum goes to one window, so that weight and word gradients are weighted sums of
  a few rows each, written where they belong; nothing as large as the text is ever multiplied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from privaudit.engine.samples import Samples
from privaudit.engine.stepper import Gradient, Stepper


class _Network(Protocol):
    """The parts of a ``TextCNN``."""

    training: bool
    embedding: nn.Embedding
    banks: nn.ModuleList
    widths: tuple[int, ...]
    dropout: nn.Dropout
    output: nn.Linear


@dataclass(frozen=True)
class _Words:
    """The words of some texts at the loaded parameters; ``u`` of them.

    Attributes:
        used: [u] token ids.
        place: [vocabulary] where a token stands among them.
        vectors: [u, e].
        tables: per bank [width * u, filters]: row ``offset * u + word`` is what that word adds to
            each filter at that offset of its window.
        filter_rows: [sum of filters * width, e] all filters, one row per offset, bank after bank.
    """

    used: Tensor
    place: Tensor
    vectors: Tensor
    tables: list[Tensor]
    filter_rows: Tensor


class TextCNNStep(Stepper):
    """The stepper of an unchanged ``TextCNN`` on a CPU."""

    @torch.no_grad()
    def gradients(self, samples: Samples, batches: Sequence[np.ndarray], out: Tensor) -> None:
        """As :meth:`Stepper.gradients`; all batches share one table of words and filters."""
        if not len(batches):
            return
        words = self._words(samples.batch(np.concatenate(batches), self.device)[0])
        for row, batch in zip(out, batches, strict=True):
            self.backward(words, *samples.batch(batch, self.device), self.pieces(row))

    @torch.no_grad()
    def step(self, inputs: Tensor, labels: Tensor) -> Gradient:
        """As :meth:`.Stepper.step`."""
        row = self.pieces(torch.empty(self.layout.size, dtype=self.parameters[0].dtype))
        loss, correct = self.backward(self._words(inputs), inputs, labels, row)
        return loss, correct, row

    def backward(
        self, words: _Words, tokens: Tensor, labels: Tensor, row: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Mean gradient of one batch into ``row``, one tensor per parameter.

        Args:
            words: at least those of the batch.
            tokens: [b, length].
            labels: [b].

        Returns:
            The mean loss, and how many records were classified correctly.
        """
        model = cast("_Network", self.model)
        place = words.place[tokens]
        windows = [place.unfold(1, width, 1) for width in model.widths]  # [b, n, width] each
        found = [
            _strongest(words, table, window)
            for table, window in zip(words.tables, windows, strict=True)
        ]
        biases = torch.cat([bank.bias for bank in self._banks])
        features = torch.cat([value for value, _ in found], 1).add_(biases).relu_()
        kept = functional.dropout(torch.ones_like(features), model.dropout.p, model.training)
        pooled = features * kept
        logits = torch.addmm(model.output.bias, pooled, model.output.weight.T)
        logs = functional.log_softmax(logits, 1)
        chosen = labels.unsqueeze(1)
        loss, correct = -logs.gather(1, chosen).mean(), (logits.argmax(1) == labels).sum()

        slope = logs.exp_().scatter_add_(1, chosen, -torch.ones_like(chosen, dtype=logs.dtype))
        slope /= len(labels)
        torch.mm(slope.T, pooled, out=row[-2])
        torch.sum(slope, 0, out=row[-1])
        through = (slope @ model.output.weight).mul_(kept).mul_(features > 0)  # [b, all filters]
        self._banks_back(words, windows, [best for _, best in found], through, row)
        return loss, correct

    def _banks_back(
        self,
        words: _Words,
        windows: Sequence[Tensor],
        best: Sequence[Tensor],
        slope: Tensor,
        row: Sequence[Tensor],
    ) -> None:
        """From the slope of each filter's maximum to filters, biases and word vectors."""
        tokens, rows, weights, first = [], [], [], 0
        parts = slope.split([bank.out_features for bank in self._banks], 1)
        for number, (window, where, part) in enumerate(zip(windows, best, parts, strict=True)):
            width, filters = window.shape[2], part.shape[1]
            index = where.unsqueeze(2).expand(-1, -1, width)
            won = window.gather(1, index).permute(1, 2, 0).reshape(filters * width, -1)
            weight = part.T.repeat_interleave(width, 0)  # [filters * width, b], as ``won``
            weight_row, bias_row = row[1 + 2 * number : 3 + 2 * number]
            summed = functional.embedding_bag(
                won, words.vectors, mode="sum", per_sample_weights=weight
            )
            weight_row.copy_(summed.view_as(weight_row))
            torch.sum(part, 0, out=bias_row)
            tokens.append(won)
            weights.append(weight)
            rows.append(torch.arange(first, first + filters * width).unsqueeze(1).expand_as(won))
            first += filters * width
        _words_back(words, _flat(tokens), _flat(rows), _flat(weights), row[0], self._padding)

    def _words(self, tokens: Tensor) -> _Words:
        model = cast("_Network", self.model)
        occurs = torch.zeros(model.embedding.num_embeddings, dtype=torch.bool)
        occurs[tokens] = True
        used, place = occurs.nonzero().squeeze(1), occurs.cumsum(0) - 1
        vectors = model.embedding.weight[used]
        split = [
            bank.weight.view(bank.out_features, width, -1)
            for bank, width in zip(self._banks, model.widths, strict=True)
        ]
        tables = [(vectors @ filters.permute(1, 2, 0)).flatten(0, 1) for filters in split]
        rows = torch.cat([filters.flatten(0, 1) for filters in split])
        return _Words(used, place, vectors, tables, rows)

    @property
    def _banks(self) -> list[nn.Linear]:
        return [cast("nn.Linear", bank) for bank in cast("_Network", self.model).banks]

    @property
    def _padding(self) -> int | None:
        return cast("_Network", self.model).embedding.padding_idx


def _strongest(words: _Words, table: Tensor, windows: Tensor) -> tuple[Tensor, Tensor]:
    """[b, f] the value of each filter's best window, without its bias, and where that starts."""
    offsets = torch.arange(windows.shape[2]) * len(words.used)
    values = functional.embedding_bag((windows + offsets).flatten(0, 1), table, mode="sum")
    best: tuple[Tensor, Tensor] = values.view(*windows.shape[:2], -1).max(1)
    return best


def _words_back(
    words: _Words,
    tokens: Tensor,
    rows: Tensor,
    weights: Tensor,
    out: Tensor,
    padding: int | None,
) -> None:
    """Each winning word gets the filter rows it was multiplied with, by their slopes."""
    out.zero_()
    moved = weights.nonzero().squeeze(1)  # a filter below zero moves nothing
    tokens, order = tokens[moved].sort()
    moved = moved[order]
    won, counts = torch.unique_consecutive(tokens, return_counts=True)
    if not len(won):
        return
    out[words.used[won]] = functional.embedding_bag(
        rows[moved],
        words.filter_rows,
        counts.cumsum(0) - counts,
        mode="sum",
        per_sample_weights=weights[moved],
    )
    if padding is not None:
        out[padding] = 0.0


def _flat(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.reshape(-1) for part in parts])
