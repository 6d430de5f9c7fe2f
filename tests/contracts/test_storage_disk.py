"""What `storage` does on a local disk, beyond its contract."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from colorize_core import storage
from colorize_core.errors import StorageError, UnsafeStore
from tests.conftest import ROOT


def test_a_killed_writer_leaves_no_object_that_is_listed(tmp_path: Path) -> None:
    (tmp_path / ".kinecolor-0123").write_bytes(b"half")
    assert storage.list_names(str(tmp_path)) == []


def test_published_files_have_the_rights_that_new_files_have(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    for name in ("created", "replaced"):
        write = storage.put_if_absent if name == "created" else storage.replace_atomically
        write(str(tmp_path / name), b"x")
        assert (tmp_path / name).stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_disk_without_hard_links_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(UnsafeStore, match="no hard links"):
        storage.put_if_absent(str(tmp_path / "object"), b"x")
    storage.replace_atomically(str(tmp_path / "object"), b"x")
    assert os.listdir(tmp_path) == ["object"]  # noqa: PTH208  hidden names count


def test_publishing_crosses_file_systems(tmp_path: Path) -> None:
    shm = Path("/dev/shm")  # noqa: S108  another file system
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("one file system only")
    for send in (storage.publish, storage.upload_if_absent):
        made = shm / f"kinecolor-test-{uuid.uuid4().hex}"
        made.write_bytes(b"film")
        target = tmp_path / send.__name__
        try:
            send(made, str(target))
            assert target.read_bytes() == b"film"
            assert made.exists() == (send is storage.upload_if_absent)
        finally:
            made.unlink(missing_ok=True)
    assert len(os.listdir(tmp_path)) == 2  # noqa: PTH208


def test_publishing_crosses_mounts_of_one_file_system(tmp_path: Path) -> None:
    """As between two volumes of a container: one device, and no hard link from one to the other."""
    made, volume = tmp_path / "made", tmp_path / "volume"
    for folder in (made, volume, tmp_path / "disk"):
        folder.mkdir()
    (made / "film").write_bytes(b"film")
    own_mounts = ("unshare", "--user", "--map-root-user", "--mount")
    mount = ("mount", "--bind", str(tmp_path / "disk"), str(volume))
    if subprocess.run([*own_mounts, *mount], capture_output=True).returncode:
        pytest.skip("no mounts of one's own here")
    send = (
        "import pathlib, sys; from colorize_core import storage;"
        "sent = storage.upload_if_absent(pathlib.Path(sys.argv[1]), sys.argv[2]);"
        "sys.exit(0 if sent and storage.read(sys.argv[2]) == b'film' else 1)"
    )
    program = (sys.executable, "-c", send, str(made / "film"), str(volume / "film"))
    both = ("sh", "-c", '"$1" "$2" "$3" "$4" && shift 4 && exec "$@"', "sh", *mount, *program)
    done = subprocess.run([*own_mounts, *both], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["film"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"Could not write .*file"):
        storage.check_writable(str(tmp_path / "file" / "work"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="permission denied"):
            storage.check_writable(str(tmp_path))
    finally:
        tmp_path.chmod(0o700)
