"""Local training, mini-batch gradients and evaluation for any ``nn.Module``.

"Load these global parameters" and "hand over this delta" move P numbers each; no client ever needs
a model of its own. Who computes the gradients, and how, is chosen once per model and device
(:mod:`privaudit.engine.stepper`); the results agree up to rounding.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from privaudit.engine.batched import BatchedStepper
from privaudit.engine.character import (
    Buffers,
    check_trainable,
    evaluation_mode,
    remarks_on,
    single_records_refused,
)
from privaudit.engine.device import as_on_a_cpu, device_named
from privaudit.engine.frozen import frozen_digest
from privaudit.engine.general import train_by
from privaudit.engine.layout import Layout
from privaudit.engine.local_rule import KEPT, SHARED, LocalRule
from privaudit.engine.losses import CROSS_ENTROPY, loss_named
from privaudit.engine.recordwise import NUMBERS_AT_ONCE, Recordwise, RecordwiseStepper
from privaudit.engine.samples import LocalUpdate, Samples, prepare
from privaudit.engine.stepper import Stepper, stepper_for
from privaudit.randomness import Seed

__all__ = ["Engine", "LocalRule", "LocalUpdate", "Samples", "prepare"]

CHUNK = 64
"""Records whose slopes are computed at once."""

ADDS_UP = 1e-4
"""A batch's gradient is the mean of its records' where it is no farther off than this share of its
length; rounding leaves a thousandth of that."""
TRIED = 4
"""Batches of which that is seen."""


class Engine:
    """One model, evaluated at whatever parameters it is given.

    Vectors of parameters, gradients and deltas are float32 on the CPU whatever the device.

    Args:
        model: any module that maps a batch of inputs to what the loss takes, by default logits
            [b, classes]; of several inputs and other outputs: :mod:`.calling`. Its own parameters
            are the initial ones. The engine works in it: nobody else should.
        device: where to compute: ``cpu``, ``cuda``, ``cuda:1`` ...
        loss: name of what is minimised (:mod:`privaudit.engine.losses`).
        statistics: whether what the model has beside parameters (buffers in its ``state_dict``:
            running statistics of batch normalisation) is ``kept`` by each client or ``shared``.
        batched: compute many batches and clients at once; None = on any device but the CPU, where
            one after the other is faster.

    Raises:
        UserError: the model has no trainable parameters, or there is no such device.
    """

    def __init__(
        self,
        model: nn.Module,
        device: str = "cpu",
        loss: str = CROSS_ENTROPY,
        statistics: str = KEPT,
        *,
        batched: bool | None = None,
    ) -> None:
        check_trainable(model)
        self.loss = loss_named(loss)
        self.device = device_named(device)
        self.model = model.to(device=self.device, dtype=torch.float32)
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.layout = Layout.of([(name, p.shape) for name, p in named])
        self.initial = torch.cat([p.detach().flatten().cpu() for _, p in named])
        self._buffers = Buffers(model)
        self.shares_buffers = statistics == SHARED and bool(self._buffers.names)
        self._first_buffers = self._buffers.vector()
        self._remarks = list(remarks_on(model, shared=self.shares_buffers))
        wanted = self.device.type != "cpu" if batched is None else batched
        chosen = BatchedStepper if wanted and not self._remarks else stepper_for
        self._stepper = chosen(model, self.layout, self.device, self.loss)
        self._tried = False
        self._treated: dict[Recordwise, Engine] = {}

    def __reduce__(self) -> tuple[type[Engine], tuple[nn.Module, str, str, str]]:
        """Sent to another process: the model as it was given, the device, the loss, statistics."""
        assert not isinstance(self._stepper, RecordwiseStepper), "send the plain one"
        self._stepper.load(self.initial)
        self._buffers.restore()
        statistics = SHARED if self.shares_buffers else KEPT
        # What lies on a GPU can only be opened where there is one.
        model = self.model if self.device.type == "cpu" else copy.deepcopy(self.model).cpu()
        return Engine, (model, str(self.device), self.loss.name, statistics)

    @property
    def initial_buffers(self) -> Tensor | None:
        """[B] what clients share beside parameters, as it is at first; None where nothing is."""
        return self._first_buffers if self.shares_buffers else None

    def named_buffers(self, buffers: Tensor | None) -> dict[str, Tensor]:
        """The same by name, of any [B] vector of them; empty for None."""
        return {} if buffers is None else self._buffers.named(buffers)

    @contextlib.contextmanager
    def starting_from(self, buffers: Tensor | None) -> Iterator[None]:
        """Clients start from, and tests are made with, these shared buffers [B].

        With None, or where nothing is shared, from those that the model was given with.
        """
        before = self._buffers.start
        self._buffers.start = buffers if self.shares_buffers else None
        try:
            yield
        finally:
            self._buffers.start = before

    @cached_property
    def frozen(self) -> str | None:
        """Digest of the parameters that are not trained (:func:`.frozen_digest`)."""
        return frozen_digest(self.model)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the results must know of this model, in sentences; most have none.

        That gradients depend on the batch is known at once; that they differ from one time to the
        next, or cannot be batched on this device, after the first gradients or training.
        """
        return tuple(self._remarks)

    def under(self, treatment: Recordwise | None) -> Engine:
        """The same model, whose gradients are treated record by record; itself for None.

        Both work in one model: they take turns, as whoever uses an engine does.

        Raises:
            UserError: the model normalises over batches.
        """
        if treatment is None:
            return self
        if treatment not in self._treated:
            treated = object.__new__(Engine)  # not copy(), which is for other processes
            vars(treated).update(vars(self))
            treated._stepper = RecordwiseStepper(self._stepper, treatment)
            treated._tried = False
            self._treated[treatment] = treated
        return self._treated[treatment]

    def gradients(
        self, parameters: Tensor, samples: Samples, batches: Sequence[np.ndarray], seed: Seed
    ) -> Tensor:
        """Mean gradient of each batch at fixed parameters.

        Args:
            parameters: [P].
            samples: the records the batches index into.
            batches: B index arrays.
            seed: stream of whatever the model draws, such as dropout.

        Returns:
            [B, P] float32.
        """
        on_gpu = self.device.type == "cuda"
        out = torch.empty(len(batches), self.layout.size, pin_memory=on_gpu)
        with self._training(parameters, samples, batches, seed):
            if not self.shares_buffers:
                self._stepper.gradients(samples, batches, out)
            else:
                for row, batch in zip(out, batches, strict=True):
                    self._buffers.restore()  # no client starts from what another's batch left
                    self._stepper.gradients(samples, [batch], row.unsqueeze(0))
        if on_gpu:
            torch.cuda.synchronize(self.device)  # rows are copied while others are computed
        return out

    def many_gradients(
        self, parameters: Tensor, samples: Samples, batches: Sequence[np.ndarray], seed: Seed
    ) -> Tensor:
        """As :meth:`gradients`, for many batches of few records: each record once, then means.

        The same up to rounding, and the cheaper the more often a record is drawn. Where a batch is
        not the mean of its records (normalisation over batches, dropout, noise, a loss that weighs
        them), where the model takes no batch of one, or where that takes no fewer steps, as
        ``gradients``.
        """
        drawn = sum(map(len, batches))
        one_by_one = type(self._stepper) is Stepper  # the others work on many batches at once
        most = len(batches) if one_by_one else drawn // 2
        few = len(np.unique(np.concatenate(batches))) <= most
        if few and not any(remarks_on(self.model)):
            some = batches[:TRIED]
            whole = self.gradients(parameters, samples, some, seed)
            means = torch.full_like(whole, torch.nan)
            with contextlib.suppress(Exception):  # whatever a model says to a batch of one
                means = self._averaged(parameters, samples, some, seed)
            # Not a number, as a spread over one record is none, is no mean either.
            if bool(((means - whole).norm(dim=1) <= ADDS_UP * whole.norm(dim=1)).all()):
                return self._averaged(parameters, samples, batches, seed)
        return self.gradients(parameters, samples, batches, seed)

    def _averaged(
        self, parameters: Tensor, samples: Samples, batches: Sequence[np.ndarray], seed: Seed
    ) -> Tensor:
        """[B, P] means of the gradients of the records of each batch."""
        records, places = np.unique(np.concatenate(batches), return_inverse=True)
        sizes = [len(batch) for batch in batches]
        rows = np.repeat(np.arange(len(batches)), sizes)
        shares = np.zeros((len(batches), len(records)), np.float32)
        np.add.at(shares, (rows, places), np.repeat(1 / np.array(sizes), sizes))
        out = torch.zeros(len(batches), self.layout.size)
        at_once = max(1, NUMBERS_AT_ONCE // self.layout.size)
        for first in range(0, len(records), at_once):
            part = slice(first, first + at_once)
            single = self.gradients(parameters, samples, list(records[part, None]), seed)
            out.addmm_(torch.from_numpy(shares[:, part]), single)
        return out

    def slopes(
        self,
        parameters: Tensor,
        samples: Samples,
        records: np.ndarray,
        direction: Tensor,
        seed: Seed,
    ) -> Tensor:
        """How the loss of each record changes along a direction: its own gradient times that.

        No record's gradient is computed: with weights u on the records, the slope of the weighted
        loss along the direction is linear in u, and its derivative by u is the answer. Twice
        backwards, for all records of a chunk at once.

        Args:
            parameters: [P].
            samples: what the records index into.
            records: [n].
            direction: [P].
            seed: stream of whatever the model draws, such as dropout.

        Returns:
            [n] float32.

        Raises:
            ValueError: the model normalises over batches: no record has a gradient of its own.
            RuntimeError: a layer of the model cannot be differentiated twice.
        """
        if any(remarks_on(self.model)):
            raise ValueError("records that share a batch share their gradients")
        found = []
        with (
            self._training(parameters, samples, [records[:CHUNK]], seed),
            sdpa_kernel(SDPBackend.MATH),
        ):
            ahead = [piece.to(self.device) for piece in self._stepper.pieces(direction)]
            for part in np.array_split(records, range(CHUNK, len(records), CHUNK)):
                inputs, labels = samples.batch(part, self.device)
                logits = self._stepper.logits(inputs)
                losses = self.loss.each(logits, labels)
                weights = torch.ones_like(losses, requires_grad=True)
                parts = torch.autograd.grad(
                    losses,
                    self._stepper.parameters,
                    weights,
                    create_graph=True,
                    allow_unused=True,
                    materialize_grads=True,
                )
                steps = [(a * b).sum() for a, b in zip(parts, ahead, strict=True)]
                found.append(torch.autograd.grad(torch.stack(steps).sum(), weights)[0].cpu())
        return torch.cat(found)

    def train(
        self,
        parameters: Tensor,
        samples: Samples,
        batches: Sequence[np.ndarray],
        *,
        rule: LocalRule,
        seed: Seed,
        number: int = 0,
    ) -> LocalUpdate:
        """From ``parameters`` over the batches in order; the optimiser starts anew each time.

        Same update as with the optimiser of ``torch.optim``. Loss and accuracy are means over the
        records seen, each at the parameters its batch was seen with.

        Args:
            parameters: [P].
            samples: what the batches index into.
            batches: at least one.
            rule: how to train.
            seed: stream of whatever the model draws.
            number: of the round, for a schedule.

        Raises:
            UserError: a schedule ends before; code of the user's own fails.
        """
        return next(self.train_clients(parameters, samples, [batches], rule, [seed], number))

    def train_clients(
        self,
        parameters: Tensor,
        samples: Samples,
        clients: Sequence[Sequence[np.ndarray]],
        rule: LocalRule,
        seeds: Sequence[Seed],
        number: int = 0,
    ) -> Iterator[LocalUpdate]:
        """:meth:`train` for several clients from the same parameters, in their order.

        Where the device prefers it, clients whose batches have the same sizes train at once by
        plain SGD; then what the model draws (dropout) comes from the first one's seed. Memory does
        not grow with the number of clients.
        """
        assert all(clients), "a client that trains has at least one batch"
        alone = self.shares_buffers or not rule.is_plain
        step = 1 if alone else self._stepper.clients_at_once
        for first in range(0, len(clients), step):
            group, seed = clients[first : first + step], seeds[first]
            with self._training(parameters, samples, group[0], seed):
                if rule.is_plain:
                    lr, momentum = rule.rate(number), rule.momentum
                    made = self._stepper.train_many(parameters, samples, group, lr, momentum)
                else:
                    made = [
                        train_by(self._stepper, parameters, samples, group[0], rule, number, seed)
                    ]
                if self.shares_buffers:
                    made = [replace(made[0], buffers=self._buffers.vector())]
            yield from made

    def single_steps(
        self,
        parameters: Tensor,
        samples: Samples,
        batches: Sequence[np.ndarray],
        rule: LocalRule,
        seed: Seed,
        number: int = 0,
    ) -> Tensor:
        """[B, P] what clients with one batch each make of it; of plain SGD all at once."""
        if rule.is_plain:
            return self.gradients(parameters, samples, batches, seed).mul_(-rule.rate(number))
        seeds = [seed.child("step", place) for place in range(len(batches))]
        clients = [[batch] for batch in batches]
        made = self.train_clients(parameters, samples, clients, rule, seeds, number)
        return torch.stack([update.delta for update in made])

    @torch.no_grad()
    def evaluate(
        self, parameters: Tensor, samples: Samples, batch_size: int = 512
    ) -> tuple[float, float]:
        """Mean loss and accuracy over all records: no dropout; batch normalisation by the batch.

        By the shared statistics, where clients share them.
        """
        loss = correct = 0.0
        with self._evaluating(parameters):
            for part in np.array_split(np.arange(len(samples)), -(-len(samples) // batch_size)):
                inputs, labels = samples.batch(part, self.device)
                logits = self._stepper.logits(inputs)
                loss += float(self.loss.total(logits, labels))
                correct += float(self.loss.correct(logits, labels))
        return loss / len(samples), correct / len(samples)

    @torch.no_grad()
    def outputs(self, parameters: Tensor, samples: Samples, batch_size: int = 512) -> Tensor:
        """[N, ...] float32 on the CPU: what the model gives for each record, in evaluation mode."""
        parts = np.array_split(np.arange(len(samples)), -(-len(samples) // batch_size))
        with self._evaluating(parameters):
            found = [self._stepper.logits(samples.batch(part, self.device)[0]) for part in parts]
        return torch.cat(found).cpu()

    @torch.no_grad()
    def log_odds(self, parameters: Tensor, samples: Samples, batch_size: int = 512) -> Tensor:
        """[N] float64 log(p / (1 - p)) of each record's own label, in evaluation mode.

        The logit scaling of N. Carlini et al., "Membership Inference Attacks From First
        Principles", IEEE S&P 2022, section IV-C: about normal, where the loss is skewed.
        """
        logits = self.outputs(parameters, samples, batch_size).double()
        own = logits.gather(1, samples.labels[:, None])
        logits.scatter_(1, samples.labels[:, None], -torch.inf)
        return own.squeeze(1) - logits.logsumexp(1)

    @contextlib.contextmanager
    def _evaluating(self, parameters: Tensor) -> Iterator[None]:
        """At these parameters, with buffers as they were, and nothing drawn."""
        self._stepper.load(parameters)
        self._buffers.restore()
        evaluation_mode(self.model, shared=self.shares_buffers)
        with as_on_a_cpu(self.device):
            yield

    @contextlib.contextmanager
    def _training(
        self, parameters: Tensor, samples: Samples, batches: Sequence[np.ndarray], seed: Seed
    ) -> Iterator[None]:
        """At these parameters, with buffers as they were, and our stream to draw from."""
        with single_records_refused(), as_on_a_cpu(self.device):
            if not self._tried and len(batches):
                self._tried = True
                self._try_on(parameters, samples, batches[0], seed)
            self._stepper.load(parameters)
            self._buffers.restore()
            self.model.train()
            with self._drawing_from(seed):
                yield

    def _try_on(self, parameters: Tensor, samples: Samples, batch: np.ndarray, seed: Seed) -> None:
        """Before the first gradients: what the model can bear, and whether it repeats itself."""
        self._stepper.load(parameters)
        self.model.train()
        with self._drawing_from(seed):
            remark = self._stepper.try_on(samples, batch)
        if remark:
            self._stepper = Stepper(self.model, self.layout, self.device, self.loss)
            self._remarks.append(remark)
        twice = torch.empty(2, self.layout.size)
        for row in twice:
            self._stepper.load(parameters)
            self._buffers.restore()
            with self._drawing_from(seed):
                self._stepper.gradients(samples, [batch], row.unsqueeze(0))
        if not torch.equal(*twice):
            apart = float((twice[0] - twice[1]).abs().max())
            self._remarks.append(
                f"two gradients of one batch with one seed differ by up to {apart:.2g}: the model "
                "is not deterministic here, and the same scenario will not give the same bytes"
            )

    @contextlib.contextmanager
    def _drawing_from(self, seed: Seed) -> Iterator[None]:
        # Dropout, as a layer or inside one, draws from torch's global generators: lend them our
        # stream, then put theirs back.
        if self.device.type == "cpu":
            with torch.random.fork_rng(devices=[]):
                # Not torch.manual_seed: it looks for accelerators each time, longer than a step.
                torch.default_generator.manual_seed(seed.integer())
                yield
        else:
            with torch.random.fork_rng([self.device], device_type=self.device.type):
                torch.manual_seed(seed.integer())
                yield
