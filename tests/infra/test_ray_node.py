"""infra/images/with-ray-node, on a real cluster that is closed as infra/kubernetes closes it: TLS
with a certificate from request-certificate, and a token."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.infra.authority import kubernetes_api
from tests.infra.manifests import INFRA
from tests.infra.test_request_certificate import SCRIPT

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]

WITH_RAY_NODE = INFRA / "images" / "with-ray-node"
BIN = Path(sys.executable).parent
LIMIT_S = 90
DRIVER = """
import ray, signal, sys
print("SIGINT ends it:", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="error")
alive = [node for node in ray.nodes() if node["Alive"]]
print(len(alive), ray.cluster_resources()["CPU"], ray.get(ray.remote(lambda: "done").remote()))
"""


@dataclass(frozen=True)
class Cluster:
    """A head: its address, what its nodes are told, and the folder of their certificate."""

    address: str
    environment: dict[str, str]
    tls: Path

    def start(self, *command: str) -> subprocess.Popen[str]:
        """The command beside a node of its own."""
        return subprocess.Popen(
            [WITH_RAY_NODE, *command],
            env={**self.environment, "RAY_ADDRESS": self.address, "AGENT_PORT": str(free_port())},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # Not pytest's folder: the names of Ray's sockets may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="kc-", ignore_cleanup_errors=True) as folder:
        yield from closed_cluster(Path(folder))


def closed_cluster(folder: Path) -> Iterator[Cluster]:
    tls = folder / "tls"
    address = own_address()
    with kubernetes_api(folder) as api:
        asks = [sys.executable, SCRIPT, tls]
        subprocess.run(asks, env=api.environment(address), check=True, timeout=60)
    token = folder / "ray_token"
    token.write_text("0123456789abcdef0123456789abcdef")
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("RAY_")},
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "TMPDIR": str(folder),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USE_TLS": "1",
        "RAY_TLS_SERVER_CERT": str(tls / "tls.crt"),
        "RAY_TLS_SERVER_KEY": str(tls / "tls.key"),
        "RAY_TLS_CA_CERT": str(tls / "ca.crt"),
    }
    port = free_port()
    start = [BIN / "ray", "start", "--head", f"--port={port}", "--num-cpus=1", "--block"]
    start += ["--include-dashboard=false", f"--dashboard-agent-listen-port={free_port()}"]
    head = subprocess.Popen(
        start,
        env=environment,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        cluster = Cluster(f"{address}:{port}", environment, tls)
        until(lambda: healthy(cluster))
        yield cluster
    finally:
        end(head)


def healthy(cluster: Cluster) -> bool:
    check = [BIN / "ray", "health-check", "--address", cluster.address]
    told = {"env": cluster.environment, "capture_output": True, "timeout": LIMIT_S}
    return subprocess.run(check, **told).returncode == 0


def own_address() -> str:
    """This machine's address, as Ray finds it: nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def end(process: subprocess.Popen[str]) -> None:
    """Ends a process, and kills what is left of all that it started in its session."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(LIMIT_S)
    for each in left_of(process):
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


def left_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """What is still there of all that a process of its own session started."""

    def is_left(each: psutil.Process) -> bool:
        try:
            return os.getsid(each.pid) == process.pid and each.status() != psutil.STATUS_ZOMBIE
        except (OSError, psutil.NoSuchProcess):
            return False

    return [each for each in psutil.process_iter() if is_left(each)]


def read_until(process: subprocess.Popen[str], line: str) -> list[str]:
    """The lines of a process up to `line`."""
    assert process.stdout
    lines = []
    for each in process.stdout:
        lines.append(each.strip())
        if lines[-1] == line:
            return lines
    raise AssertionError(lines)


WAITS = "trap 'echo told; exit 0' TERM; echo waits; while :; do sleep 0.2; done"


def test_a_driver_runs_on_a_node_of_its_own_until_sigterm(cluster: Cluster) -> None:
    drives = f'"{sys.executable}" -c "$0" "$1" && {WAITS}'
    process = cluster.start("bash", "-c", drives, DRIVER, cluster.address)
    try:
        lines = read_until(process, "waits")
        assert lines[-2:] == ["2 1.0 done", "waits"]
        assert "SIGINT ends it: True" in lines  # Prefect's worker rests on it
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 143
        assert "told" in output.splitlines()
        until(lambda: not left_of(process))
    finally:
        end(process)


def test_a_command_ends_with_its_node(cluster: Cluster) -> None:
    process = cluster.start("bash", "-c", WAITS)
    try:
        read_until(process, "waits")
        (raylet,) = (each for each in left_of(process) if each.name() == "raylet")
        raylet.kill()
        output, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 1
        assert "The Ray node has gone" in output and "told" in output.splitlines()
        until(lambda: not left_of(process))
    finally:
        end(process)


def test_the_cluster_is_closed(cluster: Cluster) -> None:
    told = {**cluster.environment, "RAY_AUTH_TOKEN": "f" * 32}
    check = [BIN / "ray", "health-check", "--address", cluster.address]
    stranger = subprocess.run(check, env=told, capture_output=True, text=True, timeout=LIMIT_S)
    assert stranger.returncode == 1 and "InvalidAuthToken" in stranger.stderr
    assert answer(cluster, with_certificate=True)
    assert not answer(cluster, with_certificate=False)


def answer(cluster: Cluster, *, with_certificate: bool) -> bytes:
    """The first bytes of what the head says to somebody with, or without, a certificate."""
    context = ssl.create_default_context(cafile=str(cluster.tls / "ca.crt"))
    context.set_alpn_protocols(["h2"])
    if with_certificate:
        context.load_cert_chain(cluster.tls / "tls.crt", cluster.tls / "tls.key")
    host, port = cluster.address.split(":")
    with (
        socket.create_connection((host, int(port)), LIMIT_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as encrypted,
    ):
        try:
            return encrypted.recv(64)
        except ssl.SSLError as refused:
            assert "CERTIFICATE_REQUIRED" in str(refused)
            return b""
