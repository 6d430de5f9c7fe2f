#!/opt/kinecolor/bin/python
"""Gets this pod a certificate from cert-manager: ``request-certificate FOLDER [NAME]…``.

Ray's nodes call each other by address and check certificates by it, so each pod needs one with its
own address, which is not known before it is placed. The key is made here and never leaves the pod;
what goes to the Kubernetes API is a CertificateRequest for POD_IP, 127.0.0.1, localhost and the
names given. It belongs to the pod and goes with it.

Writes tls.key, tls.crt and ca.crt into FOLDER. Reads the environment: ISSUER (an Issuer of this
namespace), POD_IP, POD_NAME, POD_UID, POD_NAMESPACE, KUBERNETES_SERVICE_HOST and …_PORT, and
SERVICE_ACCOUNT, the folder with the API's token and authority, where that is not Kubernetes' own.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ACCOUNT = Path(os.environ.get("SERVICE_ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))
WAIT_S = 120
POLL_S = 1
# Ray reads its certificate once, when it starts: a pod has to be younger than this.
LIFETIME = "8760h"
ISSUER_KIND = {"group": "cert-manager.io", "kind": "Issuer"}
USAGES = ["digital signature", "key encipherment", "server auth", "client auth"]

REFUSED = "Look at it (kubectl describe certificaterequest), and at the Issuer that ISSUER names."
SLOW = "Is cert-manager at work, and the Issuer that ISSUER names ready?"
FORBIDDEN = "The pod's account has to be allowed to create and get certificaterequests."
NO_API = "Is the pod allowed to reach it (network policies), and is ca.crt its authority?"


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("request-certificate FOLDER [NAME]…")
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    key = ec.generate_private_key(ec.SECP256R1())
    status = _issued(_create(_signing_request(key, names)))
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "tls.key", _pem(key))
    _write(folder / "tls.crt", base64.b64decode(status["certificate"]))
    _write(folder / "ca.crt", base64.b64decode(status["ca"]))


def _signing_request(key: ec.EllipticCurvePrivateKey, names: list[str]) -> bytes:
    addresses = [ipaddress.ip_address(each) for each in (os.environ["POD_IP"], "127.0.0.1")]
    alternatives = [
        *(x509.IPAddress(each) for each in addresses),
        *(x509.DNSName(each) for each in ("localhost", *names)),
    ]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ray")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    request = request.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _create(signing_request: bytes) -> str:
    """Asks for the certificate; gives the request's name."""
    pod = {"name": os.environ["POD_NAME"], "uid": os.environ["POD_UID"]}
    asked = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "CertificateRequest",
        "metadata": {
            "generateName": f"{pod['name']}-",  # an init container that is started again asks again
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", **pod}],
        },
        "spec": {
            "request": base64.b64encode(signing_request).decode(),
            "issuerRef": {**ISSUER_KIND, "name": os.environ["ISSUER"]},
            "duration": LIFETIME,
            "usages": USAGES,
        },
    }
    return _call("POST", "", asked)["metadata"]["name"]


def _issued(name: str) -> dict[str, str]:
    """The request's status once the certificate is there."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        status = _call("GET", f"/{name}").get("status", {})
        for condition in status.get("conditions", ()):
            if condition["reason"] in ("Failed", "Denied"):
                raise _end(f"CertificateRequest {name}: {condition.get('message')}", REFUSED)
        if status.get("certificate") and status.get("ca"):
            return status
        time.sleep(POLL_S)
    raise _end(f"CertificateRequest {name}: no certificate after {WAIT_S} s.", SLOW)


def _call(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    api = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    namespace = f"/apis/cert-manager.io/v1/namespaces/{os.environ['POD_NAMESPACE']}"
    request = urllib.request.Request(  # noqa: S310  https, as above
        f"{api}{namespace}/certificaterequests{path}",
        method=method,
        data=json.dumps(body).encode() if body else None,
        headers={
            "Authorization": f"Bearer {(ACCOUNT / 'token').read_text(encoding='utf-8').strip()}",
            "Content-Type": "application/json",
        },
    )
    trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    try:
        with urllib.request.urlopen(request, timeout=30, context=trust) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        raise _end(
            f"{method} {namespace}/certificaterequests{path}: {error.code} {said}", FORBIDDEN
        ) from error
    except urllib.error.URLError as error:
        raise _end(
            f"The Kubernetes API at {api} does not answer: {error.reason}", NO_API
        ) from error


def _end(what: str, remedy: str) -> SystemExit:
    return SystemExit(f"{what}\n{remedy}")


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)


if __name__ == "__main__":
    main()
