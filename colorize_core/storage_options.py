"""How stores are reached: options from the environment, and how long a store may be silent.

``KINECOLOR_STORAGE__<PROTOCOL>__<OPTION>[__<KEY>…]=value`` is an option of fsspec's file system for
that protocol; names are lower-cased, values are JSON or else text::

    KINECOLOR_STORAGE__S3__ENDPOINT_URL=https://s3.archive.example
    KINECOLOR_STORAGE__S3__PROFILE=archive
    KINECOLOR_STORAGE__S3__CLIENT_KWARGS__REGION_NAME=eu-central-1

They win over fsspec's own configuration (files, ``FSSPEC_…``), which wins over the limits here.
What stores' own tools read (for S3: ``AWS_…`` variables, profiles) goes on working. A worker on
another machine reads the environment of its own process: set there what is set here.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Collection, Mapping
from typing import Any

from colorize_core.errors import SettingError
from colorize_core.redact import STORAGE_PREFIX, is_secret

CONNECT_TIMEOUT_S = 5
# Between two packets, and from the last one sent to the answer. Stores answer within a second; the
# end of a big multipart upload takes longest, and AWS sends blanks meanwhile.
SILENCE_TIMEOUT_S = 15
# Two for each request, so that one lost part does not send a whole film again. Whoever called
# repeats the rest (storage_failures.py): more here would multiply with those.
S3_ATTEMPTS = 2
# Parts that one upload sends at once; with PART_BYTES (storage_remote.py) that is its memory.
S3_CONCURRENCY = 4


def store_options(
    protocols: Collection[str], configured: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The options of the file system that has these names, such as "s3" and "s3a".

    `configured` is fsspec's own configuration: options by protocol.

    Raises:
        SettingError: a variable that cannot be understood. The message names it, not its value.
    """
    options = _limits(protocols)
    for protocol in protocols:
        options = _merged(options, configured.get(protocol, {}))
    return _merged(options, from_environment(protocols))


def from_environment(protocols: Collection[str]) -> dict[str, Any]:
    """What the variables ``KINECOLOR_STORAGE__<PROTOCOL>__…`` of these protocols say.

    Raises:
        SettingError: as `store_options`.
    """
    options: dict[str, Any] = {}
    for variable in sorted(os.environ):  # a whole option comes before the keys in it
        if not variable.startswith(STORAGE_PREFIX):
            continue
        store, *keys = variable.removeprefix(STORAGE_PREFIX).lower().split("__")
        if not (store and keys and all(keys)):
            raise SettingError(
                f"{variable} names no option of a store.",
                f"Write {STORAGE_PREFIX}<PROTOCOL>__<OPTION>, such as {STORAGE_PREFIX}S3__PROFILE.",
            )
        if store in protocols:
            _set(options, keys, _value(keys[-1], os.environ[variable]), variable)
    return options


def _set(options: dict[str, Any], keys: list[str], value: Any, variable: str) -> None:
    for key in keys[:-1]:
        options = options.setdefault(key, {})
        if not isinstance(options, dict):
            raise SettingError(
                f"{variable} goes into an option that another variable sets to a plain value.",
                f"Set that option to a JSON object, or take {variable} away.",
            )
    options[keys[-1]] = value


def _value(name: str, text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    # A key of digits is text all the same.
    return text if is_secret(name) and isinstance(value, (int, float)) else value


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, `above` first; options that are mappings on both sides key by key."""
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = _merged(old, value)
        merged[name] = value
    return merged


def _limits(protocols: Collection[str]) -> dict[str, Any]:
    if "s3" in protocols:
        return {"config_kwargs": _s3_limits(), "max_concurrency": S3_CONCURRENCY}
    if "http" in protocols:
        from aiohttp import ClientTimeout  # not needed, and slow to load, without remote stores

        silence = ClientTimeout(sock_connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_TIMEOUT_S)
        return {"client_kwargs": {"timeout": silence}}
    return {}


def _s3_limits() -> dict[str, Any]:
    retries: dict[str, Any] = {}
    if "AWS_RETRY_MODE" not in os.environ:
        retries["mode"] = "standard"  # with jitter, and knows every kind of overload
    if "AWS_MAX_ATTEMPTS" not in os.environ:
        retries["total_max_attempts"] = S3_ATTEMPTS
    return {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": SILENCE_TIMEOUT_S,
        "retries": retries,
        "connector_args": {"socket_factory": _socket},
    }


def _socket(address: tuple[int, int, int, str, Any]) -> socket.socket:
    """A socket that gives up on a peer which takes no more bytes: aiohttp limits how long it waits
    to read, and waits for ever to write."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_TIMEOUT_S * 1000)
    return made
