"""What may be a secret is not said."""

from __future__ import annotations

import pytest

from colorize_core.errors import StorageError, as_text
from colorize_core.redact import redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "GET https://me:pass@host/film.mkv?X-Amz-Signature=abc failed",
            "GET https://***@host/film.mkv?… failed",
        ),
        ("https://me:p@ss@host/film.mkv", "https://***@host/film.mkv"),
        ("https://host?sig=abc", "https://host?…"),
        ("/reels/what?.mkv", "/reels/what?.mkv"),
        ("/reels/me@home.mkv", "/reels/me@home.mkv"),
        ("s3://films/still.png@f10", "s3://films/still.png@f10"),
    ],
)
def test_urls_lose_user_info_and_query(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    ("variable", "value", "secret"),
    [
        ("AWS_SECRET_ACCESS_KEY", "0123/abcd+EF", "0123/abcd+EF"),
        ("AWS_SESSION_TOKEN", "a-token", "a-token"),
        ("KINECOLOR_STORAGE__S3__SECRET", "sesame-open", "sesame-open"),
        ("KINECOLOR_STORAGE__ABFS__CONNECTION_STRING", "AccountKey=xyz;", "AccountKey=xyz;"),
        ("KINECOLOR_STORAGE__S3__CLIENT_KWARGS__AWS_SECRET_ACCESS_KEY", "deeper", "deeper"),
        ("KINECOLOR_STORAGE__S3__CLIENT_KWARGS", '{"aws_session_token": "inside"}', "inside"),
        ("KINECOLOR_STORAGE__HTTPS__HEADERS__AUTHORIZATION", '"Bearer abc"', "Bearer abc"),
        ("FSSPEC_S3", '{"secret": "theirs"}', "theirs"),
        ("FSSPEC_S3_SECRET", "theirs", "theirs"),
    ],
)
def test_secrets_of_the_environment_are_left_out(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, secret: str
) -> None:
    monkeypatch.setenv(variable, value)
    error = StorageError(f"Could not sign with {secret}: no.", f"Do not use {secret}.")
    assert secret not in str(error)
    assert error.what == "Could not sign with ***: no."
    assert secret not in as_text(ValueError(secret))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_SECRET_ACCESS_KEY", "film"),
        ("KINECOLOR_STORAGE__S3__ENDPOINT_URL", "https://store"),
        ("KINECOLOR_STORAGE__S3__CLIENT_KWARGS", '{"region_name": "https://store"}'),
        ("KINECOLOR_STORAGE__S3__CLIENT_KWARGS", '{"secret": '),
        ("AWS_PROFILE", "https://store"),
    ],
)
def test_what_is_no_secret_stays(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert redact("https://store/film.mkv") == "https://store/film.mkv"


def test_a_secret_inside_another_goes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-and-more")
    assert redact("secret-and-more, secret") == "***, ***"
