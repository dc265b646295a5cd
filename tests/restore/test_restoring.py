"""What a log lacks comes back from the stream or the tiles, byte for byte; what differs is only reported."""

import contextlib
import shutil
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import asyncpg
import pytest

from contracts.problems import IdempotencyConflict
from contracts.subjects import STREAM
from services.embedded.nats import Nats
from services.log.proposal import Recorded
from services.log.restoring import NotNext, WriterAtWork, alone
from services.log.transaction import CONNECTION_SETTINGS
from services.projections.relay import Servers
from services.projections.transparency.guard import Guard
from services.projections.transparency.note import NoteRefused, Signer, new_key
from services.restore.restoring import HistoriesDiffer, Restored, bring_up
from services.restore.sources import Source, SourceRefused, open_stream, open_tiles
from tests.integration.filled_log import FilledLog, until
from tests.restore.conftest import GROUP, HEAD, History, MakeBackup, log_writer, posted, rows
from tests.tampering import tamper
from tests.transparency.published_log import PublishedLog

Wanted = Literal["stream", "tiles"]
from_either = pytest.mark.parametrize("wanted", ["stream", "tiles"])


@contextlib.asynccontextmanager
async def source_of(history: History, wanted: Wanted) -> AsyncIterator[Source]:
    if wanted == "tiles":
        yield open_tiles(history.tiles.folder, history.tiles.guard())
    else:
        async with open_stream(history.servers, STREAM) as stream:
            yield stream


async def restored(log: FilledLog, source: Source) -> Restored:
    connection = await asyncpg.connect(log.url)
    try:
        async with alone(connection):
            return await bring_up(connection, log.reader, source, lambda *_: None)
    finally:
        await connection.close()


async def refused(log: FilledLog, source: Source, error: type[Exception], match: str) -> None:
    """It is refused, and nothing has changed."""
    before = await rows(log.pool)
    with pytest.raises(error, match=match):
        await restored(log, source)
    assert await rows(log.pool) == before


@from_either
@pytest.mark.parametrize("head", [0, 256, HEAD - 1])
async def test_exactly_what_is_missing_comes_back(
    history: History, backup: MakeBackup, wanted: Wanted, head: int
) -> None:
    older = await backup(head)
    async with source_of(history, wanted) as source:
        assert await restored(older, source) == Restored(head, HEAD)
        assert await rows(older.pool) == await history.rows()
        assert await restored(older, source) == Restored(HEAD, HEAD)
        assert await rows(older.pool) == await history.rows()


@from_either
async def test_old_posts_repeated_are_the_same_facts_and_others_are_conflicts(
    history: History, backup: MakeBackup, wanted: Wanted
) -> None:
    older = await backup(333)
    async with source_of(history, wanted) as source:
        await restored(older, source)
    async with log_writer(older.url) as writer:
        for first in range(1, HEAD + 1, GROUP):
            numbers = range(first, first + GROUP)
            outcomes = await writer.append([posted(number) for number in numbers])
            assert [isinstance(o, Recorded) and o.repeated and o.position for o in outcomes] == list(numbers)
        conflicts = await writer.append([posted(number, year=2031) for number in (330, 335, HEAD)])
        assert [isinstance(o, IdempotencyConflict) and o.values["position"] for o in conflicts] == [330, 335, HEAD]
        new = await writer.append_one(posted(HEAD + 1))
    assert (new.position, new.repeated) == (HEAD + 1, False)


async def _nobody_writes(pool: asyncpg.Pool) -> bool:
    """The server has ended the sessions of writers that have left."""
    writers = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1"
    return not await pool.fetch(writers, CONNECTION_SETTINGS["application_name"])


@from_either
async def test_a_log_that_is_ahead_lacks_nothing(history: History, backup: MakeBackup, wanted: Wanted) -> None:
    ahead = await backup(HEAD)
    async with log_writer(ahead.url) as writer:
        await writer.append_one(posted(HEAD + 1))
    await until(partial(_nobody_writes, ahead.pool))
    async with source_of(history, wanted) as source:
        assert await restored(ahead, source) == Restored(HEAD + 1, HEAD + 1)


@from_either
@pytest.mark.parametrize("differing", [1, 300])
async def test_a_history_that_differs_anywhere_is_reported_and_left_alone(
    history: History, backup: MakeBackup, wanted: Wanted, differing: int
) -> None:
    older = await backup(400)
    await tamper(
        older.pool,
        "UPDATE log.event SET entry = overlay(entry placing 'x'::bytea from 20) WHERE position = $1",
        differing,
    )
    async with source_of(history, wanted) as source:
        await refused(older, source, HistoriesDiffer, f"differ at position {differing} for the first time")


@from_either
async def test_stopped_midway_it_goes_on(history: History, backup: MakeBackup, wanted: Wanted) -> None:
    older = await backup(100)
    async with source_of(history, wanted) as source:
        put = 0

        def stop(step: str, _: int) -> None:
            nonlocal put
            put += step == "put back"
            if put == 1:
                raise InterruptedError

        connection = await asyncpg.connect(older.url)
        with pytest.raises(InterruptedError):
            async with alone(connection):
                await bring_up(connection, older.reader, source, stop)
        await connection.close()
        reached = await older.reader.head()
        assert 100 < reached <= HEAD
        assert await restored(older, source) == Restored(reached, HEAD)
    assert await rows(older.pool) == await history.rows()


async def test_nobody_may_write_meanwhile(history: History, backup: MakeBackup) -> None:
    older = await backup(HEAD)
    connection, other = await asyncpg.connect(older.url), await asyncpg.connect(older.url)
    async with alone(connection):
        with pytest.raises(WriterAtWork):
            async with alone(other):
                pytest.fail("two at once")
    async with alone(other):
        pass
    async with log_writer(older.url) as writer:
        await writer.append_one(posted(HEAD + 1))
        with pytest.raises(WriterAtWork, match="connected writers of the log: 1"):
            async with alone(connection):
                pytest.fail("a writer is connected")
    await connection.close()
    await other.close()


# What a stream may hold that is no history


class Messages:
    """A stream that holds these messages, from a sequence on."""

    name = "the stream"

    def __init__(self, messages: Sequence[bytes], first: int = 1) -> None:
        self.first, self.last = first, first + len(messages) - 1
        self._messages = messages

    async def read(self, after: int, until: int) -> list[bytes]:
        return list(self._messages[after - self.first + 1 : until - self.first + 1][:7])


async def test_a_stream_that_has_forgotten_what_is_missing_is_refused(history: History, backup: MakeBackup) -> None:
    older, entries = await backup(100), await history.log.bytes_of_all()
    await refused(older, Messages(entries[101:], 102), SourceRefused, "begins at position 102, but the log ends at 100")
    assert await restored(older, Messages(entries[100:], 101)) == Restored(100, HEAD)
    assert await rows(older.pool) == await history.rows()


async def test_what_is_no_next_event_is_refused_before_anything_is_put_back(
    history: History, backup: MakeBackup
) -> None:
    older, entries = await backup(100), await history.log.bytes_of_all()
    for message in (b"", b"{}", b"no json", entries[-1].replace(b"objective.set", b"nothing.known")):
        await refused(older, Messages([*entries, message]), SourceRefused, f"position {HEAD + 1} holds no event")
    twice = Messages([*entries, entries[-1]])
    await refused(older, twice, SourceRefused, f"position {HEAD + 1} holds the event of position {HEAD}")
    gap = Messages([*entries[:300], *entries[301:]])
    await refused(older, gap, SourceRefused, "position 301 holds the event of position 302")
    earlier = next_event(entries).replace(b'"recordedtime":"2', b'"recordedtime":"1')
    await refused(older, Messages([*entries, earlier]), SourceRefused, "was recorded before the one before it")


async def test_an_event_recorded_twice_is_refused(history: History, backup: MakeBackup) -> None:
    whole, entries = await backup(HEAD), await history.log.bytes_of_all()
    await refused(whole, Messages([*entries, next_event(entries)]), NotNext, "is in the log already")


def next_event(entries: Sequence[bytes]) -> bytes:
    """The last one again, at the next position."""
    return entries[-1].replace(b'"%019d"' % HEAD, b'"%019d"' % (HEAD + 1))


async def test_without_a_stream_there_is_nothing_to_take(nats_session: Nats) -> None:
    with pytest.raises(SourceRefused, match="no stream NONE"):
        async with open_stream(Servers(nats_session.admin_url), "NONE"):
            pytest.fail("there is none")


# The tiles


@pytest.fixture
def tiles(history: History, tmp_path: Path) -> PublishedLog:
    """A copy of what is published, to be spoilt."""
    copied = PublishedLog(history.log.pool, history.log.news, history.tiles.signer, tmp_path)
    shutil.copytree(history.tiles.folder, copied.folder)
    shutil.copy(history.tiles.guard_path, copied.guard_path)
    return copied


def spoil(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


async def test_an_entry_that_was_not_signed_is_refused_before_anything_is_put_back(
    tiles: PublishedLog, backup: MakeBackup
) -> None:
    older = await backup(100)
    whole = tiles.folder / "tile/entries/001"
    before = whole.read_bytes()
    whole.write_bytes(before.replace(b'"authid":"tests"', b'"authid":"other"', 1))
    source = open_tiles(tiles.folder, tiles.guard())
    await refused(older, source, SourceRefused, "the entry of position 257 is not the one that was signed")
    whole.write_bytes(before[:-1])
    await refused(older, source, SourceRefused, "lack entry bundle 1: an entry bundle is cut off")


@pytest.mark.parametrize("tile", ["tile/0/000", "tile/0/002.p/88"])
def test_tiles_that_were_not_signed_are_refused(tiles: PublishedLog, tile: str) -> None:
    spoil(tiles.folder / tile)
    with pytest.raises(SourceRefused, match=f"not those of the checkpoint of size {HEAD}"):
        open_tiles(tiles.folder, tiles.guard())


def test_tiles_that_are_missing_are_named(tiles: PublishedLog) -> None:
    (tiles.folder / "tile/0/001").unlink()
    with pytest.raises(SourceRefused, match="lack tile/0/001"):
        open_tiles(tiles.folder, tiles.guard())
    (tiles.folder / "checkpoint").unlink()
    shutil.rmtree(tiles.folder / "checkpoints")
    with pytest.raises(SourceRefused, match="there is no checkpoint"):
        open_tiles(tiles.folder, tiles.guard())


def test_a_checkpoint_that_somebody_else_signed_is_refused(tiles: PublishedLog, tmp_path: Path) -> None:
    other = Guard(tmp_path / "other", Signer(new_key("log.example/test")))
    with pytest.raises(NoteRefused):
        open_tiles(tiles.folder, other)


async def test_what_was_signed_and_not_given_away_any_more_comes_back_too(
    tiles: PublishedLog, backup: MakeBackup
) -> None:
    """A publisher that was killed between the guard and the checkpoint: the next one signs nothing shorter."""
    older, ahead = await backup(100), await backup(HEAD)
    async with log_writer(ahead.url) as writer:
        await writer.append_one(posted(HEAD + 1))
    before = (tiles.folder / "checkpoint").read_bytes()
    tiles.pool = ahead.pool
    await tiles.publish()
    (tiles.folder / "checkpoint").write_bytes(before)
    assert await restored(older, open_tiles(tiles.folder, tiles.guard())) == Restored(100, HEAD + 1)
    assert await rows(older.pool) == await rows(ahead.pool)
