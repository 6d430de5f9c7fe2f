"""`kinecolor` with poisoned workers and a flow that Prefect itself tries again."""

from __future__ import annotations

from flows.colorize_film import colorize_film
from tests import poison


def main() -> None:
    colorize_film.retries, colorize_film.retry_delay_seconds = 20, 1
    poison.main()


if __name__ == "__main__":
    main()
