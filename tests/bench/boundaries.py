"""Boundaries: what a decision over 20 events costs as the log grows."""

import contextlib
from collections.abc import AsyncIterator, Mapping

from tests.bench.child import child
from tests.bench.measure import Case, compare, kept, repeated
from tests.bench.report import FIGURES, Table, refusals, rows_of
from tests.bench.run import Run
from tests.bench.servers import EVENTS_EACH, Log

PERSONS = {"10 k": 500, "1 M": 50_000}
LARGE = {"10 M": 500_000}
QUICK = {"10 k": 500, "50 k": 2_500}
KINDS = {"boundary read": "read", "decision": "decide"}
CALLERS = (1, 64)
SHOWN = {**FIGURES, "rss_mb": "writer's memory, MB"}


async def measure(run: Run) -> Table:
    """The table of boundary reads and decisions by the size of the log."""
    sizes = QUICK if run.plan.quick else PERSONS | (LARGE if run.plan.large else {})
    logs = {size: await run.servers.log(f"of_{persons}", persons) for size, persons in sizes.items()}
    async with _cases(run, logs) as cases:
        samples = await repeated(kept(cases), run.plan.repetitions, run.tell)
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
            "The ratios are of time: of one decision alone, or of one among 64 callers (64 ÷ rate).",
            *refusals(samples),
        ],
    )


def _name(kind: str, size: str, callers: int) -> str:
    return f"{kind}, log of {size}, {callers} caller{'s' * (callers > 1)}"


@contextlib.asynccontextmanager
async def _cases(run: Run, logs: Mapping[str, Log]) -> AsyncIterator[Mapping[str, Case]]:
    """A writer on each log. The logs grow a little meanwhile, each by the same callers."""
    cases: dict[str, Case] = {}
    async with contextlib.AsyncExitStack() as stack:
        for size, log in logs.items():
            ours = await stack.enter_async_context(child("log", log.url, *log.persons))
            for kind, do in KINDS.items():
                for n in CALLERS:
                    cases[_name(kind, size, n)] = ours.case(
                        run.plan, lambda: [run.servers.postgres_id], do, persons="scattered", callers=n
                    )
        yield cases
