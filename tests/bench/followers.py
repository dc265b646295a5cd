"""How fast views follow: catch-up from an empty view, and the time from a receipt until the event is visible.

`python -m tests.bench.followers VIEW` shows where one catch-up spends this process's time.
"""

import argparse
import asyncio
import cProfile
import math
import pstats
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import date
from functools import partial
from itertools import islice, pairwise
from typing import Any

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
from services.garbage import collect_rarely
from services.log.listener import LOG_CHANNEL
from services.log.migrations import migrate
from services.log.reader import LogReader
from services.projections.app import FOLLOWER_SETTINGS, MIGRATIONS, VIEWS, listener, pool
from services.projections.batches import UNBOUNDED
from services.projections.builds import Connection, View, create_build, drop_build
from services.projections.follower import BATCH_EVENTS_MAX, Follower
from services.projections.leases import Lease
from services.registry.app import LOG_MIGRATIONS
from tests.bench import generated, load
from tests.bench.measure import Case, Comparison, Sample, compare, kept, repeated
from tests.bench.processes import ProcessId, cpu_s
from tests.bench.report import FIGURES, Table, rows_of
from tests.bench.run import Run
from tests.bench.servers import Servers, servers

FIRST_ROUND, ROUND = 100, 10_000
"""Persons whose events are interleaved. The first round is small: those who go one by one see whole careers."""

EVENTS = 100_000
ONE_BY_ONE = 1_000
LIGHT, HEAVY = "light", "heavy"
APPENDS = {LIGHT: (250, 1, 0.02), HEAVY: (1_000, 8, 0.0)}
"""How many appends, of how many events each, and the pause between them in seconds."""

BYTES, DECODED = "replay in process, bytes", "replay in process, facts decoded"
SHOWN = tuple(figure for figure in FIGURES if figure != "server_cpu_us")


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

    def __init__(
        self, url: str, events: int, connections: asyncpg.Pool, follower_pool: asyncpg.Pool, postgres: ProcessId
    ) -> None:
        self.url = url
        self.events = events
        self.pool = connections
        self.follower_pool = follower_pool
        self.reader = LogReader(connections)
        self._postgres = postgres

    async def replay(self, *, decoded: bool) -> Sample:
        """The log as this process reads it."""
        took, count = self._watch(), 0
        async for page in self.reader.entries(0, until=self.events):
            count += len([entry.event() for entry in page] if decoded else page)
        return took(count)

    def _watch(self) -> Callable[[int], Sample]:
        """Begins now. What it returns tells what so many operations have taken."""
        began, cpu_began, postgres_began = time.perf_counter(), time.process_time(), cpu_s(self._postgres())
        return lambda operations: Sample(
            operations=operations,
            seconds=time.perf_counter() - began,
            cpu_s=time.process_time() - cpu_began,
            postgres_cpu_s=cpu_s(self._postgres()) - postgres_began,
        )

    async def catch_up(self, view: View, *, one_by_one: bool = False) -> Sample:
        """From an empty view, under a lease. one_by_one: one event a transaction, each waits for the disk."""
        async with self.pool.acquire() as connection, connection.transaction():
            await drop_build(connection, view.name)
            await create_build(connection, view, view.name)
        async with listener(self.url, LOG_CHANNEL) as news:
            connections = self.pool if one_by_one else self.follower_pool
            lease = Lease(connections, view.name)
            await lease.take()
            size = 1 if one_by_one else BATCH_EVENTS_MAX
            follower = Follower(view, connections, news, lease=lease, batch_events_max=size)
            until = min(ONE_BY_ONE, self.events) if one_by_one else self.events
            took = self._watch()
            while await follower.step(until=until):
                await lease.hold()
            sample = took(until)
            await follower.close()
            await lease.give_up()
        return sample

    async def visible(self, view: View, posting: str) -> tuple[Sample, Sample]:
        """Latencies: of appends, and from their receipts until the view has their events."""
        appends, each, every_s = APPENDS[posting]
        connection = await asyncpg.connect(self.url)
        types = await generated.type_ids(connection)
        position = await self.reader.head()
        began, numbers = position, iter(range(10_000_000 + position, 20_000_000))
        receipts: list[float] = []
        appended: list[float] = []
        took = self._watch()
        async with listener(self.url, LOG_CHANNEL) as news:
            lease = Lease(self.follower_pool, view.name)
            follower = _Timed(view, self.follower_pool, news, lease=lease)
            await lease.take()
            while await follower.step():  # what another case has left
                await lease.hold()
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
        seconds = took(appends).seconds
        delays = _delays(receipts, follower.seen, began, each)
        return load.sample(appended, seconds, math.nan), load.sample(delays, seconds, math.nan)


class _Timed(Follower):
    """Notes when its commits were carried out."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.seen: list[tuple[int, float]] = []

    async def _step(self, connection: Connection, until: int = UNBOUNDED) -> bool:
        moved = await super()._step(connection, until)
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


@asynccontextmanager
async def bench(running: Servers, events: int) -> AsyncIterator[Bench]:
    """A generated log of careers."""
    collect_rarely()  # as in the product's process
    await running.postgres.create_database("careers")
    url = running.postgres.url("careers")
    count = await _fill(url, events, running.tell)
    async with (
        pool(url, "reader", connections_max=4) as connections,
        pool(url, "projector", connections_max=6, **FOLLOWER_SETTINGS) as follower_pool,
    ):
        yield Bench(url, count, connections, follower_pool, running.watched()["postgres_cpu_s"])


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


async def measure(run: Run) -> Table:
    """The table of followers."""
    async with bench(run.servers, EVENTS // 20 if run.plan.quick else EVENTS) as on:
        cases: dict[str, Case] = {BYTES: partial(on.replay, decoded=False), DECODED: partial(on.replay, decoded=True)}
        for view in VIEWS:
            cases[_caught_up(view)] = partial(on.catch_up, view)
            cases[_one_by_one(view)] = partial(on.catch_up, view, one_by_one=True)
        samples = dict(await repeated(kept(cases), run.plan.repetitions, run.tell))
        lags: list[Comparison] = []
        for view in VIEWS[:2]:
            for posting in APPENDS:
                run.tell(f"{view.name}, {posting} posting")
                append, visible = await on.visible(view, posting)
                name = f"{view.name}, visible, {posting} posting"
                samples[name], samples[f"{view.name}, append, {posting} posting"] = [visible], [append]
                if posting == LIGHT:
                    against = f"append, {posting} posting, p50"
                    lags += [
                        Comparison(what=f"{name}: p{p}", against=against, values=[ms / append.p50_ms], at_most=goal)
                        for p, ms, goal in ((50, visible.p50_ms, 0.6), (99, visible.p99_ms, 3))
                    ]
    return Table(
        title="Followers",
        comparisons=[
            *(c for view in VIEWS for c in compare(samples, _caught_up(view), _one_by_one(view), at_least=65)),
            *(c for view in VIEWS for c in compare(samples, _caught_up(view), BYTES, at_least=0.25)),
            *(c for view in VIEWS for c in compare(samples, _caught_up(view), DECODED)),
            *lags,
        ],
        columns=["case, events", *(FIGURES[figure] for figure in SHOWN)],
        rows=rows_of(samples, sorted(samples), SHOWN),
        notes=[
            f"{on.events} events of careers. One by one: one event a transaction, the first {ONE_BY_ONE} alone.",
            "Visible: from the receipt of an append until the view has committed its events."
            f" Light posting is one event each {APPENDS[LIGHT][2] * 1e3:.0f} ms, heavy"
            f" {APPENDS[HEAVY][1]} a group without pause.",
            "Client CPU: of the process that follows.",
        ],
    )


def _caught_up(view: View) -> str:
    return f"{view.name}, catch-up"


def _one_by_one(view: View) -> str:
    return f"{view.name}, one by one"


async def profile(name: str) -> None:
    """Where one catch-up spends this process's time."""
    view = next(view for view in VIEWS if view.name == name)
    async with servers(lambda line: print(line, file=sys.stderr)) as running, bench(running, EVENTS) as on:
        with cProfile.Profile() as profiled:
            sample = await on.catch_up(view)
        print(f"{sample.rate:.0f} events/s", file=sys.stderr)
        pstats.Stats(profiled).sort_stats("tottime").print_stats(25)


def main() -> None:
    """Profile one view's catch-up."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.followers", description="Profile a catch-up.")
    parser.add_argument("view", choices=[view.name for view in VIEWS])
    asyncio.run(profile(parser.parse_args().view))


if __name__ == "__main__":
    main()
