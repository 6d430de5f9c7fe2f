from __future__ import annotations

import os
from pathlib import Path

import pytest

from colorize_core import storage
from colorize_core.errors import InputError


def test_names_are_put_together_and_taken_apart() -> None:
    assert storage.join("s3://b/", "a", "c.mkv") == "s3://b/a/c.mkv"
    assert storage.join("/", "a") == "/a"
    assert storage.join("memory://", "a", "b") == "memory://a/b"
    assert storage.parent("s3://b/a/c.mkv") == "s3://b/a"
    assert storage.parent("/a/c.mkv") == "/a"
    assert storage.name_of("https://host/a/c.mkv?signature=1") == "c.mkv"
    assert storage.name_of("/a/c?.mkv") == "c?.mkv"


def test_local_and_remote_are_told_apart() -> None:
    assert storage.local_path("film.mp4") == Path("film.mp4")
    assert storage.local_path("a:b/film@f1.mp4") == Path("a:b/film@f1.mp4")
    assert storage.local_path("file:///reels/a%20b.mp4") == Path("/reels/a b.mp4")
    assert storage.local_path("s3://b/film.mp4") is None
    assert storage.local_path("simplecache::s3://b/film.mp4") is None


def test_uris_are_normalised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    real = os.path.realpath(tmp_path)
    assert storage.normalise("~/film.mp4") == f"{real}/film.mp4"
    assert storage.normalise("a/../film.mp4") == f"{real}/film.mp4"
    assert storage.normalise("s3://bucket/work/") == "s3://bucket/work"
    assert storage.normalise("memory://") == "memory://"
    nowhere = ("", " ", "~no-such-user-here/film.mp4", "s3://", "a\0b", "file:///a%00b")
    for wrong in nowhere:
        with pytest.raises(InputError):
            storage.normalise(wrong)
