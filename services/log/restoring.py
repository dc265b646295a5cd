"""Puts back into the log what was recorded before: the same bytes at the same positions, recorded at the same times.

All that `log.put` writes beside the bytes is made of them again. But for one thing: what was posted cannot be told from
what was stored (defaults and derived members are written out), so its hash is left out, and a repeat of the command is
found by comparing it with the stored event (`Proposal.repeats`).
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from itertools import groupby

import asyncpg
import msgspec

from contracts.envelope import StoredEvent, decode
from contracts.facts import Fact
from services.log.proposal import idempotency_key
from services.log.transaction import CONNECTION_SETTINGS, NAME_TYPES

_LOCK = "SELECT pg_try_advisory_lock(7420, 1)"
_UNLOCK = "SELECT pg_advisory_unlock(7420, 1)"

# $1: what writers call themselves.
_WRITERS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1
"""

_LAST = "SELECT position, recorded_at FROM log.event ORDER BY position DESC LIMIT 1"

_TYPES = "SELECT name, id FROM log.type"

_PUT = "SELECT log.put($1, $2, $3, $4, $5, $6, $7, $8)"


class WriterAtWork(RuntimeError):
    """Somebody writes into this log, or may at any moment."""


class NotNext(ValueError):
    """These bytes are not the events that come next in the log; nothing was put."""


@contextlib.asynccontextmanager
async def alone(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Hold the log's lock meanwhile: nobody else can append. Raises WriterAtWork."""
    if not await connection.fetchval(_LOCK):
        raise WriterAtWork("the log is being written; stop every `certibranche serve`")
    try:
        if writers := await connection.fetchval(_WRITERS, CONNECTION_SETTINGS["application_name"]):
            raise WriterAtWork(f"connected writers of the log: {writers}; stop every `certibranche serve`")
        yield
    finally:
        if not connection.is_closed():
            await connection.execute(_UNLOCK)


def events_of(after: int, recorded_at: datetime | None, entries: Sequence[bytes]) -> list[StoredEvent[Fact]]:
    """The events of stored bytes, which come behind a position and what was recorded there. Raises NotNext."""
    events = []
    for position, entry in enumerate(entries, after + 1):
        try:
            event = decode(entry)
        except (msgspec.MsgspecError, KeyError) as error:
            raise NotNext(f"position {position} holds no event of the contract: {error}") from error
        if event.position != position:
            raise NotNext(f"position {position} holds the event of position {event.position}")
        if recorded_at is not None and event.recorded_at < recorded_at:
            raise NotNext(f"position {position} was recorded before the one before it")
        recorded_at = event.recorded_at
        events.append(event)
    return events


async def put_back(connection: asyncpg.Connection, entries: Sequence[bytes]) -> int:
    """Append events, all or none; the new head. Only while `alone`. Raises NotNext."""
    async with connection.transaction():
        last = await connection.fetchrow(_LAST)
        head, recorded_at = (last["position"], last["recorded_at"]) if last else (0, None)
        placed = list(zip(events_of(head, recorded_at, entries), entries, strict=True))
        await connection.execute(NAME_TYPES, sorted({event.type for event, _ in placed}))
        types = {row["name"]: row["id"] for row in await connection.fetch(_TYPES)}
        for moment, group in groupby(placed, key=lambda pair: pair[0].recorded_at):
            events, stored = zip(*group, strict=True)
            tags = [(tag, ordinal) for ordinal, event in enumerate(events, 1) for tag in event.data.tags()]
            try:
                head = await connection.fetchval(
                    _PUT,
                    head,
                    moment,
                    [types[event.type] for event in events],
                    [idempotency_key(event.source, event.id) for event in events],
                    [None] * len(events),
                    stored,
                    [tag for tag, _ in tags],
                    [ordinal for _, ordinal in tags],
                )
            except asyncpg.UniqueViolationError as error:
                raise NotNext(f"behind position {head} comes a source and id that is in the log already") from error
            assert head > 0, "nobody else can have appended"
    return int(head)
