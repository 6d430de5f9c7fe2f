"""The thread that looks whether a flow run is being cancelled."""

from __future__ import annotations

import signal
import time
from types import FrameType

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling, Running

from tasks.cancel import _Watch

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]

LIMIT_S = 60


class Told(Exception):
    """SIGTERM came."""


@flow
def anything() -> None: ...


def test_it_asks_the_server_of_the_flows_settings(
    prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which a thread does not have by itself: it would start a server of its own."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    def told(number: int, frame: FrameType | None) -> None:
        raise Told

    before = signal.signal(signal.SIGTERM, told)
    try:
        with SyncPrefectClient(prefect_server) as prefect:
            run = prefect.create_flow_run(anything, state=Running())
            prefect.set_flow_run_state(run.id, Cancelling(), force=True)
        watch = _Watch(run.id)
        with temporary_settings({PREFECT_API_URL: prefect_server}), pytest.raises(Told), watch:
            time.sleep(LIMIT_S)
        assert watch.cancelled
    finally:
        signal.signal(signal.SIGTERM, before)
