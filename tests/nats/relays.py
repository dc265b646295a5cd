"""Relays in trouble, a server of their own to get into it, and how to see that the stream is the log."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.js.api import StreamConfig, StreamInfo, StreamState

from contracts.envelope import decode
from contracts.facts import Fact
from contracts.subjects import STREAM, subject
from services.embedded.data_folder import DataFolder
from services.embedded.nats import Nats
from services.embedded.supervisor import Supervisor
from services.projections.relay import Relay, Servers, add_stream, connect
from tests.integration.filled_log import FilledLog, until
from tests.ports import free_port
from tests.unit.careers import person


def persons(first: int, count: int) -> Sequence[Fact]:
    """So many facts, about persons of these numbers."""
    return [person(number) for number in range(first, first + count)]


class OwnServer:
    """A NATS server for one test, which may kill it and take it back in time."""

    def __init__(self, path: Path) -> None:
        self._folder = DataFolder(path)
        self._supervisor = Supervisor(print)
        self.nats = Nats(self._folder, free_port())
        self.files = self._folder.path / "nats"
        self._copy: Path | None = None
        self._rolls_back = False

    async def start(self) -> None:
        await self._supervisor.start(replace(self.nats.program(), prepare=self._prepare))

    async def stop(self) -> None:
        await self._supervisor.stop()

    async def kill(self) -> None:
        """End it without warning; it is started again at once."""
        killed = self._supervisor.process_id("nats")
        assert killed is not None
        os.kill(killed, signal.SIGKILL)

        async def replaced() -> bool:
            return self._supervisor.process_id("nats") not in (None, killed)

        await until(replaced)

    async def copy_files(self) -> None:
        """Keep its files as they are: killed while they are copied, so that they are of one moment."""
        self._copy = self._folder.path / "copy"
        await self.kill()

    async def roll_back(self) -> None:
        """Kill it; it starts again with the files that were kept."""
        self._rolls_back = True
        await self.kill()

    async def _prepare(self) -> None:
        if self._copy is None:
            return
        if not self._rolls_back:
            await asyncio.to_thread(shutil.copytree, self.files, self._copy, dirs_exist_ok=True)
            return
        await asyncio.to_thread(shutil.rmtree, self.files)
        await asyncio.to_thread(shutil.copytree, self._copy, self.files)


async def started(path: Path) -> AsyncIterator[OwnServer]:
    server = OwnServer(path)
    await server.start()
    yield server
    await server.stop()


@contextlib.asynccontextmanager
async def administrator(url: str) -> AsyncIterator[Client]:
    """A connection that may do everything."""
    client = await connect(Servers(url))
    yield client
    await client.close()


@contextlib.asynccontextmanager
async def relaying(*relays: Relay) -> AsyncIterator[None]:
    """Run the relays; none of them may have given up meanwhile."""
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results), results


async def stream_info(client: Client) -> StreamInfo | None:
    """What the server says of the stream; None when it says nothing."""
    with contextlib.suppress(nats.errors.Error, TimeoutError, OSError):
        return await client.jetstream(timeout=1).stream_info(STREAM)
    return None


async def stream_state(client: Client) -> StreamState:
    """How far the stream is, as its server says, however slowly."""
    return (await client.jetstream(timeout=30).stream_info(STREAM)).state


async def make_anew(client: Client, config: StreamConfig) -> None:
    """Delete the stream and make one of this configuration."""
    jetstream = client.jetstream()
    await jetstream.delete_stream(STREAM)
    await add_stream(jetstream, config)


async def arrived(client: Client, position: int, limit_s: float = 30.0) -> None:
    """Return when the stream has reached the position."""

    async def there() -> bool:
        info = await stream_info(client)
        return info is not None and info.state.last_seq >= position

    await until(there, limit_s)


async def check_stream(client: Client, log: FilledLog) -> None:
    """The stream holds the log from its first sequence on: same bytes, same order, sequence = position, subject."""
    state = await stream_state(client)
    entries = await log.reader.page(state.first_seq - 1, limit=100_000)
    assert [state.last_seq, state.messages] == [entries[-1].position if entries else 0, len(entries)]
    jetstream = client.jetstream()
    for entry in entries:
        message: Any = await jetstream.get_msg(STREAM, seq=entry.position, direct=True)
        assert (message.data, message.subject) == (entry.entry, subject(decode(entry.entry)))
