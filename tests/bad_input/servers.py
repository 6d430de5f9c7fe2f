"""An HTTP server with bad manners, on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast


class BadServer(ThreadingHTTPServer):
    """Attributes: asked: the paths of all requests. film: a film's bytes. over: ends what hangs."""

    daemon_threads = True

    def __init__(self, film: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.film = film
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def bad_server(film: Path) -> Iterator[BadServer]:
    """Serves until the context is left; its threads end with it."""
    with BadServer(film.read_bytes()) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        server = cast(BadServer, self.server)
        server.asked.append(self.path)
        name = self.path.strip("/").partition("/")[0]
        if name.isdecimal():
            self.say(int(name), b"")
        elif name == "loop":
            self.say(302, b"", Location=self.path)
        elif name == "elsewhere":
            self.say(302, b"", Location="file:///etc/passwd")
        elif name == "page":
            self.say(200, b"<html>Sign in first.</html>" * 99)
        elif name == "half":
            self.say(200, server.film, sent=len(server.film) // 2)
        elif name == "film":
            self.say(200, server.film)
        else:
            server.over.wait(120)
            self.close_connection = True

    def say(self, status: int, body: bytes, sent: int | None = None, **headers: str) -> None:
        """An answer; of its body only so many bytes are `sent`."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:sent])
        if sent is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name there
        """Nothing: what is printed is the program's."""
