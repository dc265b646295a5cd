"""Keeps programs running: starts them in order, restarts what crashes, stops them in reverse order."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable

from services.embedded import CannotRun
from services.embedded.program import Program, last_lines, spawn
from services.embedded.readiness import wait_until

RESTART_PAUSE_MIN_S = 0.2
RESTART_PAUSE_MAX_S = 10.0
STEADY_S = 10.0  # after running this long, the next crash is taken for a new trouble: the pause starts small again


class Supervisor:
    """A group of running programs. `tell` hears, a line each, what an operator wants to know."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._children: list[_Child] = []

    async def start(self, program: Program) -> None:
        """Start the program and wait until it is ready; from then on it is restarted whenever it ends.

        CannotRun: it ended or was not ready in time.
        """
        child = _Child(program, self._tell)
        self._children.append(child)
        await child.start()

    async def stop(self) -> None:
        """Stop every program, the last one started first; returns when all have ended."""
        for child in self._children:
            child.retire()
        for child in reversed(self._children):
            await child.stop()
        self._children.clear()

    def process_id(self, name: str) -> int | None:
        """The process that runs this program now; None while it waits to be restarted."""
        return next(child.process_id() for child in self._children if child.program.name == name)


async def run_once(program: Program) -> None:
    """Run the program to its end; CannotRun unless it succeeds."""
    process = await spawn(program)
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        await _end(process, signal.SIGKILL, 0)
        raise
    if code != 0:
        raise CannotRun(f"{program.name} {_how_it_ended(code)}: {last_lines(program.log)}")


class _Child:
    """One program: at most one process of it at a time."""

    def __init__(self, program: Program, tell: Callable[[str], None]) -> None:
        self.program = program
        self._tell = tell
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._launching = asyncio.Lock()
        self._retired = asyncio.Event()

    def process_id(self) -> int | None:
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and running else None

    async def start(self) -> None:
        process = await self._launch()
        if process is None:
            return
        ended = asyncio.create_task(process.wait())
        ready = asyncio.create_task(self._ready())
        try:
            await asyncio.wait((ended, ready), return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                reason = f"{_how_it_ended(ended.result())}: {last_lines(self.program.log)}"
                raise CannotRun(f"{self.program.name} {reason}")
            if not ready.result():
                raise CannotRun(f"{self.program.name} was not ready after {self.program.ready_s:.0f} s")
        finally:
            for task in (ended, ready):
                task.cancel()
        self._keeper = asyncio.create_task(self._keep(process))

    def retire(self) -> None:
        """From now on it is not restarted."""
        self._retired.set()

    async def stop(self) -> None:
        self.retire()
        async with self._launching:  # a process that is just being started gets known first
            process = self._process
        if process is not None:
            await _end(process, self.program.stop_signal, self.program.stop_s)
        if self._keeper is not None:
            await self._keeper

    async def _launch(self) -> asyncio.subprocess.Process | None:
        async with self._launching:
            if self._retired.is_set():
                return None
            if self.program.prepare is not None:
                await self.program.prepare()
            self._process = await spawn(self.program)
            return self._process

    async def _ready(self) -> bool:
        return self.program.ready is None or await wait_until(self.program.ready, self.program.ready_s)

    async def _keep(self, process: asyncio.subprocess.Process | None) -> None:
        pause_s = RESTART_PAUSE_MIN_S
        while process is not None:
            started = time.monotonic()
            code = await process.wait()
            if time.monotonic() - started >= STEADY_S:
                pause_s = RESTART_PAUSE_MIN_S
            process = None
            while process is None and not self._retired.is_set():
                self._tell(f"{self.program.name} {_how_it_ended(code)}; restarting it in {pause_s:.1f} s")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._retired.wait(), pause_s)
                pause_s = min(2 * pause_s, RESTART_PAUSE_MAX_S)
                try:
                    process = await self._launch()
                except (OSError, CannotRun) as error:  # a full disk, no more processes: it may pass
                    self._tell(f"{self.program.name} cannot be started: {error}")


async def _end(process: asyncio.subprocess.Process, stop_signal: signal.Signals, stop_s: float) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(stop_signal)
        try:
            await asyncio.wait_for(process.wait(), stop_s)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _how_it_ended(code: int) -> str:
    return f"ended with exit code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
