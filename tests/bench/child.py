"""Contestants run in processes of their own, one for each, and take orders one at a time: JSON lines in and out.

So the CPU of each is told apart, none runs in another's event loop or under another's interpreter lock, and cases can
take turns without paying a start each time.
"""

import asyncio
import contextlib
import math
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from services.garbage import collect_rarely
from tests.bench.measure import Case, Plan, Sample
from tests.bench.processes import ProcessId, cpu_s

READY = b"ready\n"
STOP_S = 10.0


class Child:
    """A contestant's process."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self._name = name
        self._process = process

    async def until_ready(self) -> None:
        """Returns once it takes orders."""
        if await self._line() != READY:
            raise RuntimeError(f"{self._name} says something else than that it is ready")

    async def ask(self, do: str, **order: Any) -> Sample:
        """Have it do something, and tell what it measured."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode({"do": do, **order}) + b"\n")
        return msgspec.json.decode(await self._line(), type=Sample, strict=False)

    def case(self, plan: Plan, watched: Mapping[str, ProcessId], do: str, **order: Any) -> Case:
        """A case that has it work for the plan's seconds, after a warm-up.

        watched: the members of the sample that hold servers' CPU time, and the servers' processes.
        """

        async def measured() -> Sample:
            await self.ask(do, **order, seconds=plan.warm_up_s)
            before = {name: cpu_s(process_id()) for name, process_id in watched.items()}
            sample = await self.ask(do, **order, seconds=plan.seconds)
            used = {name: cpu_s(process_id()) - before[name] for name, process_id in watched.items()}
            return msgspec.structs.replace(sample, **used)

        return measured

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} has ended; what it said is above")
        return line


@contextlib.asynccontextmanager
async def child(name: str, *arguments: str) -> AsyncIterator[Child]:
    """The process of `tests.bench.children.<name>` while it is needed. It ends when its input does."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.bench.children.{name}", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        contestant = Child(name, process)
        await contestant.until_ready()
        yield contestant
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()


async def answer(**answers: Callable[..., Awaitable[Sample]]) -> None:
    """In the child: take orders until there are no more. An answer gets the order's members as arguments."""
    collect_rarely()  # as in the product's server
    _say(READY)
    while line := await asyncio.to_thread(sys.stdin.readline):
        order: dict[str, Any] = msgspec.json.decode(line)
        sample = await answers[order.pop("do")](**order)
        _say(msgspec.json.encode(msgspec.structs.replace(sample, rss_mb=_rss_mb())) + b"\n")


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _rss_mb() -> float:
    """The most memory this process has had so far; not from getrusage(2), which begins with the parent's."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return math.nan
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))
