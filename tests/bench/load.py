"""Callers that ask one after the other for some seconds: tasks of an event loop, or threads."""

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Sequence

from tests.bench.measure import Sample


def sample(latencies_s: list[float], seconds: float, cpu_s: float, refused: int = 0) -> Sample:
    """What callers found. latencies_s: of the operations that succeeded, in any order."""
    ordered = sorted(latencies_s)
    return Sample(
        operations=len(latencies_s),
        seconds=seconds,
        p50_ms=1e3 * ordered[len(ordered) // 2] if ordered else math.nan,
        p99_ms=1e3 * ordered[int(len(ordered) * 0.99)] if ordered else math.nan,
        cpu_s=cpu_s,
        refused=refused,
    )


async def tasks(
    operation: Callable[[], Awaitable[bool]], callers: int, seconds: float, limit: int | None = None
) -> Sample:
    """So many callers in this event loop. operation: tells whether it succeeded. limit: of operations in all."""
    latencies_s: list[float] = []
    refused = 0
    left = math.inf if limit is None else limit
    began, cpu_began = time.perf_counter(), time.process_time()
    stop = began + seconds

    async def caller() -> None:
        nonlocal refused, left
        while (asked := time.perf_counter()) < stop and left > 0:
            left -= 1
            if await operation():
                latencies_s.append(time.perf_counter() - asked)
            else:
                refused += 1

    await asyncio.gather(*(caller() for _ in range(callers)))
    return sample(latencies_s, time.perf_counter() - began, time.process_time() - cpu_began, refused)


def threads(operations: Sequence[Callable[[], None]], seconds: float) -> Sample:
    """One thread for each operation, all starting at once."""
    latencies_s: list[float] = []
    start = threading.Barrier(len(operations) + 1)
    failures: list[BaseException] = []

    def caller(operation: Callable[[], None]) -> None:
        own: list[float] = []
        start.wait()
        stop = time.perf_counter() + seconds
        try:
            while (asked := time.perf_counter()) < stop:
                operation()
                own.append(time.perf_counter() - asked)
        except Exception as failure:
            failures.append(failure)
        latencies_s.extend(own)

    running = [threading.Thread(target=caller, args=(operation,)) for operation in operations]
    for thread in running:
        thread.start()
    start.wait()
    began, cpu_began = time.perf_counter(), time.process_time()
    for thread in running:
        thread.join()
    if failures:
        raise failures[0]
    return sample(latencies_s, time.perf_counter() - began, time.process_time() - cpu_began)
