"""Text without secrets, for messages, manifests and reports."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

STORAGE_PREFIX = "KINECOLOR_STORAGE__"

_USER_INFO = re.compile(r"(?<=://)[^/\s]+@")
_QUERY = re.compile(r"(\w+://[^\s?]+)\?\S+")

# Variables of store clients whose value is a secret.
_SECRET_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AZURE_CLIENT_SECRET",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "HF_TOKEN",
    "PREFECT_API_AUTH_STRING",
    "PREFECT_API_KEY",
    "RAY_AUTH_TOKEN",
)
# These hold options of any kind, some of which are secrets.
_OPTION_PREFIXES = (STORAGE_PREFIX, "FSSPEC_")
_SECRET_NAME = re.compile(
    r"key|secret|token|pass|auth|cred|cookie|sas|signature|connection_string", re.IGNORECASE
)
_SHORTEST_SECRET = 6  # a shorter one would be found inside ordinary words


def redact(text: str) -> str:
    """`text` without what could be a secret: user info and query strings of its URLs, and the
    values that the environment gives to store clients as keys, tokens and passwords."""
    text = _QUERY.sub(r"\1?…", _USER_INFO.sub("***@", text))
    for secret in sorted(set(_secrets()), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def is_secret(name: str) -> bool:
    """Whether an option called `name` may hold a secret."""
    return _SECRET_NAME.search(name) is not None


def _secrets() -> Iterator[str]:
    for name, value in os.environ.items():
        if name in _SECRET_VARIABLES:
            found = [value]
        elif name.startswith(_OPTION_PREFIXES):
            found = [value] if is_secret(name) else []
            found += _secret_leaves(value, secret=is_secret(name))
        else:
            continue
        yield from (each for each in found if len(each) >= _SHORTEST_SECRET)


def _secret_leaves(text: str, *, secret: bool) -> list[str]:
    """The secrets inside an option that is JSON."""
    if not text.lstrip().startswith(("{", "[", '"')):
        return []
    try:
        return list(_leaves(json.loads(text), secret))
    except ValueError:
        return []


def _leaves(value: Any, secret: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, secret or is_secret(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, secret)
    elif secret and isinstance(value, str):
        yield value
