"""A model hub in small: the Hugging Face cache's layout on disk, and a server of its API."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


def files_of(folder: Path) -> dict[str, Path]:
    """A repository's files by their path in it."""
    found = (each for each in sorted(folder.rglob("*")) if each.is_file())
    return {each.relative_to(folder).as_posix(): each for each in found}


def blob_name(path: Path) -> str:
    """What the cache calls a file: sha256 of a large one (LFS), git's sha1 of a small one."""
    data = path.read_bytes()
    if path.suffix == ".safetensors":
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()  # noqa: S324  git's own


def save_to_cache(cache: Path, repo: str, commit: str, folder: Path) -> Path:
    """`folder` in the cache as the hub's library would leave it; gives the snapshot's folder."""
    home = cache / f"models--{repo.replace('/', '--')}"
    snapshot = home / "snapshots" / commit
    (home / "blobs").mkdir(parents=True)
    for name, path in files_of(folder).items():
        blob = home / "blobs" / blob_name(path)
        blob.write_bytes(path.read_bytes())
        link = snapshot / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return snapshot


@contextmanager
def served(
    repo: str, commit: str, folder: Path, refuse: str = ""
) -> Iterator[tuple[str, list[str]]]:
    """A hub on loopback with one repository; gives its URL and the paths that were downloaded.

    `refuse`: the hub's own code of an error with which everything is answered.
    """
    downloads: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

        def _answer(self) -> None:
            files = files_of(folder)
            path = self.path.partition("?")[0]
            api = f"/api/models/{repo}"
            name = path.removeprefix(f"/{repo}/resolve/{commit}/")
            if refuse:
                self._send(403, b"{}", {"X-Error-Code": refuse})
            elif path == f"{api}/revision/{commit}":
                listed = [{"rfilename": name, "size": _size(path)} for name, path in files.items()]
                self._send_json({"id": repo, "sha": commit, "siblings": listed})
            elif path == f"{api}/tree/{commit}":
                self._send_json([_entry(*each) for each in files.items()])
            elif name in files:
                if self.command == "GET":
                    downloads.append(name)
                headers = {"ETag": f'"{blob_name(files[name])}"', "X-Repo-Commit": commit}
                self._send(200, files[name].read_bytes(), headers)
            else:
                known = path.startswith(f"{api}/")
                code = "RevisionNotFound" if known else "RepoNotFound"
                self._send(404, b"{}", {"X-Error-Code": code})

        def _send_json(self, value: object) -> None:
            self._send(200, json.dumps(value).encode(), {})

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", downloads
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _entry(name: str, path: Path) -> dict[str, object]:
    oid, size = blob_name(path), _size(path)
    entry: dict[str, object] = {"type": "file", "path": name, "size": size, "oid": oid}
    large = path.suffix == ".safetensors"
    return entry | ({"lfs": {"oid": oid, "size": size, "pointerSize": 130}} if large else {})


def _size(path: Path) -> int:
    return path.stat().st_size
