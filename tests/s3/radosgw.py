"""Ceph's S3 gateway on one node with everything in memory: a real S3 server (Debian's packages
radosgw, ceph-mon, ceph-osd and ceph-common; scripts/install-servers)."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.s3.endpoint import Endpoint, make_bucket

PROGRAMS = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph", "monmaptool")
START_S = 120

_CONFIGURATION = """\
[global]
fsid = {fsid}
mon_initial_members = a
mon_host = v1:127.0.0.1:{mon}/0
ms_bind_msgr2 = false
ms_bind_ipv6 = false
public_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
auth_supported = none
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
mon_warn_on_pool_no_redundancy = false
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
osd_crush_chooseleaf_type = 0
osd_crush_update_on_start = false
osd_class_update_on_start = false
osd_objectstore = memstore
memstore_device_bytes = 2147483648
rgw_enable_usage_log = false
rgw_multipart_min_part_size = 65536
run_dir = {folder}
pid_file = {folder}/$name.pid
admin_socket = {folder}/$name.asok
log_file = {folder}/$name.log
mon_cluster_log_file = {folder}/cluster.log
[mon.a]
mon_data = {folder}/mon
[osd.0]
osd_data = {folder}/osd
[client.rgw.a]
rgw_frontends = beast endpoint=127.0.0.1:{gateway}
"""


def missing_programs() -> list[str]:
    return [each for each in PROGRAMS if shutil.which(each) is None]


@contextmanager
def radosgw(folder: Path) -> Iterator[Endpoint]:
    """The gateway with the bucket that tests use; all that it writes is in `folder`."""
    ports = _free_ports(2)
    endpoint = Endpoint(f"http://127.0.0.1:{ports[1]}")
    configuration = folder / "ceph.conf"
    fsid = str(uuid.uuid4())
    configuration.write_text(
        _CONFIGURATION.format(fsid=fsid, folder=folder, mon=ports[0], gateway=ports[1])
    )
    for each in ("mon", "osd"):
        (folder / each).mkdir()
    monitors = str(folder / "monmap")
    address = f"[v1:127.0.0.1:{ports[0]}]"
    with ExitStack() as daemons:
        ceph = _Ceph(configuration, folder / "output.txt", daemons)
        ceph.run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, monitors)
        ceph.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors)
        ceph.start("ceph-mon", "-f", "-i", "a")
        osd = str(uuid.uuid4())
        ceph.run("ceph", "osd", "new", osd)
        ceph.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        # Not left to the OSD itself, which may do so before it knows its cluster, and ends then.
        ceph.run("ceph", "osd", "crush", "add", "osd.0", "1", "root=default", "host=here")
        ceph.start("ceph-osd", "-f", "-i", "0")
        user = ("--access-key", endpoint.key, "--secret", endpoint.secret)
        ceph.run("radosgw-admin", "user", "create", "--uid=t", "--display-name=t", *user)
        gateway = ceph.start("radosgw", "-f", "-n", "client.rgw.a")
        _wait_until_it_answers(gateway, endpoint.url)
        make_bucket(endpoint)
        yield endpoint


class _Ceph:
    """Runs Ceph's programs on one configuration; its daemons end with `daemons`."""

    def __init__(self, configuration: Path, output: Path, daemons: ExitStack) -> None:
        self._environment = {**os.environ, "CEPH_CONF": str(configuration)}
        self._output = daemons.enter_context(output.open("ab"))
        self._daemons = daemons

    def run(self, *command: str) -> None:
        subprocess.run(
            command,
            env=self._environment,
            stdout=self._output,
            stderr=self._output,
            timeout=START_S,
            check=True,
        )

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command, env=self._environment, stdout=self._output, stderr=self._output
        )
        self._daemons.callback(_kill, process)
        return process


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _wait_until_it_answers(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]
