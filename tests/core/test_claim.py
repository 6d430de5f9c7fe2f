"""One run at a time works on a film, and a dead one is in nobody's way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import s3fs
from moto.server import ThreadedMotoServer

from colorize_core import storage
from colorize_core.claim import hold
from colorize_core.errors import CommitLost, FilmClaimed, StorageError
from colorize_core.paths import FilmPaths
from tests.conftest import ROOT
from tests.film import quiet

FILM = "0123456789abcdef"
TIMEOUT_S = 60
NOT_EXPIRING_S = 600.0
SOON_S = 0.2

# Holds a film until it is told something: "end", "fail", "check", or "start", a child.
HOLDER = """
import subprocess, sys
from colorize_core.claim import hold
from colorize_core.errors import CommitLost
from colorize_core.paths import FilmPaths

def progress(*_):
    print("waiting", flush=True)

with hold(FilmPaths(*sys.argv[1:3]), progress, float(sys.argv[3])) as claim:
    print("held", flush=True)
    told = sys.stdin.readline().strip()
    if told == "fail":
        raise RuntimeError("told so")
    if told == "start":
        print(subprocess.Popen(["sleep", "1000"]).pid, flush=True)
        sys.stdin.readline()
    try:
        claim.check()
    except CommitLost as lost:
        print(lost.what, flush=True)
"""

# Sixteen processes begin at once; the one that holds stays until all others have answered.
RACE = """
import os, sys, traceback
import s3fs
from colorize_core.claim import hold
from colorize_core.errors import FilmClaimed
from colorize_core.paths import FilmPaths

RACERS = 16
paths = FilmPaths(*sys.argv[1:])
go, closed_to_go = os.pipe()
leave, closed_to_leave = os.pipe()
answers, answer = os.pipe()

def race():
    try:
        with hold(paths, lambda *_: os.write(answer, b"w")):
            os.write(answer, b"h")
            os.read(leave, 1)
    except FilmClaimed:
        os.write(answer, b"c")
    except BaseException:
        traceback.print_exc()
        os.write(answer, b"e")

for _ in range(RACERS):
    if os.fork() == 0:
        os.close(closed_to_go)
        os.close(closed_to_leave)
        os.read(go, 1)
        race()
        os._exit(0)
os.close(closed_to_go)
found = b"".join(os.read(answers, 1) for _ in range(RACERS))
os.close(closed_to_leave)
for _ in range(RACERS):
    os.wait()
print("".join(sorted(found.decode())))
"""


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files that processes of one machine share."""
    folder = tmp_path / "machine"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(params=["disk", "s3"])
def paths(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FilmPaths]:
    """A film that nobody has claimed."""
    if request.param == "disk":
        yield FilmPaths(str(tmp_path / "work"), FILM)
        return
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": request.getfixturevalue("moto_url"),
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir(tmp_path.name.replace("_", "-"))
    yield FilmPaths(f"s3://{tmp_path.name.replace('_', '-')}/work", FILM)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def disk(tmp_path: Path) -> FilmPaths:
    """A film that nobody has claimed."""
    return FilmPaths(str(tmp_path / "work"), FILM)


@contextmanager
def running(
    paths: FilmPaths, lease_s: float = NOT_EXPIRING_S, *, elsewhere: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the film or waits for it. `elsewhere`: the temporary folder of another
    machine, which it is on."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, paths.root, paths.film, str(lease_s)],
        cwd=ROOT,
        env={**os.environ, **({"TMPDIR": str(elsewhere)} if elsewhere else {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs, such as a test run may be, hand down an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT_S)


def says(process: subprocess.Popen[str]) -> str:
    """The next line that it prints."""
    assert process.stdout and process.stderr
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return line.strip()


def killed(paths: FilmPaths, elsewhere: Path | None = None) -> None:
    """A run that held the film and was killed."""
    with running(paths, elsewhere=elsewhere) as process:
        assert says(process) == "held"
        process.send_signal(signal.SIGKILL)
        process.wait(TIMEOUT_S)


def never(stage: str, done: int, total: int) -> None:
    pytest.fail(f"waited: {stage}, {done} of {total} s")


def last_claim(paths: FilmPaths) -> dict[str, object]:
    return json.loads(storage.read(paths.claim(paths.claims()[-1])))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def states(process: subprocess.Popen[str]) -> set[str]:
    """The states of its threads, in Linux's letters."""
    threads = Path(f"/proc/{process.pid}/task").glob("*/stat")
    return {each.read_text().rpartition(") ")[2][0] for each in threads}


def stop(process: subprocess.Popen[str]) -> None:
    """Takes its time away, as a suspended machine would."""
    process.send_signal(signal.SIGSTOP)
    until(lambda: states(process) == {"T"})


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """The folder of temporary files of another machine."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


# -- one after the other ---------------------------------------------------------------------


def test_a_film_is_held_and_given_free(paths: FilmPaths, machine: Path) -> None:
    for run in (1, 2):
        with hold(paths, never) as claim:
            claim.check()
            assert paths.claims() == list(range(1, run + 1))
            assert last_claim(paths)["released"] is False
        assert last_claim(paths)["released"] is True
    assert not list(machine.iterdir())


def test_an_error_gives_the_film_free_and_is_not_hidden(disk: FilmPaths) -> None:
    with pytest.raises(ValueError, match="of the run"), hold(disk, never):
        raise ValueError("of the run")
    assert last_claim(disk)["released"] is True


def test_ctrl_c_gives_the_film_free(disk: FilmPaths, machine: Path) -> None:
    with running(disk) as process:
        assert says(process) == "held"
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == -signal.SIGINT
    assert last_claim(disk)["released"] is True
    assert not list(machine.iterdir())


# -- two at once -----------------------------------------------------------------------------


def test_the_second_is_told_who_holds_the_film(paths: FilmPaths) -> None:
    with running(paths) as process:
        assert says(process) == "held"
        with pytest.raises(FilmClaimed) as refused, hold(paths, never):
            pass
        host = os.uname().nodename
        assert f"(process {process.pid} on {host}, since 20" in refused.value.what
        assert " UTC)" in refused.value.what
        assert refused.value.remedy.startswith("Wait for it to end, or stop it")
        _, err = process.communicate("fail", timeout=TIMEOUT_S)
        assert "RuntimeError: told so" in err
    with hold(paths, never):
        assert paths.claims() == [1, 2]


def test_one_process_holds_a_film_once_and_two_films(disk: FilmPaths, machine: Path) -> None:
    other = FilmPaths(disk.root, "f" * 16)
    with hold(disk, never), hold(other, never):
        with pytest.raises(FilmClaimed, match=f"process {os.getpid()} "), hold(disk, never):
            pass
        assert len(list(machine.iterdir())) == 2
    with hold(disk, never):
        pass


def one_of_many_holds(paths: FilmPaths) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RACE, paths.root, paths.film],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.stdout == "c" * 15 + "h\n", done.stderr
    assert last_claim(paths)["released"] is True


def test_of_many_processes_one_holds_a_free_film(disk: FilmPaths, machine: Path) -> None:
    one_of_many_holds(disk)
    assert not list(machine.iterdir())


def test_of_many_processes_one_follows_a_dead_run(paths: FilmPaths, machine: Path) -> None:
    killed(paths)
    one_of_many_holds(paths)
    assert not list(machine.iterdir())


# -- the dead --------------------------------------------------------------------------------


def test_a_killed_run_of_this_machine_is_followed_at_once(paths: FilmPaths, machine: Path) -> None:
    killed(paths)
    assert len(list(machine.iterdir())) == 1
    with hold(paths, never) as claim:
        claim.check()
        assert paths.claims() == [1, 2]
    assert not list(machine.iterdir())


def test_a_killed_run_that_its_parent_has_not_waited_for_is_dead(disk: FilmPaths) -> None:
    with running(disk) as process:
        assert says(process) == "held"
        process.send_signal(signal.SIGKILL)
        assert process.stdout
        assert process.stdout.read() == ""  # its end, and nobody has asked for its exit code
        until(lambda: states(process) == {"Z"})
        with hold(disk, never):
            pass


def test_what_a_killed_run_had_started_does_not_hold_the_film(disk: FilmPaths) -> None:
    with running(disk) as process:
        assert says(process) == "held"
        assert process.stdin
        process.stdin.write("start\n")
        process.stdin.flush()
        child = int(says(process))
        try:
            process.kill()
            process.wait(TIMEOUT_S)
            with hold(disk, never):
                os.kill(child, 0)  # is there
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_stopped_run_of_this_machine_is_alive(disk: FilmPaths) -> None:
    with running(disk, SOON_S) as process:
        assert says(process) == "held"
        stop(process)
        time.sleep(SOON_S)
        with pytest.raises(FilmClaimed), hold(disk, never, SOON_S):
            pass


# -- another machine -------------------------------------------------------------------------


def test_a_dead_run_of_another_machine_expires(paths: FilmPaths, elsewhere: Path) -> None:
    killed(paths, elsewhere)
    with hold(paths, quiet, SOON_S) as claim:
        claim.check()
        assert paths.claims() == [1, 2]


def test_a_living_run_of_another_machine_is_found_out(disk: FilmPaths, elsewhere: Path) -> None:
    with running(disk, 3, elsewhere=elsewhere) as process:
        assert says(process) == "held"
        name = f"process {process.pid} on "
        with pytest.raises(FilmClaimed, match=name), hold(disk, quiet, 15):
            pass
        assert last_claim(disk)["beat"] != 0


def test_a_run_of_another_machine_that_ends_is_followed(disk: FilmPaths, elsewhere: Path) -> None:
    with running(disk, elsewhere=elsewhere) as process:
        assert says(process) == "held"
        told: list[str] = []

        def end_it(stage: str, done: int, total: int) -> None:
            if process.stdin and not told:
                told.append(stage)
                process.stdin.write("end\n")
                process.stdin.flush()

        with hold(disk, end_it, 6):
            assert disk.claims() == [1, 2]


def test_a_run_that_was_away_is_told_that_it_lost_the_film(
    disk: FilmPaths, elsewhere: Path
) -> None:
    with running(disk, SOON_S, elsewhere=elsewhere) as process:
        assert says(process) == "held"
        stop(process)
        with hold(disk, quiet, SOON_S) as claim:
            process.send_signal(signal.SIGCONT)
            out, _ = process.communicate("check", timeout=TIMEOUT_S)
            assert out.startswith(f"Another run has taken this film over (process {os.getpid()} on")
            claim.check()
            assert disk.claims() == [1, 2]
        assert last_claim(disk)["released"] is True


def test_waiting_can_be_interrupted(disk: FilmPaths, elsewhere: Path, machine: Path) -> None:
    killed(disk, elsewhere)
    with running(disk) as process:
        assert says(process) == "waiting"
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == -signal.SIGINT
    assert disk.claims() == [1]
    assert not list(machine.iterdir())


def test_a_run_on_a_machine_without_the_lock_watches(disk: FilmPaths, machine: Path) -> None:
    killed(disk)
    for lock in machine.iterdir():
        lock.unlink()  # a machine that was cleaned, or the folder of another session
    shown: list[tuple[str, int, int]] = []
    with hold(disk, lambda *progress: shown.append(progress), 1.0):
        assert shown[0] == ("claim", 0, 1)
        assert shown[-1] == ("claim", 1, 1)


# -- claims that cannot be read --------------------------------------------------------------

_NEWER = b'{"schema_version": 2, "token": "%s", "released": false}' % (b"0" * 32)
_ESCAPING = b'{"token": "../../../../etc/x", "holder": "nobody", "since": "2026-01-01T00:00:00Z"}'


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[]", _NEWER, _ESCAPING])
def test_an_unreadable_claim_expires(disk: FilmPaths, data: bytes) -> None:
    storage.put_if_absent(disk.claim(3), data)
    shown: list[str] = []
    with hold(disk, lambda stage, *_: shown.append(stage), SOON_S):
        assert disk.claims() == [3, 4]
    assert set(shown) == {"claim"}


def test_an_unreadable_claim_that_changes_is_somebodys(disk: FilmPaths) -> None:
    storage.put_if_absent(disk.claim(1), _NEWER)
    ended = threading.Event()

    def beat() -> None:
        beats = 0
        while not ended.wait(0.01):
            beats += 1
            storage.replace_atomically(disk.claim(1), _NEWER + b" " * beats)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(FilmClaimed, match="cannot be read"), hold(disk, quiet, 6):
            pass
    finally:
        ended.set()
        thread.join()


# -- a store that fails ----------------------------------------------------------------------


@pytest.fixture
def shelf(tmp_path: Path) -> Callable[[str], FilmPaths]:
    """Points the work root at a "disk" that is there, or at one that is "away"; gives the film."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "away").write_text("no folder")

    def point(target: str) -> FilmPaths:
        (tmp_path / "next").symlink_to(tmp_path / target)
        (tmp_path / "next").replace(tmp_path / "mounted")  # in one step
        return FilmPaths(str(tmp_path / "mounted"), FILM)

    return point


def test_a_store_that_is_away_for_a_while_is_no_disaster(
    shelf: Callable[[str], FilmPaths],
) -> None:
    paths = shelf("disk")
    with hold(paths, never, SOON_S) as claim:
        until(lambda: last_claim(paths)["beat"] != 0)
        shelf("away")
        time.sleep(SOON_S)
        shelf("disk")
        before = last_claim(paths)["beat"]
        until(lambda: last_claim(paths)["beat"] != before)
        claim.check()
    assert last_claim(paths)["released"] is True


def test_a_release_that_fails_hides_no_error_and_blocks_nobody(
    shelf: Callable[[str], FilmPaths], machine: Path
) -> None:
    paths = shelf("disk")
    with pytest.raises(ValueError, match="of the run"), hold(paths, never):
        shelf("away")
        raise ValueError("of the run")
    shelf("disk")
    assert last_claim(paths)["released"] is False
    with hold(paths, never):
        pass
    assert not list(machine.iterdir())


def test_a_film_that_was_taken_over_is_not_renewed(disk: FilmPaths) -> None:
    with hold(disk, never, SOON_S) as claim:
        storage.put_if_absent(disk.claim(2), b"another's")
        renewing = "claim on this film"
        until(lambda: renewing not in {thread.name for thread in threading.enumerate()})
        with pytest.raises(CommitLost, match="taken this film over"):
            claim.check()
    assert storage.read(disk.claim(2)) == b"another's"


def test_a_claim_whose_answer_was_lost_is_ones_own(
    disk: FilmPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = storage.put_if_absent

    def put_without_answer(uri: str, data: bytes) -> bool:
        put(uri, data)
        return put(uri, data)

    monkeypatch.setattr(storage, "put_if_absent", put_without_answer)
    with hold(disk, never) as claim:
        claim.check()


def test_a_machine_without_room_for_the_lock_is_named(
    disk: FilmPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    missing = r"can be locked in .*missing: No such file"
    with pytest.raises(StorageError, match=missing), hold(disk, never):
        pass
    assert disk.claims() == []
