"""How fast the log reaches NATS: the relay beside `js.publish` awaited one by one, on the same server and events; and
the time from a receipt until JetStream has acknowledged the event, and until a subscriber holds it.

`python -m tests.bench.relay` shows where the relay's time goes.
"""

import asyncio
import contextlib
import cProfile
import math
import pstats
import sys
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import asyncpg
import nats.errors
import uvloop
from nats.aio.client import Client
from nats.js.api import Header

from contracts.envelope import Envelope, encode
from contracts.facts import ObjectiveSet
from contracts.subjects import STREAM
from services.embedded.nats import Nats
from services.embedded.readiness import free_port
from services.embedded.supervisor import Supervisor
from services.log.listener import LOG_CHANNEL, Listener
from services.log.reader import Entry, LogReader
from services.projections.relay import Relay, Servers, add_stream, connect
from services.projections.relay.batch import Sent, addressed
from services.projections.relay.stream import stream_config
from services.subscribers.durable import make_durable
from tests.bench import load
from tests.bench.measure import Case, Comparison, Sample, compare, kept, repeated
from tests.bench.report import FIGURES, Table, rows_of
from tests.bench.run import Run
from tests.bench.servers import EVENTS_EACH, servers
from tests.bench.servers import Servers as BenchServers

PERSONS = 1_500
ONE_BY_ONE = 1_000
POSTED = 300
POST_PAUSE_S = 0.01

RELAY, ONE = "relay, ordered, expected sequence", "js.publish, one by one"
APPEND, ACKNOWLEDGED, RECEIVED = "append", "receipt → JetStream's acknowledgement", "receipt → subscriber"
SHOWN = ("rate", "p50_ms", "p99_ms", "cpu_us")
PUT = "SELECT log.put($1, $2, $3::smallint[], $4::bytea[], $5::bytea[], $6::bytea[], $7::text[], $8::int[])"


class Watched(Relay):
    """A relay that tells how far the stream has acknowledged."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.acknowledged = Mark()

    async def _settle(self, stored: int, batch: Sent) -> int:
        reached = await super()._settle(stored, batch)
        self.acknowledged.set(reached)
        return reached


class Mark:
    """A position that moves up, and can be waited for."""

    def __init__(self) -> None:
        self._position = 0
        self._moved = asyncio.Event()

    def set(self, position: int) -> None:
        self._position = position
        self._moved.set()
        self._moved = asyncio.Event()

    async def reached(self, position: int) -> float:
        """Return the time when it has come there."""
        while self._position < position:
            await self._moved.wait()
        return time.perf_counter()


class Bench:
    """A log, a relay, and an administrator who makes the stream anew."""

    def __init__(self, admin: Client, client: Client, pool: asyncpg.Pool, news: Listener, servers: Servers) -> None:
        self.reader = LogReader(pool)
        self._admin = admin
        self._client = client
        self._pool = pool
        self._news = news
        self._servers = servers

    async def _anew(self) -> None:
        """Begin with an empty stream."""
        with contextlib.suppress(nats.errors.Error):
            await self._admin.jetstream().delete_stream(STREAM)
        await add_stream(self._admin.jetstream(), stream_config())

    async def one_by_one(self, entries: Sequence[Entry]) -> Sample:
        """What `js.publish` brings into an empty stream, each awaited, with what a message of ours carries."""
        await self._anew()
        messages = [(entry, *addressed(entry.entry)) for entry in entries]
        jetstream = self._client.jetstream()
        began, cpu_began = time.perf_counter(), time.process_time()
        for entry, subject, headers in messages:
            expected = {Header.EXPECTED_LAST_SEQUENCE: str(entry.position - 1)}
            await jetstream.publish(subject, entry.entry, headers=headers | expected)
        seconds = time.perf_counter() - began
        return Sample(operations=len(messages), seconds=seconds, cpu_s=time.process_time() - cpu_began)

    async def relay(self, head: int) -> Sample:
        """What the relay brings, from an empty stream to the head of the log."""
        await self._anew()
        began, cpu_began = time.perf_counter(), time.process_time()
        async with self._relaying() as acknowledged:
            seconds = await acknowledged.reached(head) - began
            return Sample(operations=head, seconds=seconds, cpu_s=time.process_time() - cpu_began)

    async def delays(self) -> tuple[Sample, Sample, Sample]:
        """Latencies of an append; from its receipt to JetStream's acknowledgement; to a subscriber."""
        await make_durable(self._servers, STREAM, "bench", [])
        head = await self.reader.head()
        number = await self._type()
        appends: list[float] = []
        acks: list[float] = []
        receipts: list[float] = []
        started = time.perf_counter()
        async with self._relaying() as acknowledged:
            await self._admin.jetstream().reset_consumer(STREAM, "bench", seq=head + 1)
            received = Mark()
            listening = asyncio.create_task(self._listen(received))
            for position in range(head + 1, head + POSTED + 1):
                waiting = [asyncio.create_task(mark.reached(position)) for mark in (acknowledged, received)]
                began = time.perf_counter()
                await self._put(position, number)
                receipt = time.perf_counter()
                acked_at, received_at = await asyncio.gather(*waiting)
                appends.append(receipt - began)
                acks.append(acked_at - receipt)
                receipts.append(received_at - receipt)
                await asyncio.sleep(POST_PAUSE_S)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        seconds = time.perf_counter() - started
        return (
            load.sample(appends, seconds, math.nan),
            load.sample(acks, seconds, math.nan),
            load.sample(receipts, seconds, math.nan),
        )

    async def _listen(self, received: Mark) -> None:
        cursor = await self._admin.jetstream().pull_subscribe_bind(consumer="bench", stream=STREAM)
        while True:
            with contextlib.suppress(nats.errors.TimeoutError):
                for message in await cursor.fetch(1, timeout=2):
                    received.set(message.metadata.sequence.stream)
                    await message.ack()

    async def _put(self, position: int, number: int) -> None:
        fact = ObjectiveSet(year=2030, beneficiaries=position)
        now = datetime.now(UTC)
        entry = encode(Envelope(id=f"bench-{position}", source="urn:bench", authid="bench"), fact, position, now)
        await self._pool.fetchval(PUT, position - 1, now, [number], [None], [None], [entry], [], [])

    async def _type(self) -> int:
        """The log's number for the type of what is posted."""
        name = ObjectiveSet.type_name()
        await self._pool.execute("INSERT INTO log.type (name) VALUES ($1) ON CONFLICT DO NOTHING", name)
        number: int = await self._pool.fetchval("SELECT id FROM log.type WHERE name = $1", name)
        return number

    @contextlib.asynccontextmanager
    async def _relaying(self) -> AsyncIterator[Mark]:
        relay = Watched(self._client, self.reader, self._news)
        task = asyncio.create_task(relay.run())
        yield relay.acknowledged
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def benches(running: BenchServers) -> AsyncIterator[Bench]:
    """NATS as `certibranche up` runs it, and a generated log."""
    log = await running.log("relay", PERSONS)
    server, supervisor = Nats(running.folder, free_port()), Supervisor(running.tell)
    await supervisor.start(server.program())
    try:
        admin, client = await connect(Servers(server.admin_url)), await connect(Servers(server.relay_url))
        async with (
            asyncpg.create_pool(log.url, min_size=1, max_size=4) as pool,
            Listener(partial(asyncpg.connect, log.url), LOG_CHANNEL) as news,
        ):
            yield Bench(admin, client, pool, news, Servers(server.admin_url))
        await client.close()
        await admin.close()
    finally:
        await supervisor.stop()


async def measure(run: Run) -> Table:
    """The table of the relay."""
    async with benches(run.servers) as bench:
        singles = await bench.reader.page(0, limit=ONE_BY_ONE)
        cases: dict[str, Case] = {
            RELAY: partial(bench.relay, PERSONS * EVENTS_EACH),
            ONE: partial(bench.one_by_one, singles),
        }
        samples = dict(await repeated(kept(cases), run.plan.repetitions, run.tell))
        append, acknowledged, received = await bench.delays()
        samples |= {APPEND: [append], ACKNOWLEDGED: [acknowledged], RECEIVED: [received]}
    lags = [
        Comparison(what=f"{name}: p{p}", against=f"{APPEND}, p50", values=[ms / append.p50_ms], at_most=goal)
        for name, lag in ((ACKNOWLEDGED, acknowledged), (RECEIVED, received))
        for p, ms, goal in ((50, lag.p50_ms, 0.7), (99, lag.p99_ms, 3))
    ]
    return Table(
        title="Relay to JetStream",
        comparisons=[*compare(samples, RELAY, ONE, at_least=20), *lags],
        columns=["case, events", *(FIGURES[figure] for figure in SHOWN)],
        rows=rows_of(samples, (RELAY, ONE, APPEND, ACKNOWLEDGED, RECEIVED), SHOWN),
        notes=[
            f"{PERSONS * EVENTS_EACH} events into an empty stream; one by one the first {ONE_BY_ONE} alone. Then"
            f" {POSTED} appends of one event, each after the one before has reached its subscriber.",
            "Client CPU: of the process that publishes.",
        ],
    )


async def _profile() -> None:
    async with servers(lambda line: print(line, file=sys.stderr)) as running, benches(running) as bench:
        with cProfile.Profile() as profiled:
            await bench.relay(PERSONS * EVENTS_EACH)
        pstats.Stats(profiled).sort_stats("tottime").print_stats(20)


if __name__ == "__main__":
    uvloop.run(_profile())
