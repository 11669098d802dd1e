"""W1 on pfl-research: wall and processor seconds of each round, as one JSON list of rank 0.

Run by ``run.py`` with the Python of ``--peers-python`` under torchrun, one thread per process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import textbook
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam.base import NNEvalHyperParams, NNTrainHyperParams
from pfl.internal.ops.selector import get_framework_module
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel

seconds: list[tuple[float, float]] = []


class Timed(TrainingProcessCallback):
    """Keeps the time between the ends of rounds."""

    def __init__(self) -> None:
        self.last = None

    def after_central_iteration(self, aggregate_metrics, model, *, central_iteration):
        # The launcher's descendants are all ranks.
        now = time.perf_counter(), textbook.processor_seconds(os.getppid())
        if self.last:
            seconds.append(tuple(b - a for a, b in zip(self.last, now, strict=True)))
        self.last = now
        return False, Metrics()


class Learner(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = textbook.cnn()

    def forward(self, images):
        return self.net(images)

    def loss(self, images, labels, eval=False):
        self.eval() if eval else self.train()
        return torch.nn.functional.cross_entropy(self(images), labels)

    def metrics(self, images, labels, eval=False):
        return {"loss": Weighted(float(self.loss(images, labels, eval=True)), 1)}


torch.set_num_threads(1)
data = textbook.clients()
sampler = get_user_sampler("minimize_reuse", list(range(len(data))))
federated = FederatedDataset(lambda user: Dataset(data[user]), sampler)
backend = SimulatedBackend(training_data=federated, val_data=federated, postprocessors=[])
module = Learner()
model = PyTorchModel(
    module,
    local_optimizer_create=torch.optim.SGD,
    central_optimizer=torch.optim.SGD(module.parameters(), lr=1.0),
)
rounds = int(sys.argv[1])
FederatedAveraging().run(
    backend=backend,
    model=model,
    algorithm_params=NNAlgorithmParams(
        central_num_iterations=rounds + 1,
        evaluation_frequency=10**6,
        train_cohort_size=len(data),
        val_cohort_size=0,
    ),
    model_train_params=NNTrainHyperParams(
        local_num_epochs=1,
        local_learning_rate=textbook.LR,
        local_batch_size=textbook.BATCH,
    ),
    model_eval_params=NNEvalHyperParams(local_batch_size=textbook.BATCH),
    callbacks=[Timed()],
)
if get_framework_module().distributed.global_rank == 0:
    print(json.dumps(seconds))
