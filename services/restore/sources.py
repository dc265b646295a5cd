"""Where a lost history can be read again: the stream, or the tiles."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from contracts.problems import NotFound
from services.log.reader import PAGE
from services.projections.relay import Servers, connect
from services.projections.transparency.guard import Guard
from services.projections.transparency.note import Checkpoint, Verifier, open_checkpoint
from services.projections.transparency.published import Published
from services.projections.transparency.tiles import ENTRIES, TILE_WIDTH, tile_at, unbundle
from services.projections.transparency.tree import Edge, leaf_hash, split

ASKED_AT_ONCE = 200
"""Messages of the stream that are under way at the same time."""

ANSWER_S = 5.0


class SourceRefused(RuntimeError):
    """The stream or the tiles cannot be relied on: something is missing or not what was signed."""


class Source(Protocol):
    """A published history. first: the earliest position it still has. last: the latest, 0 when it is empty."""

    name: str
    first: int
    last: int

    async def read(self, after: int, until: int) -> list[bytes]:
        """The entries behind a position, some of them at least, up to `until`. Raises SourceRefused."""
        ...


class Stream:
    """The JetStream stream: its messages as they are, with no proof but that they are one another's next."""

    def __init__(self, jetstream: JetStreamContext, stream: str, first: int, last: int) -> None:
        self.name = f"the stream {stream}"
        self.first, self.last = first, last
        self._jetstream = jetstream
        self._stream = stream

    async def read(self, after: int, until: int) -> list[bytes]:
        wanted = range(after + 1, min(until, after + ASKED_AT_ONCE) + 1)
        return await asyncio.gather(*map(self._message, wanted))

    async def _message(self, position: int) -> bytes:
        try:
            message = await self._jetstream.get_msg(self._stream, seq=position, direct=True)
        except NotFoundError:
            raise SourceRefused(f"{self.name} no longer holds position {position}") from None
        return message.data or b""


@contextlib.asynccontextmanager
async def open_stream(servers: Servers, stream: str) -> AsyncIterator[Stream]:
    """The stream, to read. Its user need not be allowed more than to ask for its state and its messages.

    Raises SourceRefused when there is none, TimeoutError when no server answers.
    """
    async with asyncio.timeout(ANSWER_S):
        client = await connect(servers)
    try:
        jetstream = client.jetstream(timeout=ANSWER_S)
        try:
            state = (await jetstream.stream_info(stream)).state
        except NotFoundError:
            raise SourceRefused(f"there is no stream {stream}") from None
        yield Stream(jetstream, stream, state.first_seq, state.last_seq)
    finally:
        await client.close()


class Tiles:
    """A folder of tiles and entry bundles, every hash of which is under the checkpoint that was signed last."""

    first = 1

    def __init__(self, folder: Path, checkpoint: Checkpoint) -> None:
        self.name = f"the tiles in {folder}"
        self.last = checkpoint.size
        self._published = Published(folder)
        self._check(checkpoint)

    async def read(self, after: int, until: int) -> list[bytes]:
        return await asyncio.to_thread(self._read, after, until)

    def _check(self, checkpoint: Checkpoint) -> None:
        """Grow the tree from its leaves again: what comes out must be the root."""
        edge = Edge()
        for number in range(-(-self.last // TILE_WIDTH)):
            for leaf in self._leaves(number):
                edge.append(leaf)
        if edge.root() != checkpoint.root:
            raise SourceRefused(f"{self.name} are not those of the checkpoint of size {self.last}")

    def _read(self, after: int, until: int) -> list[bytes]:
        """The entries of one bundle and of those behind it, up to a page of them."""
        entries: list[bytes] = []
        while after + len(entries) < until and len(entries) < PAGE:
            number, skipped = divmod(after + len(entries), TILE_WIDTH)
            entries += self._bundle(number)[skipped:]
        return entries[: until - after]

    def _bundle(self, number: int) -> list[bytes]:
        try:
            entries = unbundle(self._published.content(tile_at(ENTRIES, number, self.last)))
        except (NotFound, ValueError) as error:
            raise SourceRefused(f"{self.name} lack entry bundle {number}: {error}") from error
        leaves = self._leaves(number)
        if len(entries) != len(leaves):
            raise SourceRefused(f"{self.name}: entry bundle {number} has {len(entries)} entries, not {len(leaves)}")
        for position, (entry, leaf) in enumerate(zip(entries, leaves, strict=True), number * TILE_WIDTH + 1):
            if leaf_hash(entry) != leaf:
                raise SourceRefused(f"{self.name}: the entry of position {position} is not the one that was signed")
        return entries

    def _leaves(self, number: int) -> list[bytes]:
        tile = tile_at(0, number, self.last)
        try:
            return split(self._published.content(tile))
        except NotFound as error:
            raise SourceRefused(f"{self.name} lack {tile.path}") from error


def open_tiles(folder: Path, guard: Guard) -> Tiles:
    """The tiles, up to the last checkpoint that was signed. Raises SourceRefused, NoteRefused and SigningRefused.

    The guard may remember a later one than the folder holds: who signed it was stopped before it was given away.
    """
    try:
        published = open_checkpoint(Published(folder).newest().note.decode(), Verifier(guard.vkey))
    except NotFound:
        raise SourceRefused(f"there is no checkpoint in {folder}") from None
    return Tiles(folder, max(published, guard.last(), key=lambda checkpoint: checkpoint.size))
