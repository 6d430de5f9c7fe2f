"""Catalogues as people write them: from spreadsheets, scripts and databases."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colorize_core.archive.catalogue import Entry, read_catalogue
from colorize_core.errors import InputError


def entries(folder: Path, data: bytes, name: str = "films.csv") -> list[Entry]:
    (folder / name).write_bytes(data)
    return read_catalogue(str(folder / name))


def test_every_column(tmp_path: Path) -> None:
    text = (
        "source,film,prompt,references,shots,preset,priority,enabled,our shelf\n"
        'a.mkv,The Kid/reel 1,"A street, in spring",stills/a;b.png@f3,a.csv,fast,7,no,B12\n'
    )
    assert entries(tmp_path, text.encode()) == [
        Entry(
            source="a.mkv",
            film="The Kid/reel 1",
            prompt="A street, in spring",
            references="stills/a;b.png@f3",
            shots="a.csv",
            preset="fast",
            priority=7,
            enabled=False,
        )
    ]


@pytest.mark.parametrize(
    "text",
    [
        "source,priority\na.mkv,2\n\n,\n",
        "\ufeffSource;Priority\r\na.mkv;2\r\n",
        "priority,source\n 2 , a.mkv \n",
        "source,priority,priority of the shelf\na.mkv,2,9\n",
    ],
    ids=["plain", "a spreadsheet's", "in another order", "more columns"],
)
def test_forms_of_csv(tmp_path: Path, text: str) -> None:
    assert entries(tmp_path, text.encode()) == [Entry("a.mkv", priority=2)]


def test_parquet_with_its_own_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "source": ["a.mkv", "b.mkv"],
            "references": [["x.png", "y.png"], None],
            "priority": [3, None],
            "enabled": [True, False],
            "shelf": [object.__name__, None],
        }
    )
    pq.write_table(table, tmp_path / "films.parquet")
    assert read_catalogue(str(tmp_path / "films.parquet")) == [
        Entry("a.mkv", references="x.png;y.png", priority=3),
        Entry("b.mkv", enabled=False),
    ]


def test_a_wrong_row_concerns_its_film_only(tmp_path: Path) -> None:
    text = "source,priority,enabled\na.mkv,high,yes\nb.mkv,1,maybe\n,3,yes\nd.mkv,1,yes\n"
    found = entries(tmp_path, text.encode())
    assert ["no whole number" in found[0].error, "neither yes nor no" in found[1].error] == [
        True
    ] * 2
    assert found[2].error == "it names no source" and found[3] == Entry("d.mkv", priority=1)


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (b"film,priority\na,1\n", "films.csv", "no column “source”"),
        (b"source,film,film\na,b,c\n", "films.csv", "film twice"),
        (b"source\n\xff\xfe\n", "films.csv", "cannot be read"),
        (b"source\na\0b\n", "films.csv", "cannot be read"),
        (b'source\n"a\n', "films.csv", "cannot be read"),
        (b"", "films.csv", "no column “source”"),
        (b"source\na.mkv\n", "films.parquet", "cannot be read"),
    ],
)
def test_what_is_no_catalogue(tmp_path: Path, data: bytes, name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        entries(tmp_path, data, name)


def test_no_catalogue_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no catalogue"):
        read_catalogue(str(tmp_path / "none.csv"))


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(alphabet="source,;\n\"'=0\ufeff", max_size=80)))
def test_anything_is_entries_or_an_error(data: bytes | str) -> None:
    path = _SCRATCH / "films.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    try:
        found = read_catalogue(str(path))
    except InputError as error:
        assert error.remedy
    else:
        assert all(isinstance(each, Entry) for each in found)


_SCRATCH = Path()


@pytest.fixture(autouse=True, scope="module")
def _scratch(tmp_path_factory: pytest.TempPathFactory) -> None:
    global _SCRATCH
    _SCRATCH = tmp_path_factory.mktemp("catalogues")
