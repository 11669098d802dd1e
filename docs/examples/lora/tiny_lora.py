"""A tiny transformer whose base is frozen; adapters (LoRA) and the last layer are trained.

E. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022: queries and values
get ``x A^T B^T`` added, with B zero at first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

WORDS, LENGTH, WIDTH = 64, 12, 16


@dataclass
class Output:
    """As the models of many libraries answer."""

    logits: Tensor


class Adapted(nn.Module):
    """A dense layer that stays, and a low-rank one beside it that learns."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base
        self.A = nn.Parameter(torch.randn(rank, base.in_features) * base.in_features**-0.5)
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, rows: Tensor) -> Tensor:
        """[..., width] of the same."""
        return self.base(rows) + rows @ self.A.T @ self.B.T


class TinyTransformer(nn.Module):
    """Words and places, one head of attention, one dense block, and a mean over the words."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.block = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 2 * WIDTH), nn.GELU())
        self.head = nn.Linear(2 * WIDTH, num_classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Output:
        """Logits [b, num_classes] of token ids [b, LENGTH]; the mask is 0 where no word is."""
        there = attention_mask.bool()
        x = self.words(input_ids) + self.places.weight
        scores = self.query(x) @ self.key(x).transpose(1, 2) / WIDTH**0.5
        scores = scores.masked_fill(~there[:, None, :], -1e9)
        x = self.block(x + scores.softmax(-1) @ self.value(x))
        counted = there.unsqueeze(2).float()
        return Output(self.head((x * counted).sum(1) / counted.sum(1).clamp(min=1)))


def save_base(path: str, num_classes: int = 2) -> None:
    """Stands for the pre-trained model that everybody downloads."""
    torch.save(TinyTransformer(num_classes).state_dict(), path)


def adapted(checkpoint: str = "base.pt", num_classes: int = 2, rank: int = 2) -> nn.Module:
    """The model of the federation: the base from a file, frozen, with adapters."""
    model = TinyTransformer(num_classes)
    model.load_state_dict(torch.load(checkpoint, weights_only=True))
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model.query, model.value = Adapted(model.query, rank), Adapted(model.value, rank)
    model.head.requires_grad_(True)
    return model
