"""What is timed in a process of its own: a name gives a piece of work to repeat.

``ours`` sets up its process as the tool does for its workers; every other variant is what somebody
would write: one thread, nothing else. All compute with the same sizes on noise. ``ours`` and
``plain`` compute on another device than the CPU where its name comes last: ``w1/ours/cuda``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import textbook
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from privaudit.engine.engine import Engine, Samples
from privaudit.engine.process import tune_process
from privaudit.federation.rounds import ClientWork, LocalTraining, epochs, run_round
from privaudit.models.image_cnn import ImageCNN
from privaudit.models.text_cnn import TextCNN
from privaudit.randomness import Seed

SEED = Seed(0)


@dataclass(frozen=True)
class Work:
    """``run()`` does ``units`` of something, with ``flop`` operations in all (0: not counted)."""

    run: Callable[[], object]
    units: int
    flop: float = 0.0


def build(name: str) -> Work:
    """The work of a name such as ``w1/ours`` or ``w2/residual/plain``."""
    kind, *rest = name.split("/")
    if "ours" in rest:
        tune_process()
    else:
        torch.set_num_threads(1)
    made: dict[str, Callable[..., Work]] = {"gemm": _gemm, "w1": _w1, "w2": _w2}
    return made[kind](*rest)


def _gemm() -> Work:
    """fp32 matrix product, 1024 cubed: the yardstick of this machine."""
    left, right, out = (torch.randn(1024, 1024) for _ in range(3))
    return Work(lambda: [torch.mm(left, right, out=out) for _ in range(8)], 8, 8 * 2 * 1024.0**3)


def _w1(variant: str, device: str = "cpu") -> Work:
    """A round of FedAvg: 20 clients, 120 records each, one epoch in batches of 32, and the mean."""
    run: dict[str, Callable[[], Callable[[], object]]] = {
        "ours": partial(_our_round, device),
        "plain": partial(_plain_round, device),
        "vmap": _vmap_round,
        "million": _our_million,
    }
    flop = textbook.CLIENTS * textbook.RECORDS * textbook.CNN_FLOP if variant != "million" else 0
    return Work(run[variant](), textbook.CLIENTS, flop)


def _our_round(device: str = "cpu", **options: Any) -> Callable[[], object]:
    engine = Engine(ImageCNN(textbook.CLASSES, **options), device)
    rng = np.random.default_rng(0)
    total = textbook.CLIENTS * textbook.RECORDS
    pictures = rng.integers(256, size=(total, 28, 28), dtype=np.uint8)
    samples = Samples.of(pictures, rng.integers(textbook.CLASSES, size=total))
    held = np.split(np.arange(total), textbook.CLIENTS)

    def run() -> None:
        work = [
            ClientWork(client, epochs(own, local_epochs=1, batch_size=textbook.BATCH, rng=rng))
            for client, own in enumerate(held)
        ]
        training = LocalTraining(textbook.LR)
        run_round(engine, samples, engine.initial, work, training, round_number=0, seed=SEED)

    return run


def _our_million() -> Callable[[], object]:
    """The same round of a model of a million parameters."""
    tune_process()
    return _our_round(hidden=320)


def _plain_round(device: str) -> Callable[[], object]:
    held = [(images.to(device), labels.to(device)) for images, labels in textbook.clients()]
    model = textbook.cnn().to(device)
    start = {name: value.clone() for name, value in model.state_dict().items()}

    def run() -> None:
        mean = {name: torch.zeros_like(value) for name, value in start.items()}
        for images, labels in held:
            model.load_state_dict(start)
            optimiser = torch.optim.SGD(model.parameters(), lr=textbook.LR)
            order = torch.randperm(len(labels))
            for index in order.split(textbook.BATCH):
                optimiser.zero_grad()
                functional.cross_entropy(model(images[index]), labels[index]).backward()
                optimiser.step()
            for name, value in model.state_dict().items():
                mean[name] += (value - start[name]) / len(held)
        for value in mean.values():
            value.cpu()  # waits for the device, too

    return run


def _vmap_round() -> Callable[[], object]:
    """All clients take their steps together."""
    held, model = textbook.clients(), textbook.cnn()
    images = torch.stack([pictures for pictures, _ in held])
    labels = torch.stack([answers for _, answers in held])
    start = {name: value.detach() for name, value in model.named_parameters()}
    gradient = vmap(grad(_loss(model)), in_dims=(0, 0, 0))

    def run() -> None:
        own = {name: v.expand(len(held), *v.shape).clone() for name, v in start.items()}
        for index in torch.randperm(textbook.RECORDS).split(textbook.BATCH):
            for name, part in gradient(own, images[:, index], labels[:, index]).items():
                own[name].sub_(part, alpha=textbook.LR)
        for name, value in own.items():
            (value - start[name]).mean(0)

    return run


def _w2(model: str, variant: str, device: str = "cpu") -> Work:
    """Mean gradients of batches at fixed weights, into [B, P] in main memory."""
    ours, plain, inputs, labels, batches, flop = _task(model)
    index = [torch.from_numpy(batch).to(device) for batch in batches]
    if variant == "ours":
        engine, samples = Engine(ours, device), Samples.of(inputs, labels)
        run = lambda: engine.gradients(engine.initial, samples, batches, SEED)  # noqa: E731
    else:
        plain = plain.to(device)
        ready, target = _ready(inputs).to(device), torch.from_numpy(labels).to(device)
        chosen = _plain_gradients if variant == "plain" else _vmap_gradients
        run = chosen(plain, ready, target, index)
    return Work(run, len(batches), flop * sum(map(len, batches)))


def _task(
    model: str,
) -> tuple[nn.Module, nn.Module, np.ndarray, np.ndarray, list[np.ndarray], float]:
    """Our module and the plain one (the same where we have none), inputs, labels, batches, FLOP."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    pictures = rng.integers(256, size=(1024, 28, 28), dtype=np.uint8)
    short = rng.integers(500, size=(1024, 40)).astype(np.int64)
    reviews = rng.integers(4000, size=(400, 300)).astype(np.int64)
    number, size = 16, textbook.BATCH
    ours: nn.Module
    plain: nn.Module
    inputs: np.ndarray
    if model in ("cnn", "cnn-small-batches"):
        ours, plain = ImageCNN(textbook.CLASSES), textbook.cnn()
        inputs, classes = pictures, textbook.CLASSES
        if model == "cnn-small-batches":
            number, size = 64, 4
    elif model in ("sequential", "mcmahan"):
        ours = plain = textbook.cnn() if model == "sequential" else textbook.mcmahan()
        inputs, classes = pictures, 10
    elif model == "residual":
        ours = plain = textbook.ResidualNet()
        inputs, classes = pictures, 10
    elif model == "attention":
        ours = plain = textbook.AttentionNet()
        inputs, classes = short, 2
    else:
        ours, plain = TextCNN(2, 4000), textbook.KimNet()
        inputs, classes, number, size = reviews, 2, 12, 12
    labels = rng.integers(classes, size=len(inputs))
    batches = [rng.choice(len(inputs), size, replace=False) for _ in range(number)]
    # The text CNN looks products up in tables: its operations say nothing about its time.
    flop = 0.0 if model == "kim" else _flop(plain, inputs[:1], labels[:1])
    return ours, plain, inputs, labels, batches, flop


def _flop(model: nn.Module, inputs: np.ndarray, labels: np.ndarray) -> float:
    """Of some records, forward and backward, as torch counts them: products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        functional.cross_entropy(model(_ready(inputs)), torch.from_numpy(labels)).backward()
    model.zero_grad(set_to_none=True)
    return float(counter.get_total_flops())


def _ready(inputs: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(inputs)
    return tensor.unsqueeze(1).float() / 255 if inputs.dtype == np.uint8 else tensor


def _plain_gradients(
    model: nn.Module, inputs: Tensor, labels: Tensor, batches: Sequence[Tensor]
) -> Callable[[], Tensor]:
    def run() -> Tensor:
        rows = []
        for index in batches:
            model.zero_grad()
            functional.cross_entropy(model(inputs[index]), labels[index]).backward()
            found = [p.grad for p in model.parameters() if p.grad is not None]
            rows.append(torch.cat([gradient.flatten() for gradient in found]))
        return torch.stack(rows).cpu()

    return run


def _vmap_gradients(
    model: nn.Module, inputs: Tensor, labels: Tensor, batches: Sequence[Tensor]
) -> Callable[[], Tensor]:
    """All batches at once."""
    shared = {name: value.detach() for name, value in model.named_parameters()}
    gradient = vmap(grad(_loss(model)), in_dims=(None, 0, 0))
    index = torch.stack(list(batches))

    def run() -> Tensor:
        parts = gradient(shared, inputs[index], labels[index])
        return torch.cat([part.flatten(1) for part in parts.values()], 1)

    return run


def _loss(model: nn.Module) -> Callable[..., Tensor]:
    def loss(parameters: dict[str, Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(functional_call(model, parameters, (inputs,)), labels)

    return loss
