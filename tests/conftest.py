"""What every test shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _folder(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or ROOT.parent / "shared" / default)


@pytest.fixture(scope="session")
def footage() -> Path:
    """The folder of real clips, which is not part of the repository."""
    folder = _folder("KINECOLOR_FOOTAGE", "footage")
    if not folder.is_dir():
        pytest.skip(f"no footage at {folder} (KINECOLOR_FOOTAGE names another folder)")
    return folder
