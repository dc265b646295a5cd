"""Who runs a follower: one holder at a time, and whoever has lost the lease can no longer write."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
import pytest_asyncio

from contracts.facts import Fact
from services.projections.app import VIEWS, listener, pool
from services.projections.builds import Asked
from services.projections.events import Placed
from services.projections.follower import Follower
from services.projections.leases import Fenced, HeldByAnother, Lease
from services.projections.views.counts.tables import CountsView
from services.projections.writes import Folded
from tests.fault.folded import folded, read_log, read_rows
from tests.integration.filled_log import FilledLog, filled_log, until
from tests.unit.careers import awarded, person, published, registered

HISTORY: list[Fact] = [published("cqpm-a"), person(1), person(2), registered(1, 1), awarded(1, 1)]
MORE: list[Fact] = [registered(2, 2), awarded(2, 2)]
EXPIRE = "UPDATE projections.lease SET expires_at = '-infinity'"

STEAL = """
UPDATE projections.lease SET holder = 'thief', fence = fence + 1, expires_at = clock_timestamp() + interval '0.3 s'
"""
"""Its holder cannot come between. It has expired before a holder of 3 s renews."""


@pytest_asyncio.fixture
async def log(database_url: str) -> AsyncIterator[FilledLog]:
    async with filled_log(database_url) as filled:
        await filled.put(HISTORY)
        yield filled


async def check_rows(log: FilledLog) -> None:
    for view in VIEWS:
        assert await read_rows(log.pool, view) == folded(view, await read_log(log.pool, view))


async def test_one_candidate_at_a_time_holds_a_lease(log: FilledLog) -> None:
    first, second = Lease(log.pool, "counts"), Lease(log.pool, "counts")
    assert await first.take()
    assert not await second.take()
    assert await first.take(), "it renews its own"
    assert first.fence == 1
    await first.give_up()
    assert await second.take()
    assert second.fence == 2, "another holder, another fence"
    assert not await first.take()


async def test_an_expired_lease_is_anothers_and_the_old_holder_can_no_longer_write(log: FilledLog) -> None:
    old, new = Lease(log.pool, "counts"), Lease(log.pool, "counts")
    follower = Follower(CountsView(), log.pool, log.news, lease=old, batch_events_max=2)
    await old.take()
    await follower.step()
    await log.pool.execute(EXPIRE)
    assert await new.take()
    await follower.step()  # believes that the lease is its own
    assert await log.position("counts") == 2
    with pytest.raises(Fenced):
        async with log.pool.acquire() as connection:
            await old.check(connection)
    other = Follower(CountsView(), log.pool, log.news, lease=new, batch_events_max=2)
    while await other.step():
        pass
    await follower.step()
    assert await read_rows(log.pool, CountsView()) == folded(CountsView(), await read_log(log.pool, CountsView()))


async def test_an_expired_lease_that_nobody_wanted_is_still_ones_own(log: FilledLog) -> None:
    lease = Lease(log.pool, "counts")
    await lease.take()
    await log.pool.execute(EXPIRE)
    assert await lease.take()
    assert lease.fence == 1


async def test_work_that_leads_stops_when_the_lease_is_lost_and_starts_again_with_it(log: FilledLog) -> None:
    lease = Lease(log.pool, "relay", lease_s=3)
    running: list[int] = []

    async def work() -> None:
        running.append(lease.fence)
        try:
            await asyncio.Event().wait()
        finally:
            running.append(-lease.fence)

    leading = asyncio.create_task(lease.lead(work))
    await until(lambda: _equal(running, 1))
    await log.pool.execute(STEAL)
    await until(lambda: _equal(running, 3))  # stopped, then, as the thief does not renew, started again
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)
    assert running[0] == 1
    assert running[2] == 3


async def _equal(running: list[int], length: int) -> bool:
    return len(running) >= length


async def test_work_in_hand_is_not_begun_twice(log: FilledLog) -> None:
    async with Lease(log.pool, "counts:next").held():
        with pytest.raises(HeldByAnother):
            async with Lease(log.pool, "counts:next").held():
                pass


async def test_who_holds_again_what_another_held_meanwhile_may_write_no_more(log: FilledLog) -> None:
    lease = Lease(log.pool, "counts:next", lease_s=3)
    async with lease.held():
        before = lease.fence
        await log.pool.execute(STEAL)
        await until(lambda: _other(lease, before))
        with pytest.raises(Fenced):
            await lease.check(log.pool)


async def _other(lease: Lease, fence: int) -> bool:
    return lease.fence != fence


class Runner:
    """A `certibranche follow` of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def holds(self, log: FilledLog) -> bool:
        rows = await log.pool.fetch(
            "SELECT holder FROM projections.lease WHERE expires_at > clock_timestamp() AND follower = ANY($1)",
            [view.name for view in VIEWS],
        )
        return len(rows) == len(VIEWS) and all(f"/{self.process.pid}/" in row["holder"] for row in rows)


@contextlib.asynccontextmanager
async def runner(log: FilledLog) -> AsyncIterator[Runner]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "follow"),
        env=os.environ | {"CERTIBRANCHE_DATABASE_URL": log.url},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Runner(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.kill()
        await process.wait()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
async def test_another_process_takes_over_within_seconds(log: FilledLog, number: signal.Signals) -> None:
    async with runner(log) as first:
        await until(lambda: first.holds(log))
        async with runner(log) as second:
            await until(lambda: reached(log, len(HISTORY)))
            first.process.send_signal(number)
            head = await log.put(MORE)
            await until(lambda: second.holds(log), limit_s=15)
            await until(lambda: reached(log, head), limit_s=15)
            if number == signal.SIGSTOP:  # longer than its lease; now it goes on
                first.process.send_signal(signal.SIGCONT)
                head = await log.put([registered(3, 1)])
                await until(lambda: reached(log, head))
                assert await second.holds(log)
            await check_rows(log)


async def reached(log: FilledLog, position: int) -> bool:
    return min([await log.position(view.name) for view in VIEWS]) >= position


class Resting(CountsView):
    """Comes to a standstill before it writes, as a stopped process does.

    in_transaction: in one that it holds open: there events are applied one by one, since several at once fail.
    """

    def __init__(self, *, in_transaction: bool) -> None:
        self.in_transaction = in_transaction
        self.rests = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def fold(self, asked: Asked, schema: str, events: Sequence[Placed], before: Any = None) -> Folded:
        if self.in_transaction and len(events) > 1:
            raise ValueError("one by one, please")
        folded = await super().fold(asked, schema, events, before)
        assert not isinstance(asked, asyncpg.Pool)
        assert asked.is_in_transaction() == self.in_transaction
        self.rests.set()
        await self.goes_on.wait()
        return folded


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_a_holder_stopped_before_it_writes_stands_in_nobodys_way(log: FilledLog, in_transaction: bool) -> None:
    view = Resting(in_transaction=in_transaction)
    async with pool(
        log.url, "projector", connections_max=2, idle_in_transaction_session_timeout="300ms"
    ) as connections:
        old = Lease(connections, "counts", lease_s=0.3)
        await old.take()
        stopped = asyncio.create_task(Follower(view, connections, log.news, lease=old).step())
        await view.rests.wait()
        new = Lease(log.pool, "counts")
        await asyncio.wait_for(new.hold(), 10)
        other = Follower(CountsView(), log.pool, log.news, lease=new)
        while await other.step():
            pass
        view.goes_on.set()
        await asyncio.gather(stopped, return_exceptions=True)
    counts = CountsView()
    assert await read_rows(log.pool, counts) == folded(counts, await read_log(log.pool, counts))


class Cable:
    """A socket of the database that can be cut: what was connected is lost, and nobody connects any more."""

    def __init__(self, database_url: str, folder: Path) -> None:
        parts = urlsplit(database_url)
        self._socket = Path(parse_qs(parts.query)["host"][0]) / ".s.PGSQL.5432"
        self._own = folder / ".s.PGSQL.5432"
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path}?host={folder}"
        self._cut = False
        self._ends: list[asyncio.StreamWriter] = []

    @contextlib.asynccontextmanager
    async def laid(self) -> AsyncIterator[None]:
        server = await asyncio.start_unix_server(self._connect, self._own)
        yield
        self.cut()
        server.close()

    def cut(self) -> None:
        self._cut = True
        for end in self._ends:
            end.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            return writer.transport.abort()
        their_reader, their_writer = await asyncio.open_unix_connection(self._socket)
        self._ends += [writer, their_writer]
        await asyncio.gather(_pump(reader, their_writer), _pump(their_reader, writer), return_exceptions=True)
        return None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


async def test_a_holder_cut_off_is_replaced(log: FilledLog, tmp_path_factory: pytest.TempPathFactory) -> None:
    cable = Cable(log.url, tmp_path_factory.mktemp("c"))
    view = CountsView()
    async with cable.laid(), pool(cable.url, "projector", connections_max=4) as cut_off, listener(cable.url) as news:
        old = Lease(cut_off, "counts", lease_s=0.5)
        first = asyncio.create_task(Follower(view, cut_off, news, lease=old).run())
        await until(lambda: at(log, len(HISTORY)))
        cable.cut()
        second = asyncio.create_task(
            Follower(view, log.pool, log.news, lease=Lease(log.pool, "counts", lease_s=0.5)).run()
        )
        head = await log.put(MORE)
        await until(lambda: at(log, head), limit_s=10)
        assert await read_rows(log.pool, view) == folded(view, await read_log(log.pool, view))
        first.cancel()
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)


async def at(log: FilledLog, position: int) -> bool:
    return await log.position("counts") >= position
