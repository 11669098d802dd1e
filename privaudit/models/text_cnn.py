"""Kim's convolutional network for sentences, as Melis et al. used it on reviews.

Y. Kim, Convolutional Neural Networks for Sentence Classification, EMNLP 2014; sizes of L. Melis et
al., Exploiting Unintended Feature Leakage in Collaborative Learning, IEEE S&P 2019, section VI-A:
embedding 320, three banks of 100 filters of widths 3, 4 and 5, max over time, one dense layer.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from privaudit.engine.stepper import LEAN
from privaudit.models.text_cnn_step import TextCNNStep
from privaudit.options import Options, Sizes, parse_options


class TextOptions(Options):
    """Options of ``text-cnn``."""

    embedding: int = Field(320, ge=1, description="size of a word vector, at least 1")
    widths: Sizes = Field(
        [3, 4, 5],
        min_length=1,
        description="a list of window widths in words, a bank of filters for each",
    )
    filters: int = Field(100, ge=1, description="filters per bank, at least 1")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="probability of dropping a pooled feature, in [0, 1)"
    )


class TextCNN(nn.Module):
    """Embedding, filter banks, max over time, dropout, dense layer.

    The gradient of a max over time flows through one window per filter only. So the winning windows
    are found without a graph, and only they are computed again with one: the same activations and
    the same gradients as a convolution over the whole text, at a fraction of its cost.

    Args:
        num_classes: width of the output.
        vocabulary_size: number of token ids; id 0 is padding, whose embedding stays zero.
        options: fields of :class:`TextOptions`.

    Raises:
        UserError: an option it does not have, or a value outside its range.
    """

    def __init__(self, num_classes: int, vocabulary_size: int, **options: Any) -> None:
        super().__init__()
        chosen = parse_options(TextOptions, options, where="model 'text-cnn'")
        embedding, widths, filters = chosen.embedding, chosen.widths, chosen.filters
        self.embedding = nn.Embedding(vocabulary_size, embedding, padding_idx=0)
        nn.init.uniform_(self.embedding.weight, -0.25, 0.25)
        with torch.no_grad():
            self.embedding.weight[0].zero_()
        self.banks = nn.ModuleList(nn.Linear(width * embedding, filters) for width in widths)
        self.widths = tuple(widths)
        self.dropout = nn.Dropout(chosen.dropout)
        self.output = nn.Linear(filters * len(widths), num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [b, num_classes] of token ids [b, length]."""
        used, position = torch.unique(tokens, return_inverse=True)
        vectors = self.embedding(used)  # [u, e]
        pooled = []
        for width, bank in zip(self.widths, self.banks, strict=True):
            assert isinstance(bank, nn.Linear)
            windows = position.unfold(1, width, 1)  # [b, n, width]
            best = _winning_window(vectors.detach(), bank.weight.detach(), position, width)
            # Filters first: every filter then multiplies its own windows without a copy.
            chosen = windows.gather(1, best.unsqueeze(2).expand(-1, -1, width)).transpose(0, 1)
            words = functional.embedding(chosen, vectors).flatten(2)  # [f, b, width * e]
            activation = torch.bmm(words, bank.weight.unsqueeze(2)).squeeze(2).T + bank.bias
            pooled.append(functional.relu(activation))
        logits: Tensor = self.output(self.dropout(torch.cat(pooled, dim=1)))
        return logits


@torch.no_grad()
def _winning_window(vectors: Tensor, weight: Tensor, position: Tensor, width: int) -> Tensor:
    """[b, f] start of the window where each filter is largest.

    Every used word is multiplied with every filter row once; a window's value is then a sum of
    ``width`` table entries.
    """
    filters, embedding = weight.shape[0], vectors.shape[1]
    rows = weight.view(filters, width, embedding)
    starts = position.shape[1] - width + 1
    total = functional.embedding(position[:, :starts], vectors @ rows[:, 0].T)  # [b, n, f]
    for offset in range(1, width):
        table = vectors @ rows[:, offset].T
        total += functional.embedding(position[:, offset : offset + starts], table)
    return total.argmax(dim=1)


LEAN[TextCNN] = TextCNNStep
