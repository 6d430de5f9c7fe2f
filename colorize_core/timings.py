"""Measured seconds by part and device, kept in the work root: what estimates are made from.

The unit of work is one megapixel of one network evaluation for a part with networks, and one
megapixel of one frame for a part without and for the stage *finish*.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from colorize_core import storage
from colorize_core.engines.catalog import PartFacts
from colorize_core.errors import ObjectMissing
from colorize_core.names import MERGE_VERSION
from colorize_core.paths import timings_json
from colorize_core.work import AnchorsItem, Outcome, WorkItem

FINISH = f"finish/{MERGE_VERSION}"  # as if the last stage were a part
_EARLIER = 0.5  # how much earlier runs count against a new one, for each unit of work

# Seconds for a unit of work before anything was measured in a work root, by part, then device.
# CPU: processor seconds of one thread on the machine of docs/performance.md, preset exemplar on
# DAVIS-2016 blackswan, kite-surf and breakdance (854 × 480), the middle frame's colours given.
# Those of version 2 are version 1's and what it was measured to take more.
# Parts with networks: none was measured on a GPU, so there is no figure yet.
SHIPPED: Mapping[str, Mapping[str, float]] = {
    "match/2": {"cpu": 0.9},
    "flow/2": {"cpu": 0.58},
    FINISH: {"cpu": 0.18},
}


class Total(BaseModel):
    """Work done: `units` in `seconds`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    units: float = Field(gt=0)
    seconds: float = Field(ge=0)

    def plus(self, other: Total | None, share: float = 1.0) -> Total:
        """This and `share` of `other`."""
        if other is None:
            return self
        return Total(
            units=self.units + share * other.units, seconds=self.seconds + share * other.seconds
        )


class _File(BaseModel):
    """`timings.json`: part (``svd/1``) → device ("cpu", or a GPU's name) → total."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = 1
    totals: dict[str, dict[str, Total]] = {}


class Timings:
    """What was measured before, and what is measured now. Any thread may `add`.

    `warning`: why an earlier file was passed over; empty where it was not.
    """

    def __init__(self, earlier: Mapping[tuple[str, str], Total], warning: str = "") -> None:
        self.warning = warning
        self._earlier = dict(earlier)
        self._now: dict[tuple[str, str], Total] = {}
        self._lock = Lock()

    @classmethod
    def load(cls, work: str) -> Timings:
        """Of a work root; where its file is missing or damaged, as if nothing had been measured.

        Raises:
            StorageError: the store cannot be read.
        """
        uri = timings_json(work)
        try:
            file = _File.model_validate_json(storage.read(uri))
        except ObjectMissing:
            return cls({})
        except ValidationError:
            return cls({}, f"{storage.redact(uri)} is damaged; nothing measured before counts.")
        return cls(
            {
                (part, device): total
                for part, devices in file.totals.items()
                for device, total in devices.items()
            }
        )

    def rate(self, part: str, device: str) -> float | None:
        """Seconds for a unit of work; None: no figure yet."""
        total = self._total((part, device))
        return total.seconds / total.units if total else SHIPPED.get(part, {}).get(device)

    def is_measured(self, part: str, device: str) -> bool:
        """Whether the rate was measured in this work root, and not shipped."""
        return self._total((part, device)) is not None

    def add(self, part: str, device: str, units: float, seconds: float) -> None:
        """Take note of work that was done."""
        key = (part, device)
        with self._lock:
            self._now[key] = Total(units=units, seconds=seconds).plus(self._now.get(key))

    def add_outcome(self, item: WorkItem, outcome: Outcome, facts: PartFacts) -> None:
        """Take note of a finished item."""
        part, amount = work_in(item, facts)
        self.add(part, outcome.device, amount, outcome.seconds)

    def save(self, work: str) -> None:
        """Write everything to the work root. Of two runs at once the last one counts: no harm.

        Raises:
            StorageError: the store cannot be written.
        """
        totals: dict[str, dict[str, Total]] = {}
        for part, device in sorted({*self._earlier, *self._now}):
            if total := self._total((part, device)):
                totals.setdefault(part, {})[device] = total
        text = _File(totals=totals).model_dump_json(indent=2)
        storage.replace_atomically(timings_json(work), text.encode())

    def _total(self, key: tuple[str, str]) -> Total | None:
        now, earlier = self._now.get(key), self._earlier.get(key)
        return now.plus(earlier, _EARLIER) if now else earlier


def units(calls: float, frames: float, pixels: int) -> float:
    """Work in `frames` frames of `pixels` with `calls` network evaluations each (0: no network)."""
    return frames * (calls or 1.0) * pixels / 1e6


def work_in(item: WorkItem, facts: PartFacts) -> tuple[str, float]:
    """The part that does an item, and how many units of work it is."""
    source = item.film.source
    part = facts.by_stage().get(item.stage)
    if part is None:
        return FINISH, units(0, item.frames, source.width * source.height)
    width, height = part.working_size(source.width, source.height, source.sar)
    frames = item.frames
    if isinstance(item, AnchorsItem) and not (part.walks and _lie_inside(item)):
        frames = len(item.anchors)
    return part.label, units(part.network_calls, frames, width * height)


def _lie_inside(item: AnchorsItem) -> bool:
    """Whether any still shows a frame of the shot, so that there is a walk to the anchors."""
    return any(still.frame is not None for still in item.stills)
