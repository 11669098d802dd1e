"""Images from gradients, beside the nearest image that the adversary owns."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from privaudit.data.registry import load_dataset
from privaudit.evaluation.rebuilding import likeness
from privaudit.models.image_cnn import ImageCNN
from privaudit.randomness import Seed
from privaudit_attacks.reconstruction.gradient_matching import match_gradient


def test_a_glyph_is_nearer_to_its_reconstruction_than_to_any_own_one() -> None:
    data = load_dataset("glyphs", {}, None, Seed(1))
    images = data.inputs[:200].astype(np.float32)[:, None] / 255
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = ImageCNN(36, channels=[8, 16], hidden=32)
    truth, label = images[:1], data.labels[:1]
    loss = nn.functional.cross_entropy(model(torch.from_numpy(truth)), torch.from_numpy(label))
    gradient = torch.autograd.grad(loss, list(model.parameters()))
    # One record: the one class whose logit is pushed up (iDLG).
    assert gradient[-1].argmin() == label[0]
    found = match_gradient(
        model, gradient, label, (1, 28, 28), rng=np.random.default_rng(0), restarts=1, steps=300
    )
    assert 0 <= found.images.min() <= found.images.max() <= 1
    assert found.cosine > 0.9
    assert likeness(truth, found.images) > likeness(truth, images[1:])
