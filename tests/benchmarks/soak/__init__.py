"""Many short films through one cluster for a while, with random kills.

    python -m tests.benchmarks.soak [--films 50] [--minutes 20] [--seed 0] [--workers 2]
        [--kills N] [--json FILE]

A Ray and a Prefect server run all the time. Two drivers (`kinecolor colorize --ray …`) at a time
make the films, again and again in fresh work roots; one that was ended is started again until its
film is published. Every few seconds something is killed: a worker's process, or a driver, by
SIGKILL, SIGTERM or Ctrl-C. Each published film is compared with the one that was made undisturbed,
and when nothing runs, what is left behind is counted. Exit code 1: a film was wrong, work was
repeated, a run ended otherwise than it should, or anything leaked.
"""
