"""How fast views follow: `python -m tests.bench.followers [--events N] [--seconds S] [--profile VIEW]`.

Catch-up from an empty view against one event a transaction and against replay in this process; and the time from a
receipt until the event is visible in the view, under light and heavy posting. Ratios are of this run; all else is only
there to read them.
"""

import argparse
import asyncio
import cProfile
import json
import pstats
import secrets
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import date
from itertools import islice, pairwise

import asyncpg

from contracts.facts import (
    BlocValidated,
    CandidateRegistered,
    CertificateAwarded,
    CertificateRevoked,
    Component,
    EvaluationRecorded,
    Fact,
    PersonRegistered,
)
from contracts.facts.registrations import CompetenceOutcome
from services.log.listener import LOG_CHANNEL
from services.log.migrations import migrate
from services.log.reader import LogReader
from services.projections.app import FOLLOWER_SETTINGS, MIGRATIONS, VIEWS, listener, pool
from services.projections.batches import UNBOUNDED
from services.projections.builds import View, create_build, drop_build
from services.projections.follower import Follower
from services.projections.leases import Lease
from services.registry.app import LOG_MIGRATIONS
from tests.bench import generated
from tests.bench.servers import servers

FIRST_ROUND, ROUND = 100, 10_000
"""Persons whose events are interleaved. The first round is small: those who go one by one see whole careers."""

ONE_BY_ONE = 1_000
HEAVY_EVENTS_MAX = 64


def careers(persons: int) -> Iterator[Fact]:
    """Round after round the next event of each of some persons: registered, evaluated, validated, awarded."""
    for number in range(generated.CERTIFICATIONS):
        yield generated.certification(number)
    for begin, end in pairwise((0, *range(FIRST_ROUND, persons, ROUND), persons)):
        numbers = range(begin, end)
        for nth in range(9):
            for number in numbers:
                yield _event(number, nth)
        for number in numbers[::20]:
            yield CertificateRevoked(
                certificate_number=f"CQPM-2018-{number:08d}-0",
                reason="FRAUD",
                decided_on=date(2019, 1, 1),
                person_id=generated.person_id(number),
                registration_id=generated.registration_id(number, 0),
                certification_id=generated.certification_id(number % generated.CERTIFICATIONS),
            )


def _event(number: int, nth: int) -> Fact:
    certification = number % generated.CERTIFICATIONS
    person_id, registration_id = generated.person_id(number), generated.registration_id(number, 0)
    certification_id = generated.certification_id(certification)
    bloc = (nth - 2) % 3
    bloc_id = f"bloc-{certification:04d}-{bloc}"
    if nth == 0:
        return PersonRegistered(person_id=person_id, identity_commitment=f"{number:064x}")
    if nth == 1:
        return _candidate(number)
    if nth < 5:
        return EvaluationRecorded(
            evaluation_id=generated.registration_id(number, nth),
            registration_id=registration_id,
            bloc_id=bloc_id,
            outcomes=tuple(CompetenceOutcome(competence_id=f"c{k}", outcome="ACQUIRED") for k in range(3)),
            modality="PROJET",
            evaluated_on=date(2018, 3, 1),
            evaluators=("e1",),
            person_id=person_id,
            certification_id=certification_id,
            version=1,
        )
    if nth < 8:
        return BlocValidated(
            validation_id=generated.registration_id(number, nth),
            registration_id=registration_id,
            bloc_id=bloc_id,
            basis="EVALUATION",
            validated_on=date(2018, 4, 1),
            person_id=person_id,
            certification_id=certification_id,
            version=1,
            usable_until=date(2020, 4, 1),
        )
    return _award(number)


def _award(number: int) -> Fact:
    certification = number % generated.CERTIFICATIONS
    components = tuple(
        Component(
            bloc_id=f"bloc-{certification:04d}-{k}",
            validation_id=generated.registration_id(number, 5 + k),
            basis="EVALUATION",
        )
        for k in range(3)
    )
    return CertificateAwarded(
        registration_id=generated.registration_id(number, 0),
        certificate_number=f"CQPM-2018-{number:08d}-0",
        awarded_on=date(2018 + number % 3, 6, 1),
        person_id=generated.person_id(number),
        certification_id=generated.certification_id(certification),
        version=1,
        kind="CERTIFICATION",
        family="CQPM",
        title="Certification",
        components=components,
        reporting_status="SALARIE",
        branch="metallurgie",
        region=("11", "84", "75")[number % 3],
    )


def _candidate(number: int) -> Fact:
    return CandidateRegistered(
        registration_id=generated.registration_id(number, 0),
        person_id=generated.person_id(number),
        certification_id=generated.certification_id(number % generated.CERTIFICATIONS),
        target="CERTIFICATION",
        route="FORMATION",
        status="SALARIE",
        region=("11", "84", "75")[number % 3],
        registered_on=date(2018 + number % 3, 1, 8),
        version=1,
        branch="metallurgie",
        reporting_status="SALARIE",
        family="CQPM",
    )


class Bench:
    """One log, and what is measured on it."""

    def __init__(self, url: str, events: int, connections: asyncpg.Pool, follower_pool: asyncpg.Pool) -> None:
        self.url = url
        self.events = events
        self.pool = connections
        self.follower_pool = follower_pool
        self.reader = LogReader(connections)

    async def replay(self, *, decoded: bool) -> float:
        """Events a second, as the library of this process reads them."""
        started, count = time.perf_counter(), 0
        async for page in self.reader.entries(0, until=self.events):
            count += len([entry.event() for entry in page] if decoded else page)
        return count / (time.perf_counter() - started)

    async def catch_up(self, view: View, *, one_by_one: bool = False) -> float:
        """Events a second from an empty view, under a lease. one_by_one: one a transaction, each waits for the disk."""
        async with self.pool.acquire() as connection, connection.transaction():
            await drop_build(connection, view.name)
            await create_build(connection, view, view.name)
        async with listener(self.url, LOG_CHANNEL) as news:
            connections = self.pool if one_by_one else self.follower_pool
            lease = Lease(connections, view.name)
            await lease.take()
            size = {"batch_events_max": 1} if one_by_one else {}
            follower = Follower(view, connections, news, lease=lease, **size)
            until = min(ONE_BY_ONE, self.events) if one_by_one else self.events
            started = time.perf_counter()
            while await follower.step(until=until):
                await lease.hold()
            seconds = time.perf_counter() - started
            await follower.close()
            await lease.give_up()
        return until / seconds

    async def visible(self, view: View, *, appends: int, each: int, every_s: float) -> dict[str, float]:
        """Percentiles in ms: of an append of `each` events, and from its receipt until the view has them."""
        connection = await asyncpg.connect(self.url)
        types = await generated.type_ids(connection)
        position = await self.reader.head()
        began, numbers = position, iter(range(10_000_000 + position, 20_000_000))
        receipts: list[float] = []
        appended: list[float] = []
        async with listener(self.url, LOG_CHANNEL) as news:
            follower = _Timed(view, self.follower_pool, news, lease=Lease(self.follower_pool, view.name))
            running = asyncio.create_task(follower.run())
            for _ in range(appends):
                facts = [
                    PersonRegistered(person_id=generated.person_id(number), identity_commitment="0" * 64)
                    for number in islice(numbers, each)
                ]
                made = generated.rows(types, position, facts)
                started = time.perf_counter()
                await _put(connection, position, made)
                receipts.append(time.perf_counter())
                appended.append(receipts[-1] - started)
                position += each
                await asyncio.sleep(every_s)  # the load that is wanted
            while not follower.seen or follower.seen[-1][0] < position:  # noqa: ASYNC110 (a benchmark, not a test)
                await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await connection.close()
        return _percentiles(appended, _delays(receipts, follower.seen, began, each))


class _Timed(Follower):
    """Notes when its commits were carried out."""

    seen: list[tuple[int, float]]

    async def run(self) -> None:
        self.seen = []
        await super().run()

    async def step(self, *, until: int = UNBOUNDED) -> bool:
        moved = await super().step(until=until)
        if moved and self._build is not None:
            self.seen.append((self._build.position, time.perf_counter()))
        return moved


async def _put(connection: asyncpg.Connection, position: int, made: generated.Rows) -> None:
    rows = list(zip(*made.events, strict=True))
    tags = [tag for tag, _, _ in made.tags]
    places = [place - position for _, _, place in made.tags]
    await connection.fetchval(
        "SELECT log.put($1, now(), $2, $3, $4, $5, $6, $7)", position, *(rows[i] for i in (1, 3, 4, 5)), tags, places
    )


def _delays(receipts: list[float], seen: list[tuple[int, float]], began: int, each: int) -> list[float]:
    delays, at = [], 0
    for ordinal, receipt in enumerate(receipts, 1):
        while seen[at][0] < began + ordinal * each:
            at += 1
        delays.append(max(0.0, seen[at][1] - receipt))
    return delays


def _percentiles(appended: list[float], delays: list[float]) -> dict[str, float]:
    def of(values: list[float], percent: int) -> float:
        return round(statistics.quantiles(values, n=100)[percent - 1] * 1000, 2)

    return {
        "append_p50_ms": of(appended, 50),
        "visible_p50_ms": of(delays, 50),
        "visible_p99_ms": of(delays, 99),
        "p50_ratio": round(of(delays, 50) / of(appended, 50), 2),
        "p99_ratio": round(of(delays, 99) / of(appended, 50), 2),
    }


@asynccontextmanager
async def bench(events: int, tell: Callable[[str], None]) -> AsyncIterator[Bench]:
    """A server with fsync, in a folder of its own, and a generated log."""
    async with servers(tell) as running:
        name = f"bench_{secrets.token_hex(4)}"
        await running.postgres.create_database(name)
        url = running.postgres.url(name)
        count = await _fill(url, events, tell)
        async with (
            pool(url, "reader", connections_max=4) as connections,
            pool(url, "projector", connections_max=6, **FOLLOWER_SETTINGS) as follower_pool,
        ):
            yield Bench(url, count, connections, follower_pool)


async def _fill(url: str, events: int, tell: Callable[[str], None]) -> int:
    connection = await asyncpg.connect(url)
    await migrate(connection, "log", LOG_MIGRATIONS)
    await migrate(connection, "projections", MIGRATIONS)
    types = await generated.type_ids(connection)
    position, wanted = 0, islice(careers(events // 9), events)
    while chunk := list(islice(wanted, generated.CHUNK)):
        await generated.rows(types, position, chunk).copy(connection)
        position += len(chunk)
    await connection.execute("VACUUM ANALYZE log.event")
    await connection.execute("CHECKPOINT")
    await connection.close()
    tell(f"{position} events generated")
    return position


async def measure(events: int, seconds: float, repetitions: int, tell: Callable[[str], None]) -> dict[str, object]:
    """All figures of a run."""
    found: dict[str, object] = {}
    async with bench(events, tell) as on:
        found["events"] = on.events
        samples: dict[str, list[float]] = {}
        for _ in range(repetitions):
            await _sample(samples, "replay, bytes", on.replay(decoded=False))
            await _sample(samples, "replay, decoded", on.replay(decoded=True))
            for view in VIEWS:
                await _sample(samples, f"{view.name}, one by one", on.catch_up(view, one_by_one=True))
                await _sample(samples, f"{view.name}, catch-up", on.catch_up(view))
        found["events a second"] = {name: round(statistics.median(rates)) for name, rates in samples.items()}
        found["ratios"] = {
            f"{view.name} / {peer}": _ratio(samples, f"{view.name}, catch-up", name)
            for view in VIEWS
            for peer, name in (
                ("one by one", f"{view.name}, one by one"),
                ("replay, bytes", "replay, bytes"),
                ("replay, decoded", "replay, decoded"),
            )
        }
        for view in VIEWS[:2]:
            light = int(seconds / 0.02)
            found[f"{view.name}, visible, light"] = await on.visible(view, appends=light, each=1, every_s=0.02)
            heavy = await on.visible(view, appends=int(seconds / 0.004), each=HEAVY_EVENTS_MAX // 8, every_s=0.0)
            found[f"{view.name}, visible, heavy"] = heavy
    return found


async def _sample(samples: dict[str, list[float]], name: str, rate: Awaitable[float]) -> None:
    samples.setdefault(name, []).append(await rate)


def _ratio(samples: dict[str, list[float]], name: str, peer: str) -> float:
    return round(statistics.median(ours / theirs for ours, theirs in zip(samples[name], samples[peer], strict=True)), 3)


async def profile(events: int, name: str, tell: Callable[[str], None]) -> None:
    """Where one catch-up spends this process's time."""
    view = next(view for view in VIEWS if view.name == name)
    async with bench(events, tell) as on:
        with cProfile.Profile() as profiled:
            rate = await on.catch_up(view)
        tell(f"{rate:.0f} events/s")
        pstats.Stats(profiled).sort_stats("tottime").print_stats(25)


def main() -> None:
    """Run it, and print the figures as JSON."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=1_000_000)
    arguments.add_argument("--seconds", type=float, default=10.0, help="of posting, light and heavy each")
    arguments.add_argument("--repetitions", type=int, default=3)
    arguments.add_argument("--profile", metavar="VIEW", choices=[view.name for view in VIEWS])
    given = arguments.parse_args()

    def tell(line: str) -> None:
        print(line, file=sys.stderr)

    if given.profile:
        asyncio.run(profile(given.events, given.profile, tell))
    else:
        found = asyncio.run(measure(given.events, given.seconds, given.repetitions, tell))
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
