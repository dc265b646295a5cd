"""Boundaries: what a decision over 20 events costs as the log grows."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial

import msgspec

from tests.bench.child import Child, child
from tests.bench.measure import Case, compare, repeated
from tests.bench.report import FIGURES, Table, refusals, rows_of
from tests.bench.run import Run
from tests.bench.servers import EVENTS_EACH, Log

PERSONS = {"10 k": 500, "1 M": 50_000}
LARGE = {"10 M": 500_000}
QUICK = {"10 k": 500, "50 k": 2_500}
BUSY = 500
"""So many persons are asked about in every log, spread over all of it: the smallest has no more."""

KINDS = DECISION, AGAIN, FIRST = "decision", "boundary read again", "boundary read for the first time"
CALLERS = (1, 64)
DECISIONS = 250
"""So many in a case, half of the persons: each adds an event to a boundary."""
FIRST_READS = 125
"""So many in a case, as many to warm up, for one caller and for many: each person once."""
SHOWN = {
    **{figure: FIGURES[figure] for figure in FIGURES if figure != "server_cpu_us"},
    "rss_mb": "writer's memory, MB",
}


async def measure(run: Run) -> Table:
    """The table of boundary reads and decisions by the size of the log."""
    sizes = QUICK if run.plan.quick else PERSONS | (LARGE if run.plan.large else {})
    logs = {size: await run.servers.log(f"of_{persons}", persons) for size, persons in sizes.items()}
    samples = await repeated(partial(_stage, run, logs), run.plan.repetitions, run.tell)
    small, *larger = sizes
    return Table(
        title="Boundaries by the size of the log",
        comparisons=[
            comparison
            for size in larger
            for kind in KINDS
            for callers, figure in ((1, "p50_ms"), (64, "mean_ms"))
            for comparison in compare(
                samples, _name(kind, size, callers), _name(kind, small, callers), of=figure, at_most=2
            )
        ],
        columns=["case", *SHOWN.values()],
        rows=rows_of(
            samples,
            [_name(kind, size, n) for kind in KINDS for n in CALLERS for size in sizes],
            tuple(SHOWN),
        ),
        notes=[
            f"{BUSY} persons of each log, drawn at random; each has {EVENTS_EACH} events scattered over all of it. A"
            " boundary read is a decision that is refused in the end: all of it but the recording.",
            "A decision and a read again find boundaries that the writer has kept; the first time they come out of"
            " PostgreSQL: some hundred pages, of a log that may be far larger than its memory.",
            f"At most {DECISIONS} decisions a case, so that the boundaries of the smallest log stay near 20 events.",
            "The ratios are of time: of one decision alone, or of one among 64 callers (1 ÷ rate).",
            *refusals(samples),
        ],
    )


def _name(kind: str, size: str, callers: int) -> str:
    return f"{kind}, log of {size}, {callers} caller{'s' * (callers > 1)}"


@contextlib.asynccontextmanager
async def _stage(run: Run, logs: Mapping[str, Log]) -> AsyncIterator[Mapping[str, Case]]:
    """A writer on each log. The smallest is a fresh copy: in it, boundaries would soon have more than 20 events."""
    small, *larger = logs
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        used = {small: await enter(run.servers.copy_of(logs[small]))} | {size: logs[size] for size in larger}
        cases: dict[str, Case] = {}
        for size, log in used.items():
            ours, fresh = await enter(_writer(log)), await enter(_writer(log))
            await ours.ask("read", persons="scattered", callers=64, seconds=60, limit=BUSY)
            cases |= {_name(kind, size, n): case for kind, n, case in _of(run, ours, fresh)}
        yield cases


def _writer(log: Log) -> AbstractAsyncContextManager[Child]:
    """A writer that is asked about the busy persons of a log."""
    busy = msgspec.structs.replace(log.scattered, count=BUSY, stride=log.scattered.count // BUSY)
    return child("log", log.url, *log._replace(scattered=busy).persons)


def _of(run: Run, ours: Child, fresh: Child) -> Iterator[tuple[str, int, Case]]:
    """The cases of a log. ours: a writer that has read of all busy persons; fresh: one that has of none."""
    for n in CALLERS:
        yield DECISION, n, _case(run, ours, "decide", n, DECISIONS)
        yield AGAIN, n, _case(run, ours, "read", n)
        yield FIRST, n, _case(run, fresh, "read", n, FIRST_READS)


def _case(run: Run, writer: Child, do: str, callers: int, limit: int | None = None) -> Case:
    return writer.case(run.plan, run.servers.watched(), do, persons="scattered", callers=callers, limit=limit)
