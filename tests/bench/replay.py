"""Replay: the whole log over HTTP and in process, beside COPY of the same columns to nowhere."""

import contextlib
from collections.abc import AsyncIterator, Mapping

from tests.bench.child import child
from tests.bench.measure import Case, compare, kept, repeated
from tests.bench.report import FIGURES, Table, rows_of
from tests.bench.run import LIBRARY, Run
from tests.bench.servers import Log

COPY, HTTP = "COPY TO STDOUT, binary, unparsed", "HTTP, NDJSON, bytes as stored"
READER, DECODED = "in process, bytes as stored", "in process, facts decoded"
PEER = "library, DCB recorder"
SHOWN = ("rate", "cpu_us", "server_cpu_us", "postgres_cpu_us")


async def measure(run: Run) -> Table:
    """The table of replays."""
    preloaded = await run.preloaded()
    async with run.servers.copy_of(preloaded) as log, _cases(run, log) as cases:
        samples = await repeated(kept(cases), run.plan.repetitions, run.tell)
    return Table(
        title="Replay",
        comparisons=[
            *compare(samples, HTTP, COPY, at_least=0.5),
            *compare(samples, READER, COPY),
            *compare(samples, DECODED, COPY),
            *compare(samples, READER, PEER),
        ],
        columns=["case, entries", *(FIGURES[figure] for figure in SHOWN)],
        rows=rows_of(samples, (COPY, READER, DECODED, HTTP, PEER), SHOWN),
        notes=[
            f"{log.events} entries. Client CPU: of the process that reads.",
            *run.missing(),
        ],
    )


@contextlib.asynccontextmanager
async def _cases(run: Run, log: Log) -> AsyncIterator[Mapping[str, Case]]:
    postgres = run.servers.watched()
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        registry = await enter(run.servers.registry(log))
        ours, client = await enter(child("log", log.url, *log.persons)), await enter(child("client", *log.persons))
        to = {"port": registry.port, "token": registry.token}
        cases = {
            COPY: ours.case(run.plan, postgres, "copy_out"),
            READER: ours.case(run.plan, postgres, "replay", decoded=False),
            DECODED: ours.case(run.plan, postgres, "replay", decoded=True),
            HTTP: client.case(run.plan, run.servers.watched(registry.process_id), "replay", **to),
        }
        if LIBRARY:
            library = await enter(child("recorders", log.url))
            cases[PEER] = library.case(run.plan, postgres, "replay")
        yield cases
