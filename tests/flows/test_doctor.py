"""`kinecolor doctor`: true on this machine, and alive on a bare one."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flows.doctor import Check, diagnose
from tests.conftest import ROOT

_ASK = """
import json, sys
sys.path.insert(0, {root!r})
from flows.doctor import diagnose
lines = [[c.name, c.ok, c.required, c.detail, c.remedy] for c in diagnose()]
heavy = [name for name in ("ray", "prefect", "torch") if name in sys.modules]
print(json.dumps([lines, heavy]))
"""


def _in_new_process(*options: str) -> tuple[dict[str, Check], list[str]]:
    program = [sys.executable, *options, "-c", _ASK.format(root=str(ROOT))]
    said = subprocess.run(program, capture_output=True, text=True, check=True, timeout=60)
    lines, heavy = json.loads(said.stdout)
    return {line[0]: Check(*line) for line in lines}, heavy


def _line(name: str, work: Path = Path()) -> Check:
    return next(check for check in diagnose(work) if check.name == name)


def test_every_line_says_what_was_found_and_only_a_bad_one_what_to_do() -> None:
    checks = diagnose()
    assert len({check.name for check in checks}) == len(checks)
    for check in checks:
        assert check.detail
        assert bool(check.remedy) != check.ok, check


def test_what_the_tests_themselves_use_is_found() -> None:
    found = {check.name: check for check in diagnose()}
    for name in ("Python", "PyAV", "Encoder ffv1", "Encoder libx264", "OpenCV", "Ray", "Prefect"):
        assert found[name].ok, found[name]


def test_it_imports_neither_ray_nor_prefect_nor_torch() -> None:
    _, heavy = _in_new_process()
    assert heavy == []


def test_without_any_package_it_still_answers() -> None:
    found, _ = _in_new_process("-I", "-S")  # the standard library alone
    for name in ("PyAV", "OpenCV", "Ray", "Prefect", "Package versions"):
        assert not found[name].ok
        assert found[name].required
        assert found[name].remedy
    assert found["Python"].ok
    assert not found["Extra diffusion"].required


@pytest.mark.parametrize(
    ("name", "variable", "form"),
    [
        ("Prefect server", "PREFECT_API_URL", "http://{}:{}/api"),
        ("Ray cluster", "RAY_ADDRESS", "{}:{}"),
    ],
)
def test_a_server_that_is_asked_for_must_listen(
    monkeypatch: pytest.MonkeyPatch, name: str, variable: str, form: str
) -> None:
    monkeypatch.delenv(variable, raising=False)
    assert _line(name).ok
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv(variable, form.format(*server.getsockname()))
        assert _line(name).ok
    gone = _line(name)
    assert not gone.ok
    assert gone.required
    assert variable in gone.remedy


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("PREFECT_API_URL", "nonsense", "Prefect server"),
        ("PREFECT_API_URL", "http://host:port/api", "Prefect server"),
        ("RAY_ADDRESS", "ray://head:10001", "Ray cluster"),
        ("RAY_ADDRESS", "head", "Ray cluster"),
    ],
)
def test_an_address_of_the_wrong_form_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, name: str
) -> None:
    monkeypatch.setenv(variable, value)
    check = _line(name)
    assert not check.ok
    assert variable in check.detail


def test_a_work_root_that_is_still_to_be_made(tmp_path: Path) -> None:
    check = _line("Work root", tmp_path / "films" / "work")
    assert check.ok
    assert str(tmp_path) in check.detail
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="/proc takes no files, even from root")
def test_a_work_root_that_cannot_be_written() -> None:
    check = _line("Work root", Path("/proc/films"))
    assert not check.ok
    assert check.required
