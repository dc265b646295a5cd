"""Brings a log up to what was published of it: first everything is compared, then what is missing is put back."""

from collections.abc import AsyncIterator, Callable
from typing import Literal, NamedTuple

import asyncpg

from services.log.reader import LogReader
from services.log.restoring import NotNext, events_of, put_back
from services.restore.sources import Source, SourceRefused

Step = Literal["compared", "put back"]

Told = Callable[[Step, int], None]
"""Hears how many positions have been dealt with, and how."""


class HistoriesDiffer(RuntimeError):
    """Log and source hold different events at the same position. Nothing was changed, and nothing can be mended."""

    def __init__(self, name: str, position: int) -> None:
        super().__init__(f"the log and {name} are two histories: they differ at position {position} for the first time")
        self.position = position


class Restored(NamedTuple):
    """What was put back: the positions behind `before`, up to `head`."""

    before: int
    head: int


async def bring_up(connection: asyncpg.Connection, reader: LogReader, source: Source, told: Told) -> Restored:
    """Append what the source holds behind the log's head, once it is known to be the same history. While `alone`.

    Raises HistoriesDiffer and SourceRefused, before anything was appended, and NotNext for a source that holds an event
    twice. Stopped midway, the log holds a beginning of the history, and the next call goes on behind it.
    """
    head = await reader.head()
    if source.first > head + 1:
        raise SourceRefused(f"{source.name} begins at position {source.first}, but the log ends at {head}")
    await _compare(reader, source, head, told)
    await _check(reader, source, head, told)
    reached = head
    async for entries in _entries(source, head, source.last):
        reached = await put_back(connection, entries)
        told("put back", len(entries))
    return Restored(head, reached)


async def _compare(reader: LogReader, source: Source, head: int, told: Told) -> None:
    """What both hold must be the same bytes."""
    async for page in reader.entries(max(source.first - 1, 0), until=min(head, source.last)):
        after, until = page[0].position - 1, page[-1].position
        theirs = [entry async for entries in _entries(source, after, until) for entry in entries]
        for ours, other in zip(page, theirs, strict=True):
            if ours.entry != other:
                raise HistoriesDiffer(source.name, ours.position)
        told("compared", len(page))


async def _check(reader: LogReader, source: Source, head: int, told: Told) -> None:
    """What is missing must be events, each the next of the one before."""
    last = await reader.entry(head) if head else None
    recorded_at = last.event().recorded_at if last else None
    after = head
    async for entries in _entries(source, head, source.last):
        try:
            recorded_at = events_of(after, recorded_at, entries)[-1].recorded_at
        except NotNext as error:
            raise SourceRefused(f"{source.name}: {error}") from error
        after += len(entries)
        told("compared", len(entries))


async def _entries(source: Source, after: int, until: int) -> AsyncIterator[list[bytes]]:
    while after < until:
        entries = await source.read(after, until)
        yield entries
        after += len(entries)
