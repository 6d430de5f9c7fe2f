"""One film in a process of its own: ``python -m flows.film_child``, as `film_children` starts it.

Standard input has a line of JSON (`FilmJob`), and then stays open for as long as whoever started
this process lives and wants it to go on. Standard output gets a line of JSON (`FilmEnd`).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any, cast

from prefect.client.orchestration import get_client
from prefect.exceptions import CancelledRun
from prefect.flow_engine import run_flow

from colorize_core import storage
from colorize_core.archive.ended import FilmEnd
from colorize_core.errors import InputError, KinecolorError
from flows.colorize_film import colorize_film
from flows.film_children import FilmJob
from flows.signals import Stopped, end_at_once, end_in_order
from flows.terminal import json_only


def main() -> None:
    """Colorize a film and say what came of it."""
    end_in_order()
    with json_only() as write:
        write(_end().model_dump_json())
    end_at_once(0)


def _end() -> FilmEnd:
    try:
        job = FilmJob.model_validate_json(sys.stdin.buffer.readline())
        threading.Thread(target=_end_with_parent, daemon=True).start()
        summary = _colorize(job)
    except Stopped:
        return FilmEnd(status="stopped")
    except CancelledRun:
        return FilmEnd(status="cancelled")
    except KinecolorError as error:
        return FilmEnd(
            status="failed",
            film=_film(getattr(error, "summary", None)),
            error_class=type(error).__name__,
            error=error.what,
            remedy=error.remedy,
            is_input=isinstance(error, InputError),
        )
    return FilmEnd(status="published", film=_film(summary))


def _film(summary: Mapping[str, Any] | None) -> str | None:
    return storage.name_of(summary["film"]) if summary else None


def _colorize(job: FilmJob) -> Mapping[str, Any]:
    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_run(job.flow_run)
    summary = run_flow(
        colorize_film,
        flow_run=flow_run,
        parameters={
            "request": job.request,
            "ray_address": job.ray_address,
            "workers": job.workers,
            "device": job.device,
        },
    )
    return cast(Mapping[str, Any], summary)


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
