"""Bad input of many kinds, as people give it: the declared outcome, and nothing else happens."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

import av
import pytest

from tests.bad_input import (
    addresses,
    containers,
    names,
    settings,
    shot_lists,
    stills,
    streams,
    work_roots,
)
from tests.bad_input.case import Answered, Case, Place, Published, Refused, RefusedOrPublished
from tests.bad_input.servers import BadServer
from tests.flows.conftest import Kinecolor, Said

pytestmark = [pytest.mark.timeout(60), pytest.mark.xdist_group("bad-input")]

CASES: Sequence[Case] = (
    *containers.CASES,
    *streams.CASES,
    *names.CASES,
    *stills.CASES,
    *shot_lists.CASES,
    *settings.CASES,
    *addresses.CASES,
    *work_roots.CASES,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_declared_outcome(
    kinecolor: Kinecolor, place: Place, server: BadServer, case: Case
) -> None:
    arguments = case.make(place)
    before = everything(place)
    said = kinecolor(*arguments)
    assert "Traceback" not in said.out + said.err
    assert "/film.mkv" not in server.asked  # which only files name
    assert everything(place) == before  # what was given is as it was, and nothing lies beside it
    match case.outcome:
        case Answered(words):
            assert said.code == 0 and re.search(words, said.out), said
        case Refused(words, code):
            is_refused(said, place, words, code)
        case RefusedOrPublished(words) if said.code != 0:
            is_refused(said, place, words, 1)
        case RefusedOrPublished(_, frames, fewer):
            found = is_published(said, kinecolor, place, arguments[-1])
            assert found == frames or (fewer and 0 < found < frames)
        case Published(frames, warning):
            assert is_published(said, kinecolor, place, arguments[-1]) == frames
            warnings = [each for each in said.json["warnings"] if "The still given" not in each]
            if warning:
                assert any(re.search(warning, each) for each in warnings), warnings
            else:
                assert warnings == []


def is_refused(said: Said, place: Place, words: str, code: int) -> None:
    what, remedy = said.error
    assert said.code == code, said.err
    assert re.search(words, what), said.err
    assert len(remedy) > 10
    left = {path.name for path in place.results.iterdir()}
    assert left <= {"work"}, left


def is_published(said: Said, kinecolor: Kinecolor, place: Place, source: str) -> int:
    """How many frames were published; the film is the source's, frame by frame."""
    assert said.code == 0, said.err
    with av.open(str(place.output)) as film:
        frames = sum(1 for _ in film.decode(video=0))
    assert said.json["status"] == "published"
    assert said.json["frames_in"] == said.json["frames_out"] == frames
    verified = kinecolor("verify", place.output, "--against", source, "--json")
    assert verified.code == 0, verified.err
    left = {path.name for path in place.results.iterdir()}
    assert left == {"work", "out.mkv", "out.mkv.frames.csv"}
    return frames


def everything(place: Place) -> dict[str, str]:
    """Every file and folder but the results, with a digest of its content."""
    root = place.folder.parent
    found = {}
    for folder, folders, files in os.walk(root):
        if Path(folder) == root:
            folders.remove(place.results.name)
        for name in (*folders, *files):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else ""
            found[str(path.relative_to(root))] = f"{mode} {content}"
    return found
