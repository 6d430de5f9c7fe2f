"""Processes that create one object at the same moment: ``python -m tests.s3.racers URI COUNT``.

Prints, as JSON, what each heard. Racer n puts ``racer n``. All are forks of this process, made
before it touches the store, so that they start in milliseconds.
"""

from __future__ import annotations

import json
import os
import sys

import s3fs  # noqa: F401  loaded once, before the forks

from colorize_core import storage

WON, LOST = 10, 11


def main(uri: str, count: int) -> None:
    ready, gun = os.pipe(), os.pipe()
    racers = [_fork(uri, n, ready, gun) for n in range(count)]
    os.close(gun[0])
    for _ in racers:
        os.read(ready[0], 1)
    os.close(gun[1])
    codes = [os.waitstatus_to_exitcode(os.waitpid(racer, 0)[1]) for racer in racers]
    print(json.dumps([{WON: True, LOST: False}.get(code, "failed") for code in codes]))


def _fork(uri: str, number: int, ready: tuple[int, int], gun: tuple[int, int]) -> int:
    racer = os.fork()
    if racer:
        return racer
    code = 1
    try:
        os.close(gun[1])
        storage.exists(uri)  # connected by now
        os.write(ready[1], b".")
        os.read(gun[0], 1)  # until the starter closes it
        code = WON if storage.put_if_absent(uri, f"racer {number}".encode()) else LOST
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
