"""infra/images/request_certificate.py, against a real HTTPS server that signs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.infra.authority import Api, kubernetes_api
from tests.infra.manifests import INFRA

SCRIPT = INFRA / "images" / "request_certificate.py"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    folder = tmp_path / "account"
    folder.mkdir()
    with kubernetes_api(folder) as api:
        yield api


def request(api: Api, folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, folder, *names],
        env=api.environment("192.0.2.7"),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_pod_gets_a_certificate_of_its_address_and_names(api: Api, tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    done = request(api, folder, "head", "head.films.svc")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    certificate = x509.load_pem_x509_certificate((folder / "tls.crt").read_bytes())
    issuer = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    certificate.verify_directly_issued_by(issuer)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = names.get_values_for_type(x509.IPAddress)
    assert addresses == [ip_address("192.0.2.7"), ip_address("127.0.0.1")]
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "head", "head.films.svc"]
    key = serialization.load_pem_private_key((folder / "tls.key").read_bytes(), None)
    assert key.public_key() == certificate.public_key()
    assert (folder / "tls.key").stat().st_mode & 0o077 == 0
    (asked,) = api.asked
    assert asked["spec"]["issuerRef"]["name"] == "ray"
    assert asked["metadata"]["ownerReferences"][0]["uid"] == "8a6e"
    assert b"PRIVATE" not in str(asked).encode()


@pytest.mark.parametrize("reason", ["Denied", "Failed"])
def test_a_refusal_is_told(api: Api, tmp_path: Path, reason: str) -> None:
    api.refusal = {"type": "Ready", "status": "False", "reason": reason, "message": "not you"}
    done = request(api, tmp_path / "tls")
    assert done.returncode == 1
    assert done.stderr.startswith("CertificateRequest node-1-x: not you\nLook at it")
    assert not (tmp_path / "tls").exists()


def test_a_wrong_token_is_told(api: Api, tmp_path: Path) -> None:
    (api.account / "token").write_text("somebody else's")
    done = request(api, tmp_path / "tls")
    assert done.returncode == 1
    assert "401" in done.stderr and "Unauthorized" in done.stderr
    assert "somebody" not in done.stderr


def test_an_api_of_another_authority_is_not_told_the_token(api: Api, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with kubernetes_api(other):
        (api.account / "ca.crt").write_bytes((other / "ca.crt").read_bytes())
    done = request(api, tmp_path / "tls")
    assert done.returncode == 1
    assert "does not answer" in done.stderr and "CERTIFICATE_VERIFY_FAILED" in done.stderr
    assert api.asked == []
