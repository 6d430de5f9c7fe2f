"""The seal of a manifest file: a digest of all its bytes and its name, kept in its own metadata.

Parquet's page checksums leave the footer open: schema, statistics, row counts. And a whole file in
another's place is damage, too. The seal is looked for in the bytes, so that no parser meets a
damaged footer.
"""

from __future__ import annotations

import hashlib

_MARK = b"sha256 of this file without its seal: "
_DIGITS = 64

SEAL_KEY = b"kinecolor.seal"
OPEN_SEAL = _MARK + b"0" * _DIGITS  # the metadata's value until `seal`


def seal(data: bytes, name: str) -> bytes:
    """A file that was written with an open seal, sealed as the object `name`."""
    at = data.rindex(OPEN_SEAL) + len(_MARK)
    return data[:at] + _digest(data, at, name) + data[at + _DIGITS :]


def is_sealed(data: bytes) -> bool:
    """Whether there is a seal in `data`."""
    return _MARK in data


def is_whole(data: bytes, name: str) -> bool:
    """Whether the sealed `data` is, to the bit, what was sealed as the object `name`.

    Raises:
        ValueError: `data` has no seal.
    """
    at = data.rindex(_MARK) + len(_MARK)  # the metadata are behind all rows
    return data[at : at + _DIGITS] == _digest(data, at, name)


def _digest(data: bytes, at: int, name: str) -> bytes:
    digest = hashlib.sha256(name.encode() + b"\0")
    digest.update(data[:at])
    digest.update(data[at + _DIGITS :])
    return digest.hexdigest().encode()
