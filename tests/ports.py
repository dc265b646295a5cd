"""Ports for servers that tests start, often long after they have chosen them."""

import itertools
import os
import random
import socket

FIRST = 10_000
EACH = 1_000
"""So many for each worker of a run, below those that the system gives away (32768 on Linux)."""

_begin = FIRST + EACH * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 20)
_ports = itertools.cycle(random.sample(range(_begin, _begin + EACH), EACH))  # another run's worker has the same ones


def free_port() -> int:
    """A loopback port that is free, and that nobody else in this run chooses soon."""
    for port in itertools.islice(_ports, EACH):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port is free from {_begin} to {_begin + EACH - 1}")
