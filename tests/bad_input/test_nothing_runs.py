"""Nothing that is read back, or that a person or a source names, is run."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from colorize_core.paths import FilmPaths
from tests.bad_input.case import Place
from tests.bad_input.work_roots import finished_film
from tests.flows.conftest import Kinecolor

pytestmark = [pytest.mark.timeout(60), pytest.mark.xdist_group("bad-input")]


class Payload:
    """Makes a folder in the current one when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("was-run",)


PICKLED = pickle.dumps(Payload())


def in_numpy() -> bytes:
    """An archive of one array of objects, for each name that a time line has."""
    buffer = io.BytesIO()
    objects = np.array([Payload()], dtype=object)
    np.savez(buffer, pts=objects, time_base=objects, rate=objects)
    return buffer.getvalue()


def in_parquet() -> bytes:
    """A column of an extension type, which old versions of Arrow unpickled on sight."""
    marks = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": PICKLED,
    }
    schema = pa.schema([pa.field("ab", pa.binary(), metadata=marks)], metadata=marks)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"ab": [PICKLED]}, schema=schema), sink)
    return sink.getvalue().to_pybytes()


PAYLOADS = {"a pickle": lambda: PICKLED, "NumPy": in_numpy, "Parquet": in_parquet}


def test_the_payload_is_live(place: Place) -> None:
    pickle.loads(PICKLED)  # noqa: S301  the one that must
    assert (place.folder / "was-run").is_dir()


@pytest.mark.parametrize("kind", PAYLOADS)
def test_no_object_of_a_film_is_run(kinecolor: Kinecolor, place: Place, kind: str) -> None:
    film = finished_film(place)
    source = place.film()
    for path in objects_of(film):
        path.write_bytes(PAYLOADS[kind]())
    assert kinecolor("status", place.work).code == 1
    assert kinecolor("retry", place.work).code in (0, 1)
    # A shot list is a person's: it is not made anew in silence.
    assert kinecolor(*place.colorize(source)).code == 1
    Path(film.shots_csv).write_text("shot,start,end\n1,0,12\n")
    # No manifest says what the chunk should be: it is found out when the film is joined.
    assert "is not a chunk of this film" in kinecolor(*place.colorize(source)).error[0]
    said = kinecolor(*place.colorize(source))
    assert said.code == 0, said.err
    assert said.json["frames_out"] == 12
    assert not (place.folder / "was-run").exists()


def objects_of(film: FilmPaths) -> list[Path]:
    """Every object that runs read back, but for claims: one that cannot be read counts as another
    run's, and is waited for."""
    found = [path for path in Path(film.folder).rglob("*") if path.is_file()]
    assert {path.suffix for path in found} >= {".json", ".npz", ".csv", ".parquet", ".mkv", ".png"}
    return [path for path in found if path.suffix != ".html" and "claim" not in path.name]


def test_reports_show_words_as_words(kinecolor: Kinecolor, place: Place) -> None:
    markup = "<script>alert(1)</script>{{ 7 * 7 }}"
    source = place.film("<img src=x onerror=alert(1)>.mkv")
    shots = place.given("shots.csv", f"shot,start,end,prompt,note\n1,0,12,{markup},{markup}\n")
    said = kinecolor(*place.colorize(source, "--shots", shots))
    assert said.code == 0, said.err
    report = Path(said.json["report"]).read_text()
    assert "<script>alert" not in report and "<img src=x" not in report
    assert "&lt;img src=x" in report
