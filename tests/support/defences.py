"""One example of every kind of defence, strong enough to be noticed on deltas of length about 1."""

from __future__ import annotations

from privaudit.defences.adaptive import AdaptiveClipping
from privaudit.defences.central import CentralDP
from privaudit.defences.clipping import Clipping
from privaudit.defences.flower import LocalDP
from privaudit.defences.noise import GaussianNoise
from privaudit.defences.nvflare import PercentilePrivacy, SparseVector
from privaudit.defences.protocol import Defence
from privaudit.defences.quantising import Quantisation, Sign
from privaudit.defences.recordwise import RecordLevelDP
from privaudit.defences.secure import SecureAggregation
from privaudit.defences.sharing import Share

EXAMPLES: dict[str, Defence] = {
    "clip": Clipping(bound=0.5),
    "noise": GaussianNoise(deviation=0.1),
    "dp-fedavg": CentralDP(bound=0.5, multiplier=1.0),
    "dp-adaptive": AdaptiveClipping(bound=0.5, multiplier=0.5, count_deviation=1.0),
    "dp-sgd": RecordLevelDP(bound=2.0, multiplier=0.1),
    "share": Share(fraction=0.2),
    "quantise": Quantisation(bits=4),
    "sign": Sign(),
    "secure-aggregation": SecureAggregation(clipping_range=1.0, quantisation_range=2**12),
    "flower-local-dp": LocalDP(clipping_norm=0.5, sensitivity=0.5, epsilon=5.0, delta=1e-2),
    "nvflare-percentile": PercentilePrivacy(percentile=50, gamma=0.1),
    "nvflare-svt": SparseVector(gamma=0.1, tau=0.05, epsilon=5.0, noise_var=1.0),
}
