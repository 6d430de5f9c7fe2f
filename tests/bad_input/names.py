"""Names and places: what is no film, files that name other files, names that programs could
misread, and places where nothing can be."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable

from PIL import Image

from tests.bad_input.case import Case, Place, Published, Refused
from tests.bad_input.containers import FRAMES


def _file(name: str, content: bytes | str) -> Callable[[Place], list[str]]:
    return lambda place: place.colorize(place.given(name, content))


def _named(name: str, whole: str = "film.mkv") -> Callable[[Place], list[str]]:
    """A whole film under a name, given as a person in its folder types it."""

    def make(place: Place) -> list[str]:
        place.film(name, whole)
        return place.colorize(name)

    return make


def _typed(source: str) -> Callable[[Place], list[str]]:
    """A source as it is typed, with a whole film.mkv in the current folder."""

    def make(place: Place) -> list[str]:
        return place.colorize(source.format(film=place.film()))

    return make


def _list_of(name: str, text: str) -> Callable[[Place], list[str]]:
    """A file that names a film on the disk, or one on a server."""

    def make(place: Place) -> list[str]:
        return place.colorize(
            place.given(name, text.format(film=place.film(), server=place.server))
        )

    return make


def _picture(place: Place) -> list[str]:
    path = place.folder / "picture.mp4"
    Image.new("RGB", (64, 48), "red").save(path, "PNG")
    return place.colorize(path)


def _moving_picture(place: Place) -> list[str]:
    path = place.folder / "film.gif"
    frames = [Image.new("RGB", (64, 48), (shade, 0, 0)) for shade in (0, 100, 200)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return place.colorize(path)


def _archive(place: Place) -> list[str]:
    path = place.folder / "film.mkv"
    with zipfile.ZipFile(path, "w") as file:
        file.write(place.films / "film.mkv", "film.mkv")
    return place.colorize(path)


def _folder(place: Place) -> list[str]:
    (place.folder / "film.mkv").mkdir()
    return place.colorize("film.mkv")


def _pipe(*arguments: str, source: str = "film.mkv") -> Callable[[Place], list[str]]:
    """With a named pipe, which nobody writes to."""

    def make(place: Place) -> list[str]:
        os.mkfifo(place.folder / "pipe")
        place.film()
        return place.colorize(source, *arguments)

    return make


def _link(target: str) -> Callable[[Place], list[str]]:
    def make(place: Place) -> list[str]:
        (place.folder / "film.mkv").symlink_to(target)
        return place.colorize("film.mkv")

    return make


def _output(name: str) -> Callable[[Place], list[str]]:
    return lambda place: place.colorize(place.film(), "-o", name.format(folder=place.folder))


def _work(name: str) -> Callable[[Place], list[str]]:
    def make(place: Place) -> list[str]:
        place.given("file", "no folder")
        return place.colorize(place.film(), "--work", name)

    return make


_ODD_NAMES = {
    "a protocol in its name": "http:film.mkv",
    "an option in its name": "-rf.mkv",
    "a command in its name": "a b'\"$(touch x);`touch y`&|.mkv",
    "a pattern in its name": "film%03d[*]{1,2}?.mkv",
    "a list in its name": "concat:film|film.mkv",
    "an FFmpeg option in its name": "subfile,,start,0,end,99,,:film.mkv",
    "other scripts in its name": "фильм 映画 🎬 é.mkv",
    "a new line in its name": "one\ntwo.mkv",
    "a control character in its name": "red\x1b[31m.mkv",
    "a name of 240 letters": "n" * 236 + ".mkv",
    "a name with a moment": "film@f3.mkv",
    "no ending": "film",
    "the wrong ending": "film.mp4",
    "the ending of a picture": "film.png",
    "only dots": "....mkv",
}
_PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{0}\n#EXT-X-ENDLIST\n"
_MANIFEST = """<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">
<Period><AdaptationSet><Representation><BaseURL>{server}/film.mkv</BaseURL></Representation>
</AdaptationSet></Period></MPD>
"""
_ANNOUNCED = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=film
c=IN IP4 127.0.0.1
t=0 0
m=video 5004 RTP/AVP 96
a=rtpmap:96 H264/90000
"""
_NOT_A_FILM = "not a film|not a media file"
_NOTHING_THERE = "There is no film at|[Nn]othing at"

CASES = (
    *(Case(name, _named(file), Published(FRAMES)) for name, file in _ODD_NAMES.items()),
    # what is no film
    Case(
        "a text", _file("film.mkv", "It was a dark and stormy night. " * 99), Refused(_NOT_A_FILM)
    ),
    Case("an empty file", _file("film.mp4", b""), Refused(_NOT_A_FILM)),
    Case("zeros", _file("film.mp4", bytes(99_999)), Refused(_NOT_A_FILM)),
    Case("one letter", _file("film.mkv", b"\x1a"), Refused(_NOT_A_FILM)),
    Case("a picture", _picture, Refused(_NOT_A_FILM)),
    Case("a moving picture", _moving_picture, Refused(_NOT_A_FILM)),
    Case("an archive", _archive, Refused(_NOT_A_FILM)),
    Case("a shell script", _file("film.mp4", "#!/bin/sh\ntouch x\n"), Refused(_NOT_A_FILM)),
    Case(
        "an SVG",
        _file("film.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>"),
        Refused(_NOT_A_FILM),
    ),
    Case("a folder", _folder, Refused(_NOTHING_THERE)),
    Case("a pipe", _pipe(source="pipe"), Refused(_NOTHING_THERE)),
    Case("a device", _typed("/dev/zero"), Refused(_NOTHING_THERE)),
    Case("a link to nothing", _link("elsewhere.mkv"), Refused(_NOTHING_THERE)),
    Case("a link to itself", _link("film.mkv"), Refused(_NOTHING_THERE + "|loop|links")),
    Case("nothing", _typed(""), Refused("empty")),
    Case("blanks", _typed("   "), Refused("empty")),
    Case("a NUL", _typed("film\0.mkv"), Refused("NUL")),
    Case("a line that is missing", _typed("one\nError: two.mkv"), Refused("at .*one�Error: two")),
    Case("colours that are missing", _typed("\x1b]0;title\x07\x1b[31m.mkv"), Refused("31m")),
    Case("not UTF-8", _typed("film\udce9.mkv"), Refused("UTF-8")),
    Case("a name of 5000 letters", _typed("n" * 5000), Refused("too long|nnn")),
    # what only names a film
    Case(
        "a play list of a file",
        _list_of("film.m3u8", _PLAYLIST.format("file:{film}")),
        Refused(_NOT_A_FILM),
    ),
    Case(
        "a play list on a server",
        _list_of("film.m3u8", _PLAYLIST.format("{server}/film.mkv")),
        Refused(_NOT_A_FILM),
    ),
    Case(
        "a play list as a film",
        _list_of("film.mkv", _PLAYLIST.format("{server}/film.mkv")),
        Refused(_NOT_A_FILM),
    ),
    Case(
        "a list to join",
        _list_of("film.ffconcat", "ffconcat version 1.0\nfile '{film}'\n"),
        Refused(_NOT_A_FILM),
    ),
    Case(
        "a list of secrets",
        _list_of("film.ffconcat", "ffconcat version 1.0\nfile '/etc/passwd'\n"),
        Refused(_NOT_A_FILM),
    ),
    Case(
        "a manifest of a stream",
        _list_of(
            "film.mpd",
            _MANIFEST,
        ),
        Refused(_NOT_A_FILM),
    ),
    Case(
        "an announced stream",
        _list_of(
            "film.sdp",
            _ANNOUNCED,
        ),
        Refused(_NOT_A_FILM),
    ),
    Case("a list as FFmpeg types it", _typed("concat:{film}|{film}"), Refused(_NOTHING_THERE)),
    Case(
        "a part as FFmpeg types it",
        _typed("subfile,,start,0,end,0,,:{film}"),
        Refused(_NOTHING_THERE),
    ),
    Case("a pipe as FFmpeg types it", _typed("pipe:0"), Refused(_NOTHING_THERE)),
    # where the result goes
    Case("no ending of the result", _output("film"), Refused("no ending")),
    Case("the ending of a picture for the result", _output("film.png"), Refused("no ending")),
    Case("the result over the source", _output("film.mkv"), Refused("overwrite the source")),
    Case(
        "the result over the source, by a detour",
        _output("../given/./film.mkv"),
        Refused("overwrite the source"),
    ),
    Case("the result below a file", _output("film.mkv/out.mkv"), Refused("Could not write")),
    Case("the result in a device", _output("/dev/null/out.mkv"), Refused("Could not write")),
    Case("the result by an unknown protocol", _output("gopher://host/out.mkv"), Refused("gopher")),
    Case("the result by HTTP", _output("http://127.0.0.1:9/out.mkv"), Refused("cannot be written")),
    Case("a work root that is a file", _work("file"), Refused("Could not write")),
    Case("a work root below a file", _work("file/work"), Refused("Could not write")),
    Case("a work root without a name", _work(""), Refused("empty")),
    # where else a file is asked for
    Case("a pipe as a shot list", _pipe("--shots", "pipe"), Refused("no shot list")),
    Case("a pipe as a still", _pipe("--reference", "pipe"), Refused("no colour still")),
    Case(
        "a pipe as a folder of stills",
        _pipe("--references", "pipe"),
        Refused("no picture in the folder"),
    ),
)
