"""The rings hold: imports point inward only (docs/architecture.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# ring → top-level packages that it must not import
FORBIDDEN = {
    "colorize_core": {"tasks", "flows", "deployments", "prefect", "ray"},
    "tasks": {"flows", "deployments"},
    "flows": set[str](),
    "deployments": set[str](),
}
FSSPEC = {"fsspec", "s3fs", "botocore", "aiobotocore"}
FSSPEC_MAY = {"storage_remote.py"}
UNSAFE = {"pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0]


def _modules() -> list[Path]:
    return [path for ring in FORBIDDEN for path in sorted((ROOT / ring).rglob("*.py"))]


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_inward(path: Path) -> None:
    ring = path.relative_to(ROOT).parts[0]
    found = set(_imports(path))
    assert not found & FORBIDDEN[ring]
    assert not found & UNSAFE
    if path.name not in FSSPEC_MAY:
        assert not found & FSSPEC


def test_the_check_would_see_a_breach(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from prefect.flows import Flow\n    import ray.util\n")
    assert set(_imports(bad)) == {"prefect", "ray"}


def test_no_shell_strings() -> None:
    for path in _modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                pytest.fail(f"{path}:{node.value.lineno} runs a shell")
