"""How fast the log reaches NATS: `python -m tests.bench.relay [--repetitions N] [--profile]`.

The relay's throughput against `js.publish` awaited one by one, on the same server and the same events; and the time
from a receipt until JetStream has acknowledged the event, and until a subscriber holds it, against that of an append.
"""

import argparse
import asyncio
import contextlib
import cProfile
import pstats
import statistics
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
from services.log.listener import LOG_CHANNEL, Listener
from services.log.reader import Entry, LogReader
from services.projections.relay import Relay, Servers, connect
from services.projections.relay.batch import Sent, addressed
from services.projections.relay.stream import stream_config
from services.subscribers.durable import make_durable
from tests.bench.servers import EVENTS_EACH, servers

PERSONS = 1_500
ONE_BY_ONE = 1_000
POSTED = 300
POST_PAUSE_S = 0.01
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

    async def anew(self) -> None:
        """Begin with an empty stream."""
        with contextlib.suppress(nats.errors.Error):
            await self._admin.jetstream().delete_stream(STREAM)
        await self._admin.jetstream().add_stream(stream_config())

    async def one_by_one(self, entries: Sequence[Entry]) -> float:
        """Events a second that `js.publish` brings, each awaited, with what a message of ours carries."""
        messages = [(entry, *addressed(entry.entry)) for entry in entries]
        jetstream = self._client.jetstream()
        began = time.perf_counter()
        for entry, subject, headers in messages:
            expected = {Header.EXPECTED_LAST_SEQUENCE: str(entry.position - 1)}
            await jetstream.publish(subject, entry.entry, headers=headers | expected)
        return len(messages) / (time.perf_counter() - began)

    async def relay(self, head: int) -> float:
        """Events a second that the relay brings, from an empty stream to the head of the log."""
        began = time.perf_counter()
        async with self._relaying() as acknowledged:
            return head / (await acknowledged.reached(head) - began)

    async def delays(self) -> tuple[list[float], list[float], list[float]]:
        """Milliseconds of an append; from its receipt to JetStream's acknowledgement; to a subscriber."""
        await make_durable(self._servers, STREAM, "bench", [])
        head = await self.reader.head()
        number = await self._type()
        appends, acks, receipts = [], [], []
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
                appends.append(1e3 * (receipt - began))
                acks.append(1e3 * (acked_at - receipt))
                receipts.append(1e3 * (received_at - receipt))
                await asyncio.sleep(POST_PAUSE_S)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        return appends, acks, receipts

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
async def benches() -> AsyncIterator[Bench]:
    """Servers as `certibranche up` runs them, with fsync, and a generated log."""
    async with servers(_tell) as running:
        log = await running.log("relay", PERSONS)
        server = Nats(running.folder, free_port())
        await running.supervisor.start(server.program())
        admin, client = await connect(Servers(server.admin_url)), await connect(Servers(server.relay_url))
        async with (
            asyncpg.create_pool(log.url, min_size=1, max_size=4) as pool,
            Listener(partial(asyncpg.connect, log.url), LOG_CHANNEL) as news,
        ):
            yield Bench(admin, client, pool, news, Servers(server.admin_url))
        await client.close()
        await admin.close()


async def measure(repetitions: int, profile: cProfile.Profile | None) -> None:
    async with benches() as bench:
        singles = await bench.reader.page(0, limit=ONE_BY_ONE)
        head = PERSONS * EVENTS_EACH
        ratios = []
        for repetition in range(repetitions):
            await bench.anew()
            slow = await bench.one_by_one(singles)
            await bench.anew()
            if profile is not None:
                profile.enable()
            fast = await bench.relay(head)
            if profile is not None:
                profile.disable()
            ratios.append(fast / slow)
            _tell(f"{repetition + 1}/{repetitions}: {slow:.0f}/s one by one, {fast:.0f}/s relayed, {ratios[-1]:.1f} ×")
        print(f"relay ÷ js.publish one by one: {statistics.median(ratios):.1f} × (goal ≥ 20 ×)")
        appends, acknowledged, received = await bench.delays()
        base = _percentile(appends, 50)
        for what, values in (("receipt → JetStream ack", acknowledged), ("receipt → subscriber", received)):
            p50, p99 = _percentile(values, 50), _percentile(values, 99)
            print(
                f"{what}: p50 {p50:.2f} ms ({p50 / base:.1f} × an append, goal ≤ 0.7), "
                f"p99 {p99:.2f} ms ({p99 / base:.1f} ×, goal ≤ 3); an append {base:.2f} ms"
            )


def _percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.relay", description="Measure the relay.")
    parser.add_argument("--repetitions", type=int, default=5, metavar="N")
    parser.add_argument("--profile", action="store_true", help="show where the relay's time goes; ratios then mislead")
    arguments = parser.parse_args()
    profile = cProfile.Profile() if arguments.profile else None
    uvloop.run(measure(arguments.repetitions, profile))
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(20)


if __name__ == "__main__":
    main()
