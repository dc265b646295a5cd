"""HTTP: single events, batches and streams into a real `certibranche serve`, beside servers that do less."""

import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from itertools import islice

import asyncpg

from services.embedded.issuer import Issuer
from tests.bench import generated
from tests.bench.child import Child, child
from tests.bench.generated import Rows
from tests.bench.measure import Case, Comparison, Sample, Samples, compare, kept, repeated
from tests.bench.processes import cpu_s
from tests.bench.report import FIGURES, Table, refusals, rows_of
from tests.bench.run import LIBRARY, Run
from tests.bench.servers import EVENTS_EACH, Log, Registry

CONNECTIONS = 64
BATCH_CONNECTIONS = 8
COPY_PERSONS = 1_000
COPY_EVENTS = 10_000

NOOP, COPY = "no-op POST", "COPY of events and tags"
SINGLE, SINGLE_20, LONE = "single event", "single event, boundary of 20", "single event, one connection"
LIBRARY_1, LIBRARY_20 = "library's recorder, single event", "library's recorder, boundary of 20"
BATCH, NDJSON, NOOP_LONE = "batches of 100, events", "NDJSON, events", "no-op POST, one connection"
ORDER = (NOOP, SINGLE, SINGLE_20, LIBRARY_1, LIBRARY_20, NOOP_LONE, LONE, COPY, BATCH, NDJSON)


async def measure(run: Run) -> Table:
    """The table of posts over HTTP."""
    preloaded = await run.preloaded()
    async with run.servers.copy_of(preloaded) as log, _cases(run, log) as cases:
        samples = await repeated(kept(cases), run.plan.repetitions, run.tell)
    return Table(
        title="HTTP",
        comparisons=_comparisons(samples),
        columns=["case", *FIGURES.values()],
        rows=rows_of(samples, ORDER),
        notes=[
            f"{CONNECTIONS} connections unless it says otherwise, {BATCH_CONNECTIONS} for batches, one for NDJSON; the"
            " client is one Python process and shares the cores. One server process each, uvicorn with httptools and"
            " uvloop; ours is `certibranche serve`, tokens checked, full decisions, fsync on.",
            f"COPY: rows made in advance, {COPY_EVENTS} a transaction, into empty tables like the log's.",
            "The library's recorder runs the same token check, slices and encoding in threads; it does not look for"
            " repeated ids. Latencies of batches are those of requests.",
            *run.missing(),
            *refusals(samples),
        ],
    )


def _comparisons(samples: Samples) -> list[Comparison]:
    return [
        *compare(samples, SINGLE, NOOP, at_least=0.6),
        *compare(samples, SINGLE_20, NOOP),
        *compare(samples, SINGLE, LIBRARY_1, at_least=10),
        *compare(samples, SINGLE_20, LIBRARY_20, at_least=10),
        *compare(samples, LONE, NOOP_LONE),
        *compare(samples, BATCH, COPY, at_least=0.15),
        *compare(samples, NDJSON, COPY, at_least=0.2),
    ]


@contextlib.asynccontextmanager
async def _cases(run: Run, log: Log) -> AsyncIterator[Mapping[str, Case]]:
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        ours, noop = await enter(run.servers.registry(log)), await enter(run.servers.peer("noop"))
        client = await enter(child("client", *log.persons))
        case = partial(_case, run, client)
        cases = {
            NOOP: case(noop, "single", persons="singles", connections=CONNECTIONS),
            NOOP_LONE: case(noop, "single", persons="singles", connections=1),
            SINGLE: case(ours, "single", persons="singles", connections=CONNECTIONS),
            SINGLE_20: case(ours, "single", persons="scattered", connections=CONNECTIONS),
            LONE: case(ours, "single", persons="singles", connections=1),
            BATCH: case(ours, "batch", persons="singles", connections=BATCH_CONNECTIONS),
            NDJSON: case(ours, "ndjson", persons="singles"),
            COPY: await _copy_case(run, log),
        }
        if LIBRARY:
            jwks = str(Issuer(run.servers.folder).jwks())
            library = await enter(run.servers.peer("library", log.url, jwks))
            cases[LIBRARY_1] = case(library, "single", persons="singles", connections=CONNECTIONS)
            cases[LIBRARY_20] = case(library, "single", persons="scattered", connections=CONNECTIONS)
        yield cases


def _case(run: Run, client: Child, registry: Registry, do: str, **order: str | int) -> Case:
    """A case of the client against a server."""
    watched = run.servers.watched(registry.process_id)
    return client.case(run.plan, watched, do, port=registry.port, token=registry.token, **order)


async def _copy_case(run: Run, log: Log) -> Case:
    """COPY of ready-made rows until the seconds are over; only the COPY and its commit count."""
    connection = await asyncpg.connect(log.url)
    await connection.execute("CREATE SCHEMA copied")
    for table in ("event", "tag"):
        await connection.execute(f"CREATE TABLE copied.{table} (LIKE log.{table} INCLUDING ALL)")
    facts = islice(generated.facts(COPY_PERSONS, EVENTS_EACH), generated.CERTIFICATIONS, None)
    rows = generated.rows(await generated.type_ids(connection), 0, islice(facts, COPY_EVENTS))
    await connection.close()

    postgres = run.servers.watched()["postgres_cpu_s"]

    async def measured() -> Sample:
        connection = await asyncpg.connect(log.url)
        before, cpu_before, taken, copies = cpu_s(postgres()), time.process_time(), 0.0, 0
        while taken < run.plan.seconds:
            taken += await _copied(connection, rows)
            copies += 1
        await connection.close()
        return Sample(
            operations=copies * len(rows.events),
            seconds=taken,
            cpu_s=time.process_time() - cpu_before,
            postgres_cpu_s=cpu_s(postgres()) - before,
        )

    return measured


async def _copied(connection: asyncpg.Connection, rows: Rows) -> float:
    """How long one COPY takes, into empty tables."""
    await connection.execute("TRUNCATE copied.event, copied.tag")
    began = time.perf_counter()
    async with connection.transaction():
        await rows.copy(connection, "copied")
    return time.perf_counter() - began
