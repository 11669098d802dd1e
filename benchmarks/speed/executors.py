"""What Ray adds to an audit: two one-core nodes on loopback against two workers of this machine.

``python benchmarks/speed/executors.py SCENARIO [--set KEY=VALUE ...] [--repeats N]`` runs the whole
audit on both in turn, and prints one JSON line: wall seconds of each. The cluster is up before;
connecting to it counts, and so does starting the workers.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ |= {
    "OMP_NUM_THREADS": "1",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(),
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from privaudit.audit import run_audit
from privaudit.experiment.executors.local import Local
from privaudit.experiment.executors.on_ray import OnRay
from privaudit.experiment.executors.remote import Remote
from privaudit.scenario.load import load_scenario

NODE: dict[str, Any] = {
    "num_cpus": 1,
    "node_ip_address": "127.0.0.1",
    "object_store_memory": 200_000_000,
}


def main() -> None:
    from ray.cluster_utils import Cluster

    options = _options()
    scenario = load_scenario(options.scenario, options.set)
    cluster = Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": False})
    cluster.add_node(**NODE)
    cluster.wait_for_nodes()
    found: dict[str, list[float]] = {"local": [], "ray": []}
    with tempfile.TemporaryDirectory() as place:
        for number in range(options.repeats):
            for name, seconds in found.items():
                executor = (
                    Local(beforehand=2) if name == "local" else Remote(OnRay(cluster.address))
                )
                started = time.perf_counter()
                with executor as runner:
                    run_audit(
                        scenario, Path(place) / f"{name}-{number}", workers=2, executor=runner
                    )
                seconds.append(time.perf_counter() - started)
    cluster.shutdown()
    print(json.dumps(found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scenario")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
