"""How a store's address and credentials are given, and that they are told to nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec.config
import pytest
import s3fs

from colorize_core import storage, storage_failures, storage_options, storage_remote
from colorize_core.errors import ObjectMissing, SettingError, StorageError
from tests.conftest import ROOT
from tests.s3.endpoint import BUCKET, Endpoint, use_endpoint, variables
from tests.s3.faults import Fault, Kind, Proxy, proxy

NOBODY = Endpoint("http://127.0.0.1:9", key="", secret="")


@pytest.fixture(autouse=True)
def own_clients() -> Iterator[None]:
    """Clients keep the credentials that they were made with."""
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


# -- the ways that lead to a store -------------------------------------------------------------


def _by_variables(s3: Endpoint, _: Path) -> dict[str, str]:
    return variables(s3)


def _by_profile(s3: Endpoint, folder: Path) -> dict[str, str]:
    (folder / "credentials").write_text(
        f"[archive]\naws_access_key_id = {s3.key}\naws_secret_access_key = {s3.secret}\n"
    )
    (folder / "config").write_text(
        f"[profile archive]\nendpoint_url = {s3.url}\nregion = us-east-1\n"
    )
    return {
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_PROFILE": "archive",
    }


def _by_own_variables(s3: Endpoint, _: Path) -> dict[str, str]:
    return {
        "KINECOLOR_STORAGE__S3__ENDPOINT_URL": s3.url,
        "KINECOLOR_STORAGE__S3__KEY": s3.key,
        "KINECOLOR_STORAGE__S3__SECRET": s3.secret,
        "KINECOLOR_STORAGE__S3__CLIENT_KWARGS__REGION_NAME": "us-east-1",
    }


def _by_a_profile_of_our_own(s3: Endpoint, folder: Path) -> dict[str, str]:
    given = _by_profile(s3, folder)
    return {"KINECOLOR_STORAGE__S3__PROFILE": given.pop("AWS_PROFILE"), **given}


def _by_fsspec_files(s3: Endpoint, folder: Path) -> dict[str, str]:
    options = {"endpoint_url": s3.url, "key": s3.key, "secret": s3.secret}
    (folder / "s3.json").write_text(json.dumps({"s3": options}))
    return {"FSSPEC_CONFIG_DIR": str(folder)}


def _by_fsspec_variables(s3: Endpoint, _: Path) -> dict[str, str]:
    return {
        "FSSPEC_S3_ENDPOINT_URL": s3.url,
        "FSSPEC_S3_KEY": s3.key,
        "FSSPEC_S3_SECRET": s3.secret,
    }


@pytest.mark.parametrize(
    "way",
    [
        _by_variables,
        _by_profile,
        _by_own_variables,
        _by_a_profile_of_our_own,
        _by_fsspec_files,
        _by_fsspec_variables,
    ],
    ids=lambda way: way.__name__[1:],
)
def test_every_way_of_the_ecosystem_leads_to_the_store(
    s3: Endpoint, tmp_path: Path, way: Callable[[Endpoint, Path], dict[str, str]]
) -> None:
    """In a process of its own, which knows nothing but these variables."""
    elsewhere = ("AWS_", "FSSPEC_", "KINECOLOR_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(elsewhere)}
    environment |= {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    uri = f"s3://{BUCKET}/{way.__name__}/{tmp_path.name}"
    code = (
        "import sys\nfrom colorize_core import storage\n"
        "assert storage.put_if_absent(sys.argv[1], b'x') and storage.size(sys.argv[1]) == 1\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, uri],
        cwd=ROOT,
        env={**environment, **way(s3, tmp_path)},
        timeout=100,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_options_that_are_given_here_win_key_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    configured = {"s3": {"profile": "theirs", "config_kwargs": {"read_timeout": 40, "x": 1}}}
    monkeypatch.setenv("KINECOLOR_STORAGE__S3__PROFILE", "ours")
    monkeypatch.setenv("KINECOLOR_STORAGE__S3__CONFIG_KWARGS__READ_TIMEOUT", "30")
    monkeypatch.setenv("KINECOLOR_STORAGE__GS__PROJECT", "of another store")
    options = storage_options.store_options(("s3", "s3a"), configured)
    assert options["profile"] == "ours"
    assert options["config_kwargs"]["read_timeout"] == 30
    assert options["config_kwargs"]["x"] == 1
    assert options["config_kwargs"]["connect_timeout"] == storage_options.CONNECT_TIMEOUT_S
    assert "project" not in options


def test_values_are_json_or_text(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "USE_SSL": "false",
        "CONFIG_KWARGS": '{"s3": {"addressing_style": "path"}}',
        "CONFIG_KWARGS__READ_TIMEOUT": "2.5",
        "ENDPOINT_URL": "https://s3.example",
        "SECRET": "0123456789",  # digits, and a text all the same
    }.items():
        monkeypatch.setenv(f"KINECOLOR_STORAGE__S3__{name}", value)
    assert storage_options.from_environment(("s3",)) == {
        "use_ssl": False,
        "config_kwargs": {"s3": {"addressing_style": "path"}, "read_timeout": 2.5},
        "endpoint_url": "https://s3.example",
        "secret": "0123456789",
    }


@pytest.mark.parametrize("name", ["", "S3", "S3__", "__KEY", "S3__KEY____X"])
def test_a_variable_that_names_no_option_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"KINECOLOR_STORAGE__{name}", "a-secret-value")
    with pytest.raises(SettingError, match=f"KINECOLOR_STORAGE__{name} ") as caught:
        storage.read("s3://films/object")
    assert "a-secret-value" not in str(caught.value)


def test_an_option_below_a_plain_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINECOLOR_STORAGE__S3__CLIENT_KWARGS", "text")
    monkeypatch.setenv("KINECOLOR_STORAGE__S3__CLIENT_KWARGS__REGION_NAME", "us-east-1")
    with pytest.raises(SettingError, match="REGION_NAME goes into"):
        storage.read("s3://films/object")


def test_an_option_that_the_store_does_not_know_is_an_error_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_endpoint(monkeypatch, NOBODY)
    monkeypatch.setenv("KINECOLOR_STORAGE__S3__NO_SUCH_OPTION", "value")
    with pytest.raises(StorageError, match="no_such_option") as caught:
        storage.read("s3://films/object")
    assert "KINECOLOR_STORAGE__" in caught.value.remedy


def test_a_profile_that_is_not_there_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    use_endpoint(monkeypatch, NOBODY)
    monkeypatch.setenv("AWS_PROFILE", "nosuch")
    with pytest.raises(StorageError, match="nosuch") as caught:
        storage.read("s3://films/object")
    assert "set up" in caught.value.remedy


def test_options_reach_every_store_of_a_chained_url(
    s3: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_endpoint(monkeypatch, NOBODY)
    for name, value in _by_own_variables(s3, tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KINECOLOR_STORAGE__SIMPLECACHE__CACHE_STORAGE", str(tmp_path))
    storage.put_if_absent(f"s3://{BUCKET}/chained", b"x")
    assert storage.read(f"simplecache::s3://{BUCKET}/chained") == b"x"
    assert len(list(tmp_path.iterdir())) > 0


def test_s3_has_time_limits_and_one_owner_of_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    use_endpoint(monkeypatch, Endpoint("http://127.0.0.1:9"))
    fs, _ = storage_remote.open_store("s3://films/object")
    assert fs.retries == 1
    limits = fs.s3.meta.config
    assert limits.read_timeout == storage_options.SILENCE_TIMEOUT_S
    assert limits.retries["total_max_attempts"] == storage_options.S3_ATTEMPTS
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "7")
    fs, _ = storage_remote.open_store("s3://films/object")
    assert fs.s3.meta.config.retries["total_max_attempts"] == 7
    assert fsspec.config.conf.get("s3") is None  # nothing is left behind in fsspec's own


# -- secrets -----------------------------------------------------------------------------------

TOKEN = "a-session-token-that-nobody-may-see"  # noqa: S105
PASSWORD = "a-p@ss/w0rd"  # noqa: S105
SIGNED = "X-Amz-Signature=0a1b2c3d"


@pytest.fixture
def spoilt(moto: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A store whose client has secrets in every place that a secret can be in."""
    monkeypatch.setattr(storage_failures, "TRIES", 1)
    with proxy(moto.url) as between:
        use_endpoint(monkeypatch, Endpoint(between.url, moto.key, moto.secret))
        monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
        monkeypatch.setattr(storage_options, "SILENCE_TIMEOUT_S", 1)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield between


@pytest.mark.parametrize(
    "kind", [Kind.HANG, Kind.SLOW_DOWN, Kind.RESET], ids=lambda kind: kind.name.lower()
)
def test_no_failure_of_a_store_tells_a_secret(
    spoilt: Proxy, moto: Endpoint, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    address = spoilt.url.removeprefix("http://")
    calls = (storage.read, storage.size, storage.check_writable)
    urls = [f"s3://{BUCKET}/object", f"http://me:{TOKEN}@{address}/{BUCKET}/film.mkv?{SIGNED}"]
    told = caplog.text
    with caplog.at_level("INFO"):
        for uri in urls:
            spoilt.faults[:] = [
                Fault(kind, method, times=1000) for method in ("GET", "PUT", "HEAD")
            ]
            for call in calls:
                with pytest.raises(StorageError) as caught:
                    call(uri)
                told += str(caught.value) + "".join(traceback.format_exception(caught.value))
    told += caplog.text
    assert "Could not read" in told
    for secret in (moto.key, moto.secret, TOKEN, "Signature", "me:"):
        assert secret not in told


def test_a_missing_object_does_not_tell_its_signature(spoilt: Proxy) -> None:
    with pytest.raises(ObjectMissing) as caught:
        storage.read(f"{spoilt.url}/{BUCKET}/nothing?{SIGNED}")
    assert "Signature" not in "".join(traceback.format_exception(caught.value))
