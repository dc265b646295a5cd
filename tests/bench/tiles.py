"""Tiles: how fast the transparency log publishes what the log appends, and proves it."""

import contextlib
import shutil
from collections.abc import AsyncIterator, Mapping
from functools import partial

from tests.bench.child import child
from tests.bench.measure import Case, compare, repeated
from tests.bench.report import FIGURES, Table, rows_of
from tests.bench.run import Run
from tests.bench.servers import Log

TILES, PROOFS = "entries into tiles, bundles and checkpoints", "proofs of inclusion, 16 callers"
FULL, BARE = "appends, full decision, 64 callers", "appends, bare, 64 callers"
SHOWN = ("rate", "cpu_us", "postgres_cpu_us")


async def measure(run: Run) -> Table:
    """The table of tiles."""
    preloaded = await run.preloaded()
    samples = await repeated(partial(_stage, run, preloaded), run.plan.repetitions, run.tell)
    return Table(
        title="Tiles",
        comparisons=[*compare(samples, TILES, FULL, at_least=1), *compare(samples, TILES, BARE)],
        columns=["case", *(FIGURES[figure] for figure in SHOWN)],
        rows=rows_of(samples, (TILES, FULL, BARE, PROOFS), SHOWN),
        notes=[
            f"{preloaded.events} entries into an empty folder, with fsync, signed every 8 192 entries: what a publisher"
            " does that has to catch up. Below 1 a log at full speed is proved later and later.",
        ],
    )


@contextlib.asynccontextmanager
async def _stage(run: Run, preloaded: Log) -> AsyncIterator[Mapping[str, Case]]:
    postgres = run.servers.watched()
    place = run.servers.folder.path / "bench-tiles"
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        log = await enter(run.servers.copy_of(preloaded))
        ours = await enter(child("log", log.url, *log.persons))
        place.mkdir()
        stack.callback(shutil.rmtree, place)
        tiles = await enter(child("tiles", preloaded.url, str(place)))
        yield {
            TILES: tiles.case(run.plan, postgres, "publish"),
            FULL: ours.case(run.plan, postgres, "decide", callers=64, persons="singles"),
            BARE: ours.case(run.plan, postgres, "bare", callers=64),
            PROOFS: tiles.case(run.plan, postgres, "prove", callers=16),
        }
