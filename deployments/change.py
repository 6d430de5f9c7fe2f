"""One change of a server, as it is shown, and how it is made."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `before` and `after` are what it is like, as JSON; None: it is not there."""

    what: str
    before: Any
    after: Any
    make: Callable[[], object]

    def __str__(self) -> str:
        """A unified diff."""
        old, new = (
            yaml.safe_dump(each, allow_unicode=True).splitlines() if each is not None else []
            for each in (self.before, self.after)
        )
        lines = difflib.unified_diff(
            old, new, f"server: {self.what}", f"files: {self.what}", lineterm=""
        )
        return "\n".join(lines)
