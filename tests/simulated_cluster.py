"""A Ray cluster of several nodes on this machine, whose nodes can be lost as machines are lost.

As a program: starts one, prints where it is and which process each node hangs on (JSON), and keeps
it until its standard input ends. A line there adds a node, and prints the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psutil

from tests.conftest import ROOT

CPUS = 2  # of each node
OBJECT_STORE_BYTES = 80 * 2**20
# A lost node is declared dead after some seconds; with Ray's own values after 14 to 18.
HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}


@dataclass(frozen=True, slots=True)
class SimulatedCluster:
    """`address`: of its head. `nodes`: the id of each node that can be lost → its raylet.
    `program`: what keeps it."""

    address: str
    nodes: dict[str, psutil.Process]
    program: subprocess.Popen[str]

    def join(self) -> str:
        """Let one more node join. Returns its id."""
        assert self.program.stdin is not None
        self.program.stdin.write("join\n")
        self.program.stdin.flush()
        after = _said(self.program)[1]
        (node,) = after.keys() - self.nodes.keys()
        self.nodes[node] = after[node]
        return node

    def lose(self, node: str) -> None:
        """Kill a node and everything that runs on it, at once: nobody says good-bye."""
        raylet = self.nodes[node]
        raylet.suspend()  # so that it starts nothing, and reports nothing, in its last moment
        for process in [*raylet.children(recursive=True), raylet]:
            process.kill()


@contextmanager
def simulated_cluster(nodes: int) -> Iterator[SimulatedCluster]:
    """A head that only leads, and `nodes` with two CPUs each."""
    with tempfile.TemporaryDirectory() as folder, _program(nodes, folder) as process:
        yield SimulatedCluster(*_said(process), process)


def _said(program: subprocess.Popen[str]) -> tuple[str, dict[str, psutil.Process]]:
    assert program.stdout is not None
    said = json.loads(program.stdout.readline())
    return said["address"], {node: psutil.Process(pid) for node, pid in said["nodes"].items()}


@contextmanager
def _program(nodes: int, folder: str) -> Iterator[subprocess.Popen[str]]:
    # Its own folder: what a Ray cluster leaves in the common one, `ray.init()` takes for an
    # invitation. It is a short one, since sockets lie in it.
    variables = {"RAY_TMPDIR": folder, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.simulated_cluster", str(nodes)],
        cwd=ROOT,
        env=os.environ | variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        family = [psutil.Process(process.pid)]
        family += family[0].children(recursive=True)
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.communicate()
        psutil.wait_procs(family)


def main(nodes: int) -> None:
    """Start the cluster, say where it is, and do as is asked until nobody wants it any more."""
    from ray.cluster_utils import Cluster

    common = {
        "object_store_memory": OBJECT_STORE_BYTES,
        "num_gpus": 0,
        "include_log_monitor": False,
    }
    quiet = {"include_dashboard": False, "_system_config": HEALTH_CHECKS}
    head = {"num_cpus": 0, **quiet, **common}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    others: list[Any] = []
    for _ in range(nodes):
        others.append(cluster.add_node(wait=False, num_cpus=CPUS, **common))
    _say(cluster, others)
    for _ in sys.stdin:
        others.append(cluster.add_node(wait=False, num_cpus=CPUS, **common))
        _say(cluster, others)


def _say(cluster: Any, nodes: list[Any]) -> None:
    cluster.wait_for_nodes()
    raylets = {each.node_id: each.all_processes["raylet"][0].process.pid for each in nodes}
    print(json.dumps({"address": cluster.address, "nodes": raylets}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
