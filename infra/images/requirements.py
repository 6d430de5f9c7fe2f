"""Prints the dependencies that a pyproject.toml declares, with those of the extras that are named:
``requirements.py PYPROJECT [EXTRA]…``. So they can be installed before the project is there."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def main() -> None:
    pyproject, *extras = sys.argv[1:]
    project = tomllib.loads(Path(pyproject).read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"]]
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    print(*wanted, sep="\n")


if __name__ == "__main__":
    main()
