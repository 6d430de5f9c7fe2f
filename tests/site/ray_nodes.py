"""Ray nodes as an archive starts them: `ray start`, each a process of its own, on one machine."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from tests.infra.test_ray_node import free_port, until

RAY = Path(sys.executable).parent / "ray"


@dataclass(frozen=True)
class Node:
    """A node: what holds it, `ray start --block`, and all that this started."""

    process: subprocess.Popen[bytes]

    def lose(self) -> None:
        """As if its machine had lost its power."""
        with suppress(psutil.NoSuchProcess):
            holder = psutil.Process(self.process.pid)
            for each in [holder, *holder.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
        self.process.wait()


@dataclass(frozen=True)
class Nodes:
    """A cluster of a head, which does no work, and two nodes of a CPU. `variables`: what a program
    needs to join it."""

    variables: dict[str, str]
    working: tuple[Node, Node]


@contextmanager
def ray_nodes() -> Iterator[Nodes]:
    """A cluster that asks for a token."""
    # Not pytest's folder: the names of Ray's sockets may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="kc-ray-", ignore_cleanup_errors=True) as folder:
        address = f"127.0.0.1:{free_port()}"
        variables = {
            "RAY_ADDRESS": address,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(16),
            "RAY_TMPDIR": folder,
        }
        started = list[Node]()
        try:
            port = address.rpartition(":")[2]
            started.append(_start(variables, "--head", f"--port={port}", "--num-cpus=0"))
            until(lambda: _is_up(variables))
            for alive in (2, 3):
                started.append(_start(variables, f"--address={address}", "--num-cpus=1"))
                # One after the other: two that look for free ports at once may take the same.
                until(partial(_are_alive, variables, alive))
            yield Nodes(variables, (started[1], started[2]))
        finally:
            for each in started:
                each.lose()


def _start(variables: dict[str, str], *options: str) -> Node:
    command = [RAY, "start", *options, "--num-gpus=0", "--object-store-memory=100000000", "--block"]
    command += ["--node-ip-address=127.0.0.1", "--disable-usage-stats"]
    command += [f"--dashboard-agent-listen-port={free_port()}"]
    command += ["--min-worker-port=0", "--max-worker-port=0"]
    if "--head" in options:
        command.append("--include-dashboard=false")
    environment = {name: each for name, each in os.environ.items() if not name.startswith("RAY_")}
    told = {name: each for name, each in variables.items() if name != "RAY_ADDRESS"}
    return Node(
        subprocess.Popen(
            command,
            env=environment | told,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    )


def _is_up(variables: dict[str, str]) -> bool:
    command = [RAY, "health-check", "--address", variables["RAY_ADDRESS"]]
    told = {"env": {**os.environ, **variables}, "capture_output": True, "timeout": 90}
    return subprocess.run(command, **told).returncode == 0


_COUNT = """
import ray
ray.init(log_to_driver=False, logging_level="error")
print(sum(node["Alive"] for node in ray.nodes()))
"""


def _are_alive(variables: dict[str, str], nodes: int) -> bool:
    told = {"env": {**os.environ, **variables}, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", _COUNT], check=True, **told)
    return int(done.stdout) == nodes
