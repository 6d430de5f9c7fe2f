"""URLs behind which there is no film, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable

from tests.bad_input.case import Case, Place, Published, Refused
from tests.bad_input.containers import FRAMES


def _url(text: str) -> Callable[[Place], list[str]]:
    """`{server}` is the server with bad manners, `{film}` a whole film on the disk."""
    return lambda place: place.colorize(text.format(server=place.server, film=place.film()))


def _tls(place: Place) -> list[str]:
    return place.colorize(place.server.replace("http:", "https:") + "/film/film.mkv")


def _option(option: str, text: str) -> Callable[[Place], list[str]]:
    return lambda place: place.colorize(place.film(), option, text.format(server=place.server))


def _still(place: Place) -> list[str]:
    return place.command(place.film(), "--reference", f"{place.server}/404/still.png@f0")


_UNREACHABLE = "did not answer properly|Could not|[Nn]othing at|no film at"
_NOTHING_THERE = "There is no film at"

CASES = (
    Case("HTTP 404", _url("{server}/404/film.mkv"), Refused(_NOTHING_THERE)),
    Case("HTTP 403", _url("{server}/403/film.mkv"), Refused("permission denied")),
    Case("HTTP 401", _url("{server}/401/film.mkv"), Refused("permission denied")),
    Case("HTTP 500", _url("{server}/500/film.mkv"), Refused(_UNREACHABLE)),
    Case("HTTP 418", _url("{server}/418/film.mkv"), Refused(_UNREACHABLE)),
    Case("nobody at the port", _url("http://127.0.0.1:9/film.mkv"), Refused(_UNREACHABLE)),
    Case("no such host", _url("http://film.invalid/film.mkv"), Refused(_UNREACHABLE)),
    Case("no host", _url("http:///film.mkv"), Refused(_UNREACHABLE)),
    Case("no such port", _url("http://127.0.0.1:99999/film.mkv"), Refused(_UNREACHABLE)),
    Case("redirected for ever", _url("{server}/loop/film.mkv"), Refused(_UNREACHABLE)),
    Case("redirected to a file", _url("{server}/elsewhere/film.mkv"), Refused(_UNREACHABLE)),
    Case("a page for a film", _url("{server}/page/film.mkv"), Refused("not a (film|media file)")),
    Case("half an answer", _url("{server}/half/film.mkv"), Refused(_UNREACHABLE + "|damaged")),
    Case("TLS with a server that has none", _tls, Refused(_UNREACHABLE)),
    Case("an unknown protocol", _url("gopher://host/film.mkv"), Refused("gopher")),
    Case("a protocol that runs programs", _url("git://host:film.mkv"), Refused("git")),
    Case("a bucket without a name", _url("s3://"), Refused("no bucket")),
    Case("a bucket with an impossible name", _url("s3://A B/film.mkv"), Refused("s3://A B")),
    Case("a file URL", _url("file://{film}"), Published(FRAMES)),
    Case("a file URL of a host", _url("file://host{film}"), Refused(_NOTHING_THERE)),
    Case("a file URL of nothing", _url("file://"), Refused(_NOTHING_THERE)),
    Case("a NUL in percent signs", _url("file://{film}%00"), Refused("NUL")),
    Case("a work root without a bucket", _option("--work", "s3://"), Refused("no bucket")),
    Case("a still behind a 404", _still, Refused("no colour still")),
    Case("a page for a shot list", _option("--shots", "{server}/page/a"), Refused("missing: shot")),
    Case("a server that hangs", _url("{server}/hang/film.mkv"), Refused(_UNREACHABLE)),
)
