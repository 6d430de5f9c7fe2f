"""A proxy on loopback between a client and an S3 server, which does what networks do.

It passes requests on as they are (Host is part of their signature), spoils the ones that a `Fault`
picks, and keeps a record of all.
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HANG_S = 60  # at most: a proxy that is closed lets go of all
CHUNK = 64 * 2**10


class Kind(Enum):
    """What happens to a request."""

    HANG = "no answer within the time limit"
    STALL = "no more of the request's body is taken"
    SLOW_DOWN = "503 SlowDown"
    BROKEN = "500 InternalError"
    RESET = "reset before the request is read"
    RESET_MIDWAY = "reset in the middle of the body, of the request or else of the answer"
    LOST = "passed on; the connection is reset in the place of the answer"
    TRUNCATED = "half of the answer's body, then the end"


@dataclass
class Fault:
    """`kind` for the next `times` requests with this method whose path holds `path`, and after
    `skip` of them."""

    kind: Kind
    method: str
    path: str = ""
    times: int = 1
    skip: int = 0

    def picks(self, method: str, path: str) -> bool:
        if method != self.method or self.path not in path or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, and what came back: status 0 where nothing did."""

    method: str
    path: str
    range: str | None
    status: int
    length: int


@dataclass
class Proxy:
    """The proxy's address, its faults to come and its record."""

    url: str
    upstream: str
    faults: list[Fault] = field(default_factory=list)
    record: list[Exchange] = field(default_factory=list)
    spoilt: list[Kind] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    calm: threading.Event = field(default_factory=threading.Event)

    def calm_down(self) -> None:
        """Lets go of requests that hang, and forgets what was."""
        with self.lock:
            self.calm.set()
            self.calm = threading.Event()
            for each in (self.faults, self.record, self.spoilt):
                each.clear()

    def fault(self, method: str, path: str) -> Kind | None:
        with self.lock:
            found = next((each.kind for each in self.faults if each.picks(method, path)), None)
            self.spoilt += [found] if found else []
            return found


class _Server(ThreadingHTTPServer):
    proxy: Proxy

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        self.close_request(request)  # without a FIN first, which would hide a reset

    def handle_error(self, *_: object) -> None:
        """Clients that go away in the middle are part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _serve(self) -> None:
        self.close_connection = True  # so that no thread is left to wait for a second request
        proxy = self.server.proxy
        fault = proxy.fault(self.command, self.path)
        sent = 0, 0
        if fault is Kind.RESET:
            self._reset()
        elif fault in {Kind.HANG, Kind.STALL}:
            if fault is Kind.HANG:
                self._body()
            proxy.calm.wait(HANG_S)
            self._reset()
        elif fault in {Kind.SLOW_DOWN, Kind.BROKEN}:
            self._body()
            sent = self._refuse(*_REFUSALS[fault])
        elif fault is Kind.RESET_MIDWAY and self._length():
            self.rfile.read(self._length() // 2)
            self._reset()
        else:
            sent = self._pass_on(fault)
        with proxy.lock:
            record = self.command, self.path, self.headers.get("Range")
            proxy.record.append(Exchange(*record, *sent))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815  names of http.server

    def _length(self) -> int:
        return int(self.headers.get("Content-Length") or 0)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(self._length())
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _pass_on(self, fault: Kind | None) -> tuple[int, int]:
        body = self._body()
        server = http.client.HTTPConnection(urlsplit(self.server.proxy.upstream).netloc)
        try:
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _BETWEEN_TWO:
                    server.putheader(name, value)
            server.putheader("Content-Length", str(len(body)))
            server.endheaders(body)
            answer = server.getresponse()
            content = answer.read()
        finally:
            server.close()
        if fault is Kind.LOST:
            self._reset()
            return 0, 0
        return self._answer(answer, content, fault)

    def _answer(
        self, answer: http.client.HTTPResponse, content: bytes, fault: Kind | None
    ) -> tuple[int, int]:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _BETWEEN_TWO or self.command == "HEAD":
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        if fault in {Kind.TRUNCATED, Kind.RESET_MIDWAY}:
            content = content[: len(content) // 2]
        self.wfile.write(content)
        if fault is Kind.RESET_MIDWAY:
            self._reset()
        return answer.status, len(content)

    def _refuse(self, status: int, code: str) -> tuple[int, int]:
        content = f"<Error><Code>{code}</Code><Message>by the proxy</Message></Error>".encode()
        content = b"" if self.command == "HEAD" else content
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
        return status, len(content)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def log_message(self, *_: object) -> None:
        pass


_BETWEEN_TWO = {"connection", "content-length", "expect", "keep-alive", "transfer-encoding"}
_REFUSALS = {Kind.SLOW_DOWN: (503, "SlowDown"), Kind.BROKEN: (500, "InternalError")}


@contextmanager
def proxy(upstream: str) -> Iterator[Proxy]:
    """A proxy for the server at the URL `upstream`, without faults at first."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.daemon_threads = False  # so that closing waits for them
    server.proxy = Proxy(f"http://127.0.0.1:{server.server_port}", upstream)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.proxy
    finally:
        server.proxy.calm_down()
        server.shutdown()
        thread.join()
        server.server_close()
