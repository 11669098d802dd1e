"""A Ray cluster on loopback, in a process of its own, that does as it is told line by line.

``add`` a node of one core, with these variables; ``kill`` a node, or the ``workers`` of all nodes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

TOKEN = "of-these-tests-only-0123456789abcdef"
ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": TOKEN,
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
NODE = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 100_000_000}


class RayCluster:
    """Two nodes of one core each until it is told otherwise."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | ENVIRONMENT,
        )
        self.address = str(self._heard())

    def add(self, **environment: str) -> str:
        """One more node; what the cluster calls it."""
        return str(self._told("add", environment))

    def kill(self, node: str) -> None:
        """At once, and all that runs there."""
        self._told("kill", node)

    def kill_workers(self) -> int:
        """Of all nodes, where tasks are; how many there were."""
        return int(self._told("workers", None))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def _told(self, verb: str, what: Any) -> Any:
        assert self._process.stdin is not None
        print(json.dumps([verb, what]), file=self._process.stdin, flush=True)
        return self._heard()

    def _heard(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


def _children(parent: int) -> list[int]:
    """Workers; a node without its agents would go down as a whole."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_text()
            except OSError:
                continue
            at_work = command.startswith("ray::") and "Agent" not in command
            if int(stat[1]) == parent and at_work:
                found.append(int(entry.name))
    return found


def main() -> None:
    from ray.cluster_utils import Cluster

    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(what: Any) -> None:
        print(json.dumps(what), file=output, flush=True)

    cluster = Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": False})
    nodes = {cluster.head_node.node_id: cluster.head_node}
    extra = cluster.add_node(**NODE)
    nodes[extra.node_id] = extra
    say(cluster.address)
    for line in sys.stdin:
        verb, what = json.loads(line)
        if verb == "add":
            before = dict(os.environ)
            os.environ.update(what)
            node = cluster.add_node(**NODE)
            os.environ.clear()
            os.environ.update(before)
            nodes[node.node_id] = node
            say(node.node_id)
        elif verb == "kill":
            cluster.remove_node(nodes.pop(what), allow_graceful=False)
            say(None)
        else:
            raylets = [n.all_processes["raylet"][0].process.pid for n in nodes.values()]
            workers = [worker for raylet in raylets for worker in _children(raylet)]
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            say(len(workers))
    cluster.shutdown()


if __name__ == "__main__":
    main()
