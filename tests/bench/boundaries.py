"""Boundaries: what a decision over 20 events costs as the log grows."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from functools import partial

from tests.bench.child import child
from tests.bench.measure import Case, compare, repeated
from tests.bench.report import FIGURES, Table, refusals, rows_of
from tests.bench.run import Run
from tests.bench.servers import EVENTS_EACH, Log

PERSONS = {"10 k": 500, "1 M": 50_000}
LARGE = {"10 M": 500_000}
QUICK = {"10 k": 500, "50 k": 2_500}
KINDS = ("boundary read", "decision")
CALLERS = (1, 64)
DECISIONS = 250
"""So many in a case, half of the smallest log's persons: each adds an event to a boundary."""
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
            samples, [_name(kind, size, n) for kind in KINDS for n in CALLERS for size in sizes], tuple(SHOWN)
        ),
        notes=[
            f"Persons are drawn at random; each has {EVENTS_EACH} events scattered over the whole log. A boundary read"
            " is a decision that is refused in the end: all of it but the recording.",
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
            ours = await enter(child("log", log.url, *log.persons))
            case = partial(ours.case, run.plan, run.servers.watched(), persons="scattered")
            for n in CALLERS:
                cases[_name("boundary read", size, n)] = case("read", callers=n)
                cases[_name("decision", size, n)] = case("decide", callers=n, limit=DECISIONS)
        yield cases
