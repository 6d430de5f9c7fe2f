"""What people see in Prefect: names, and what becomes of a run whose server is away."""

from __future__ import annotations

import socket

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks import observe


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("The General (1926)", "the-general-1926"),
        ("Das Cabinet des Dr. Caligari", "das-cabinet-des-dr-caligari"),
        ("東京物語", "film"),
        ("--", "film"),
        ("x" * 100, "x" * 60),
        (f"{'x' * 59}-y", "x" * 59),
    ],
)
def test_titles_as_tags(title: str, slug: str) -> None:
    assert observe.slug(title) == slug


# Prefect wants artifacts to be made in a run, which would need the server.
@pytest.mark.filterwarnings("ignore:Artifact creation outside:FutureWarning")
def test_a_server_that_is_away_ends_no_run(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    heard = []
    with (
        temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}),
        observe.listening(lambda stage, done, total: heard.append((stage, done, total))),
    ):
        progress = observe.StageProgress("0123456789abcdef")
        progress("colorize", 1, 2)
        progress("colorize", 2, 2)
    assert heard == [("colorize", 1, 2), ("colorize", 2, 2)]
    assert "was not told" in caplog.text
