"""URLs without their secrets, for messages, manifests and reports."""

from __future__ import annotations

import re

_USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY = re.compile(r"(\w+://[^\s?]+)\?\S+")


def redact(text: str) -> str:
    """`text` without what could be a secret in its URLs: user info and query strings."""
    return _QUERY.sub(r"\1?…", _USER_INFO.sub("***@", text))
