"""Whether a log may be written: not while the stream or the tiles hold what it has not."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import asyncpg
import structlog
from nats.js.errors import APIError

from contracts.problems import NotFound
from services.embedded import CannotRun
from services.log.listener import Listener
from services.log.reader import LogReader
from services.projections.app import pool, servers
from services.projections.relay import Behind, Diverged, Relay, Servers, connect
from services.projections.relay.publication import NO_ANSWER
from services.projections.transparency.published import Published
from services.projections.transparency.tree import Tree, leaf_hash
from services.projections.unreachable import UNREACHABLE
from services.settings import ServeSettings

LOOK_S = 5.0
"""How long the database and NATS are waited for. The log can be written without NATS."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche.restore")


async def refuse_if_behind(settings: ServeSettings, *, look_s: float = LOOK_S) -> None:
    """Raise CannotRun when the stream or the tiles hold events that the log has not, or others than the log.

    Who cannot be reached within a few seconds is passed over with a warning.
    """
    async with pool(settings.database_url, "reader", connections_max=1) as connections:
        reader = LogReader(connections)
        if settings.tiles is not None:
            await _look("tiles", _look_at_tiles(Path(settings.tiles), reader), look_s)
        await _look("stream", _look_at_stream(servers(settings), settings.nats_stream, reader), look_s)


def refusal(diverged: Diverged, source: str) -> str:
    """What an operator is told. source: `stream` or `tiles`."""
    if isinstance(diverged, Behind):
        return (
            f"this database is older than what was published: {diverged}. Nothing is recorded before the missing events"
            f" are put back: certibranche restore --from-{source} (docs/restore.md)"
        )
    return f"this database holds another history than what was published: {diverged}. See docs/restore.md"


async def _look(source: str, look: Awaitable[None], look_s: float) -> None:
    try:
        async with asyncio.timeout(look_s):
            await look
    except Diverged as diverged:
        raise CannotRun(refusal(diverged, source)) from diverged
    except (*UNREACHABLE, *NO_ANSWER, APIError, asyncpg.PostgresError) as error:
        _log.warning("restore.not_compared", source=source, error=repr(error))


async def _look_at_stream(nats: Servers, stream: str, reader: LogReader) -> None:
    client = await connect(nats)
    try:
        await Relay(client, reader, Listener(asyncpg.connect), stream=stream).lag()
    finally:
        await client.close()


async def _look_at_tiles(folder: Path, reader: LogReader) -> None:
    """The last entry that was signed for is that of the log. (The publisher looks at more, and checks signatures.)"""
    published = Published(folder)
    try:
        size = (await published.signed()).checkpoint.size
    except NotFound:
        return
    head = await reader.head()
    if size > head:
        raise Behind(f"the tiles are at {size}, the log at {head}")
    entry = await reader.entry(size)
    if entry and leaf_hash(entry.entry) != await asyncio.to_thread(Tree(size, published.content).leaf, size - 1):
        raise Diverged(f"the tiles and the log differ at {size}")
