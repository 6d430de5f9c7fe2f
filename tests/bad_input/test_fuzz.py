"""Whatever bytes and words come in: a value that holds what it promises, or an error of ours."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from colorize_core.chroma_file import decode_chroma, encode_chroma
from colorize_core.config import PRESETS, RunConfig, load_config
from colorize_core.engines.contract import Chroma
from colorize_core.errors import KinecolorError
from colorize_core.film import read_record, read_timeline
from colorize_core.frame_list import read_frame_list
from colorize_core.manifest.commit import encode
from colorize_core.manifest.read import decode
from colorize_core.manifest.schema import SegmentRow, arrow_schema
from colorize_core.manifest.seal import OPEN_SEAL, SEAL_KEY, seal
from colorize_core.paths import FilmPaths, film_ids
from colorize_core.references.stills import load_still, parse_reference
from colorize_core.request import kept_request
from colorize_core.shots.shot_list import ShotList, read_csv
from colorize_core.timebase import Timeline, parse_moment
from colorize_core.timings import Timings
from tests.core.manifest.rows import FILM, done, segment
from tests.media_factory import colour_picture

pytestmark = [pytest.mark.timeout(60), pytest.mark.xdist_group("bad-input")]

T = TypeVar("T")
fuzz = settings(
    max_examples=250,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PATHS = FilmPaths("/work", FILM)
FRAMES = 24
TIMELINE = Timeline(np.arange(FRAMES, dtype=np.int64) * 512, Fraction(1, 12288), Fraction(24))


def value_or_refusal(read: Callable[[], T]) -> T | None:
    """What was read; None where it was refused in our own words."""
    try:
        return read()
    except KinecolorError as error:
        assert error.what
        return None


def mutated(whole: bytes) -> st.SearchStrategy[bytes]:
    """`whole` with some of its bytes changed, and sometimes cut or continued."""

    def apply(changes: list[tuple[int, int]], end: int, more: bytes) -> bytes:
        data = bytearray(whole)
        for at, value in changes:
            data[at] = value
        return bytes(data[:end]) + more

    change = st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255))
    end = st.one_of(st.just(len(whole)), st.integers(0, len(whole)))
    more = st.one_of(st.just(b""), st.binary(max_size=40))
    return st.builds(apply, st.lists(change, max_size=6), end, more)


def inside(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


# -- shot lists ------------------------------------------------------------------------------

ODD_FIELDS = (
    "",
    " ",
    "-1",
    "1.5",
    "1e3",
    "NaN",
    "9" * 30,
    "٣",
    "=1+1",
    '"',
    "\0",
    "yes",
    "no",
    "x",
)
FIELDS = st.one_of(st.integers(0, FRAMES + 1).map(str), st.sampled_from(ODD_FIELDS), st.text())


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """Something like a shot list, which many a time is one."""
    header = draw(
        st.sampled_from(
            (
                "shot,start,end",
                "shot,start,end,prompt,enabled",
                "end,start,shot",
                "\ufeffSHOT,Start,END",
            )
        )
    )
    cuts = sorted(draw(st.sets(st.integers(1, FRAMES - 1), max_size=4)))
    starts = [0, *cuts]
    lines = [f"{i},{a},{b}" for i, (a, b) in enumerate(zip(starts, [*cuts, FRAMES], strict=True))]
    for at in draw(st.lists(st.integers(0, len(lines) - 1), max_size=2)):
        lines[at] = ",".join(draw(st.lists(FIELDS, max_size=6)))
    separator = draw(st.sampled_from(",;\t|"))
    end = draw(st.sampled_from(("\n", "\r\n", "\r", "\n\n")))
    text = end.join((header, *lines)).replace(",", separator)
    return text.encode("utf-8", "replace")


@fuzz
@given(st.one_of(st.binary(max_size=200), tables(), st.text().map(str.encode)))
@example(b"shot,start,end\n1,0,24\n")
def test_shot_lists(data: bytes) -> None:
    shots = value_or_refusal(lambda: read_csv(data, FRAMES))
    if shots is not None:
        assert isinstance(shots, ShotList) and shots.frames == FRAMES
        assert [shot.number for shot in shots] == list(range(1, len(shots) + 1))
        assert [shot.span.start for shot in shots] == [0, *(s.span.end for s in shots)][:-1]


# -- settings --------------------------------------------------------------------------------


def _names(values: dict[str, Any], before: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield before + name
        if isinstance(value, dict):
            yield from _names(value, f"{before}{name}.")


KEYS = tuple(_names(RunConfig().model_dump()))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)
VALUES = st.one_of(JSON.map(json.dumps), st.text(), st.sampled_from(("1", "0.5", "lab", "NaN")))
ASSIGNMENTS = st.one_of(
    st.builds(lambda key, value: f"{key}={value}", st.sampled_from(KEYS), VALUES),
    st.builds(lambda key, value: f"{key}={value}", st.text(max_size=20), VALUES),
    st.text(),
)


@fuzz
@given(st.sampled_from((*PRESETS, "", "../paper")), st.lists(ASSIGNMENTS, max_size=3))
@example("exemplar", ["anchor_interval=12", "match.working_pixels=4096"])
def test_settings(preset: str, assignments: list[str]) -> None:
    config = value_or_refusal(lambda: load_config(preset, assignments))
    if config is not None:
        assert RunConfig.model_validate_json(config.model_dump_json()) == config
        assert 1 <= config.anchor_interval <= 1000 and 0 <= config.seed < 2**31
        assert len(config.digest) == 64


# -- what is read back -----------------------------------------------------------------------

ROWS = [done(segment(1, 0)), segment(1, 1)]
NAME = PATHS.sealed_name(SegmentRow.table, 1)
MANIFEST = encode(SegmentRow, ROWS, NAME, "0" * 32, "a test")


def _sealed(table: pa.Table) -> bytes:
    """A whole manifest file with the wrong content."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, write_page_checksum=True) as file:
        file.write_table(table)
        file.add_key_value_metadata({SEAL_KEY: OPEN_SEAL})
    return seal(sink.getvalue().to_pybytes(), NAME)


@st.composite
def odd_manifests(draw: st.DrawFn) -> bytes:
    """Valid Parquet, validly sealed: with odd columns, types, values and metadata."""
    values = [row.model_dump() for row in ROWS]
    schema = arrow_schema(SegmentRow)
    columns = {
        name: pa.array([each[name] for each in values], schema.field(name).type)
        for name in schema.names
    }
    for name in draw(st.lists(st.sampled_from(schema.names), max_size=2)):
        odd = st.one_of(
            st.integers(-(2**63), 2**63 - 1), st.text(max_size=9), st.none(), st.floats()
        )
        value = draw(odd)
        columns[name] = pa.array([value, value])
    for name in draw(st.lists(st.sampled_from(schema.names), max_size=1)):
        columns.pop(name, None)
    if draw(st.booleans()):
        columns["more"] = pa.array([b"\x80\x04N."] * 2)
    metadata = dict(schema.metadata or {})
    for key in draw(st.lists(st.sampled_from(sorted(metadata)), max_size=1)):
        metadata[key] = draw(st.sampled_from((b"", b"one", b"-1", b"99", b"\xff", b"9" * 5000)))
    return _sealed(pa.table(columns).replace_schema_metadata(metadata))


@fuzz
@given(st.one_of(st.binary(max_size=300), mutated(MANIFEST), odd_manifests()))
@example(MANIFEST)
def test_manifests(data: bytes) -> None:
    rows = value_or_refusal(lambda: decode(data, SegmentRow, PATHS, 1))
    for row in rows or ():
        assert row == SegmentRow.model_validate(row.model_dump())


def _chroma(seed: int) -> Chroma:
    rng = np.random.default_rng(seed)
    ab = rng.uniform(-100, 100, (6, 8, 2)).astype(np.float32)
    return Chroma(ab, rng.uniform(0, 1, (6, 8)).astype(np.float32), ("ab" * 32,))


CHROMA = encode_chroma([_chroma(0), _chroma(1)])


@st.composite
def odd_chroma(draw: st.DrawFn) -> bytes:
    """Valid Parquet of the right columns, with sizes that their samples do not have."""
    table = pq.read_table(pa.BufferReader(CHROMA))
    sizes = st.one_of(st.sampled_from((0, 1, -1, 6, 8, 2**31 - 1, -(2**31))), st.integers(0, 50))
    for name in ("height", "width"):
        column = pa.array([draw(sizes), draw(sizes)], pa.int32())
        table = table.set_column(table.column_names.index(name), table.field(name), column)
    key = b"kinecolor.references"
    odd = (b"[]", b"{", b"[1,2]", b'[["x"]]', b"null", b"7", b'{"a": 1}', b"\xff", b"[" * 9999)
    if draw(st.booleans()):
        metadata = {**(table.schema.metadata or {}), key: draw(st.sampled_from(odd))}
        table = table.replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    return sink.getvalue().to_pybytes()


@fuzz
@given(st.one_of(st.binary(max_size=300), mutated(CHROMA), odd_chroma()))
@example(CHROMA)
def test_stored_colours(data: bytes) -> None:
    for chroma in value_or_refusal(lambda: decode_chroma(data, "segment.parquet")) or ():
        assert chroma.ab.shape == (*chroma.confidence.shape, 2)
        assert np.isfinite(chroma.ab).all() and np.isfinite(chroma.confidence).all()
        assert all(isinstance(each, str) for each in chroma.references)


LIST = b"frame,pts,time_base,time_s,luma_sha256\n0,0,1/24,0,aa\n1,1,1/24,1/24,bb\n"


@fuzz
@given(data=st.one_of(st.binary(max_size=200), mutated(LIST), st.text(max_size=99).map(str.encode)))
@example(data=LIST)
@example(data=LIST + b"2," + b"9" * 5000 + b",1/24,0,cc\n")
@example(data=LIST + b"2,1,1e999999999,0,cc\n")
def test_frame_lists(tmp_path: Path, data: bytes) -> None:
    uri = inside(tmp_path, "out.mkv.frames.csv", data)
    for row in value_or_refusal(lambda: list(read_frame_list(uri))) or ():
        assert isinstance(row.pts, int) and isinstance(row.time_base, Fraction)


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()


def _with_shape(frames: int) -> bytes:
    """A small file that says that it has so many frames."""
    buffer = io.BytesIO()
    header = {"descr": "<i8", "fortran_order": False, "shape": (frames,)}
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("time_base.npy", _npy(np.array([1, 24])))
        file.writestr("rate.npy", _npy(np.array([24, 1])))
        content = io.BytesIO()
        np.lib.format.write_array_header_1_0(content, header)
        file.writestr("pts.npy", content.getvalue() + bytes(80))
    return buffer.getvalue()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


TIMES = _npz(pts=TIMELINE.pts, time_base=np.array([1, 12288]), rate=np.array([24, 1]))
ARRAYS = st.sampled_from(
    [
        np.arange(3),
        np.arange(3)[::-1],
        np.zeros(3, np.int64),
        np.zeros(0, np.int64),
        np.zeros((2, 2), np.int64),
        np.array(7),
        np.array([0, 0]),
        np.array([1, -1]),
        np.array([1.5, np.nan]),
        np.array([np.inf, 1.0]),
        np.array(["1", "x"]),
        np.array([b"\x80\x04N.", b"x"]),
        np.array([2**63 - 1, 1], np.uint64),
        np.zeros(2, [("a", "i4")]),
    ]
)


@fuzz
@given(
    data=st.one_of(
        st.binary(max_size=200),
        mutated(TIMES),
        st.builds(lambda a, b, c: _npz(pts=a, time_base=b, rate=c), ARRAYS, ARRAYS, ARRAYS),
    )
)
@example(data=TIMES)
@example(data=_with_shape(10**9))
@example(data=_with_shape(10**15))
def test_time_lines(tmp_path: Path, data: bytes) -> None:
    uri = inside(tmp_path, "timeline.npz", data)
    line = value_or_refusal(lambda: read_timeline(uri))
    if line is not None:
        assert line.pts.dtype == np.int64 and bool(np.all(np.diff(line.pts) > 0))
        assert line.time_base > 0 and line.rate > 0


@fuzz
@given(data=st.data())
def test_records_of_a_film(finished: Path, tmp_path: Path, data: st.DataObject) -> None:
    (film,) = film_ids(str(finished))
    paths = FilmPaths(str(tmp_path), film)
    whole = (finished / "films" / film / "film.json").read_bytes()
    for name, read in (
        ("film.json", lambda: read_record(paths)),
        ("request.json", lambda: kept_request(paths)),
        ("../../timings.json", lambda: Timings.load(str(tmp_path))),
    ):
        stored = data.draw(
            st.one_of(mutated(whole), st.binary(max_size=99), JSON.map(json.dumps).map(str.encode))
        )
        inside(Path(paths.folder), name, stored)
        value_or_refusal(read)


# -- what a person types ---------------------------------------------------------------------

MOMENTS = st.one_of(
    st.text(max_size=20),
    st.from_regex(r"\A(f?\d{0,30}(\.\d{0,12})?|\d{0,9}:?\d{0,3}:\d{0,3}([:;.]\d{0,10})?)\Z"),
)


@fuzz
@given(MOMENTS)
@example("f23")
@example("0:0.95")
def test_moments(text: str) -> None:
    frame = value_or_refusal(lambda: parse_moment(text, TIMELINE))
    assert frame is None or 0 <= frame < FRAMES
    for form in (text, f"still.png@{text}", f"@{text}", f"a@{text}.png", f"s3://b/@{text}"):
        value_or_refusal(lambda form=form: parse_reference(form))


def _encoded(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(colour_picture(0, 0, 16, 12)).save(buffer, form)
    return buffer.getvalue()


PICTURES = [_encoded(form) for form in ("PNG", "JPEG", "TIFF", "WEBP")]


@fuzz
@given(data=st.one_of(st.binary(max_size=200), *map(mutated, PICTURES)))
@example(data=PICTURES[0])
def test_stills(tmp_path: Path, data: bytes) -> None:
    still = value_or_refusal(lambda: load_still(inside(tmp_path, "still.png", data)))
    if still is not None:
        assert still.lab.dtype == np.float32 and np.isfinite(still.lab).all()
