"""What orchestration costs, with parts that do nothing.

    python -m tests.benchmarks.scale [--segments 1000 20000] [--workers 64] [--quick]

A real Prefect server (SQLite), a real Ray on two CPUs, the product's pool, tasks, manifest and
storage (a disk): a film of so many segments, whose workers store empty objects at once. The bar is
15 ms a segment, all in, without the start, and not growing. Then, where workers take a nap for each
item, how busy many of them are: the bar is 0.9. Beside it the same segments through prefect-ray's
`RayTaskRunner` (``pip install '.[bench]'``; left out where it is not installed) and as plain Ray
tasks, which keep no record.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.scale_cost import HEAD, Cost
from tests.conftest import ROOT
from tests.servers import own_ray, prefect_server

CPUS = 2
NAP_S = 1.5  # from half of it to one and a half
QUICK_NAP_S = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description="What orchestration costs.")
    parser.add_argument("--segments", type=int, nargs="+", default=[1000, 20000])
    parser.add_argument("--one-shot", type=int, default=5000, help="segments of a film of one shot")
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--naps", type=int, default=1500, help="segments with a nap")
    parser.add_argument("--others", type=int, default=1000, help="segments for the others")
    parser.add_argument("--quick", action="store_true", help="small: only whether it works")
    asked = parser.parse_args()
    if asked.quick:
        asked.segments, asked.one_shot, asked.naps, asked.others = [20], 20, 20, 20
        asked.workers = CPUS
    print(HEAD, flush=True)
    for cost in costs(asked, QUICK_NAP_S if asked.quick else NAP_S):
        print(cost.row(), flush=True)


def costs(asked: argparse.Namespace, nap_s: float) -> Iterator[Cost]:
    """All that is measured, one after the other."""
    with tempfile.TemporaryDirectory() as name, prefect_server(Path(name) / "prefect") as server:
        folder = Path(name)
        os.environ |= {
            "PREFECT_API_URL": server.url,
            "PREFECT_HOME": str(folder / "home"),
            "PREFECT_LOGGING_LEVEL": "WARNING",  # of what is printed
            "RAY_AUTH_MODE": "disabled",
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        from tests.benchmarks import scale_flow, scale_others  # which read the environment

        with own_ray(CPUS):
            for segments in asked.segments:
                yield scale_flow.film("kinecolor", folder, segments, workers=CPUS)
            one = asked.one_shot
            yield scale_flow.film("one shot", folder, one, workers=CPUS, in_a_shot=one)
            yield from scale_others.costs(folder, asked.others)
        with own_ray(asked.workers):
            title = f"{asked.workers} workers that sleep"
            yield scale_flow.film(title, folder, asked.naps, workers=asked.workers, nap_s=nap_s)


if __name__ == "__main__":
    main()
