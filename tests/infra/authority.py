"""The part of a Kubernetes API with cert-manager that a pod asks for its certificate: a real HTTPS
server on loopback with a real authority, which signs what it is asked for."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PATH = "/apis/cert-manager.io/v1/namespaces/films/certificaterequests"
TOKEN = "the-account's-token"  # noqa: S105
_PEM = serialization.Encoding.PEM


class Authority:
    """A certificate authority."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("authority")
        self.certificate = self._sign(self._name, self._key.public_key(), (), is_authority=True)

    def sign(self, request: x509.CertificateSigningRequest) -> bytes:
        return self._sign(request.subject, request.public_key(), request.extensions)

    def server(self, folder: Path) -> Path:
        """Key and certificate of a server at 127.0.0.1, in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        asked = x509.CertificateSigningRequestBuilder().subject_name(_name("api"))
        asked = asked.add_extension(names, critical=False).sign(key, hashes.SHA256())
        pkcs8, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        path = folder / "server.pem"
        path.write_bytes(key.private_bytes(_PEM, pkcs8, none) + self.sign(asked))
        return path

    def _sign(
        self,
        subject: x509.Name,
        key: Any,
        extensions: Sequence[x509.Extension[Any]] | x509.Extensions,
        *,
        is_authority: bool = False,
    ) -> bytes:
        now = datetime.now(UTC)
        constraints = x509.BasicConstraints(ca=is_authority, path_length=None)
        builder = (
            x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(constraints, critical=True)
        )
        for each in extensions:
            builder = builder.add_extension(each.value, each.critical)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(_PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


@dataclass
class Api:
    """A running API. A certificate is there when it is looked for the second time.

    Attributes:
        port, account: where it listens, and the folder of the account that may ask it.
        asked: the bodies of the requests for a certificate.
        looks: how often somebody looked for one.
        refusal: a condition, in the place of a certificate.
    """

    port: int
    account: Path
    asked: list[dict[str, Any]] = field(default_factory=list)
    looks: int = 0
    refusal: dict[str, str] | None = None

    def environment(self, address: str) -> dict[str, str]:
        """What Kubernetes would tell a pod at `address`."""
        return {
            "ISSUER": "ray",
            "POD_IP": address,
            "POD_NAME": "node-1",
            "POD_UID": "8a6e",
            "POD_NAMESPACE": "films",
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.port),
            "SERVICE_ACCOUNT": str(self.account),
        }


@contextmanager
def kubernetes_api(folder: Path) -> Iterator[Api]:
    """Such an API, with `folder` for its files."""
    authority = Authority()
    (folder / "ca.crt").write_bytes(authority.certificate)
    (folder / "token").write_text(TOKEN, encoding="utf-8")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(authority))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.server(folder))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.api = api = Api(server.server_port, folder)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(authority: Authority) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self.api.asked.append(json.loads(self.rfile.read(length)))
            self._answer(201 if self.path == PATH else 404, {"metadata": {"name": "node-1-x"}})

        def do_GET(self) -> None:
            self.api.looks += 1
            found = self.path == f"{PATH}/node-1-x"
            self._answer(200 if found else 404, {"status": self._status()})

        def _status(self) -> dict[str, Any]:
            if self.api.refusal:
                return {"conditions": [self.api.refusal]}
            if self.api.looks < 2:
                return {}
            asked = base64.b64decode(self.api.asked[-1]["spec"]["request"])
            signed = authority.sign(x509.load_pem_x509_csr(asked))
            given = {"certificate": signed, "ca": authority.certificate}
            return {name: base64.b64encode(each).decode() for name, each in given.items()}

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                status, body = 401, {"message": "Unauthorized"}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

        @property
        def api(self) -> Api:
            return self.server.api  # type: ignore[attr-defined]

    return Handler
