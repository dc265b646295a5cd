"""Appends: our full decisions and bare appends, beside the library's recorders and UmaDB, each on fresh tables."""

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path

from services.embedded.readiness import free_port
from tests.bench.candidates import BARE_ENTRY
from tests.bench.child import Child, child
from tests.bench.measure import Case, Comparison, Sample, Samples, compare, repeated
from tests.bench.processes import ProcessId
from tests.bench.report import FIGURES, Table, refusals, rows_of
from tests.bench.run import LIBRARY, UMADB, Run
from tests.bench.servers import Log

CALLERS = (1, 16, 64, 256)
THREADS = (1, 16)

FULL, BOUNDARY_20, BARE = "full decision", "full decision over 20 events", "bare append"
KNOWN, KNOWN_20 = "full decision, known", "full decision over 20 known events"
KNOWN_PERSONS = 0.4
"""The share of each kind of persons whose boundaries are read before."""
DCB, APPLICATION, UMA = "library, DCB recorder", "library, application recorder", "UmaDB"


def _name(what: str, callers: int) -> str:
    return f"{what}, {callers} caller{'s' * (callers > 1)}"


async def measure(run: Run) -> Table:
    """The table of appends."""
    log = await run.preloaded()
    async with _uma_preloaded(run, log) as uma:
        samples = await repeated(partial(_stage, run, log, uma), run.plan.repetitions, run.tell)
    contestants = (FULL, KNOWN, BOUNDARY_20, KNOWN_20, BARE, DCB, APPLICATION, UMA)
    order = [_name(what, n) for what in contestants for n in CALLERS]
    return Table(
        title="Appends",
        comparisons=_comparisons(samples),
        columns=["case", *FIGURES.values()],
        rows=rows_of(samples, order),
        notes=[
            f"Each repetition: fresh copies of the same {log.events} events; fsync on everywhere. Boundaries"
            " of 20 events grow by a few within a repetition.",
            "A full decision registers a candidate: the boundary is read and folded, all rules are asked, the event is"
            " encoded and recorded with its tags and its unique key. Bare appends, ours and the others', have one tag"
            f" as condition, two tags, and {len(BARE_ENTRY)} bytes.",
            "Known: this writer has read the boundary before, and nobody else has appended since. The others come in"
            " random order, each once a round, so that as a rule theirs is read first.",
            "Callers are tasks of one process with one connection for us, threads for the others. The library's"
            " application recorder has no tags: its condition is the version number of a fresh stream.",
            *run.missing(),
            *refusals(samples),
        ],
    )


def _comparisons(samples: Samples) -> list[Comparison]:
    def against(what: str, n: int, peer: str, threads: int, at_least: float | None = None) -> list[Comparison]:
        return compare(samples, _name(what, n), _name(peer, threads), at_least=at_least)

    return [
        *against(BARE, 64, DCB, 16, 21),
        *against(BARE, 1, DCB, 1, 2.4),
        *against(FULL, 64, DCB, 16, 12),
        *against(BARE, 64, APPLICATION, 16),
        *against(BARE, 1, APPLICATION, 1),
        *against(FULL, 64, UMA, 64, 1.5),
        *against(FULL, 256, UMA, 256, 2),
        *against(FULL, 16, UMA, 16, 1.2),
        *against(FULL, 1, UMA, 1, 1),
        *(c for n in CALLERS for c in against(BARE, n, UMA, n)),
        *against(KNOWN, 64, DCB, 16, 12),
        *(c for n, goal in ((64, 1.5), (256, 2), (16, 1.2), (1, 1)) for c in against(KNOWN, n, UMA, n, goal)),
        *against(KNOWN_20, 64, KNOWN, 64, 0.8),
        *against(KNOWN_20, 1, KNOWN, 1),
        *against(BOUNDARY_20, 64, FULL, 64),
        *against(BOUNDARY_20, 1, FULL, 1),
    ]


@contextlib.asynccontextmanager
async def _stage(run: Run, preloaded: Log, uma: Path | None) -> AsyncIterator[Mapping[str, Case]]:
    """Fresh tables and fresh processes of all contestants."""
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        log = await enter(run.servers.copy_of(preloaded))
        ours = await enter(child("log", log.url, *log.persons))
        for persons, these in (("singles", log.singles), ("scattered", log.scattered)):
            await ours.ask("know", persons=persons, count=int(these.count * KNOWN_PERSONS))
        cases = _cases(run, ours, "decide", FULL, CALLERS, persons="singles")
        known = _cases(run, ours, "decide", KNOWN, CALLERS, persons="known singles")
        cases |= _remembered(ours, "known singles", known)
        cases |= _cases(run, ours, "decide", BOUNDARY_20, CALLERS, persons="scattered")
        known_20 = _cases(run, ours, "decide", KNOWN_20, CALLERS, persons="known scattered")
        cases |= _remembered(ours, "known scattered", known_20)
        cases |= _cases(run, ours, "bare", BARE, CALLERS)
        if LIBRARY:
            library = await enter(child("recorders", log.url))
            cases |= _cases(run, library, "dcb", DCB, THREADS)
            cases |= _cases(run, library, "application", APPLICATION, THREADS)
        if uma is not None:
            fresh = Path(shutil.copytree(uma, uma.with_name("fresh")))
            stack.callback(shutil.rmtree, fresh)
            await asyncio.to_thread(os.sync)  # what was copied is not written while others are measured
            peer, process_id = await enter(_uma(run, fresh))
            cases |= {
                _name(UMA, n): peer.case(run.plan, {"server_cpu_s": process_id}, "append", callers=n) for n in CALLERS
            }
        yield cases


def _remembered(of: Child, persons: str, cases: Mapping[str, Case]) -> dict[str, Case]:
    """The cases, each with a writer that has read these persons' boundaries: other cases need the memory too."""

    async def remembered(case: Case) -> Sample:
        await of.ask("remember", persons=persons)
        return await case()

    return {name: partial(remembered, case) for name, case in cases.items()}


def _cases(
    run: Run,
    of: Child,
    do: str,
    what: str,
    callers: tuple[int, ...],
    watched: Mapping[str, ProcessId] | None = None,
    **order: str,
) -> dict[str, Case]:
    watched = run.servers.watched() if watched is None else watched
    return {_name(what, n): of.case(run.plan, watched, do, callers=n, **order) for n in callers}


@contextlib.asynccontextmanager
async def _uma_preloaded(run: Run, log: Log) -> AsyncIterator[Path | None]:
    """A folder with UmaDB's file, the log's events in it; None where it is not installed."""
    if not UMADB:
        yield None
        return
    folder = run.servers.folder.path / "umadb"
    folder.mkdir()
    run.tell("the same events into UmaDB")
    async with _uma(run, folder) as (peer, _):
        await peer.ask("preload", url=log.url)
    yield folder
    shutil.rmtree(folder)


@contextlib.asynccontextmanager
async def _uma(run: Run, folder: Path) -> AsyncIterator[tuple[Child, ProcessId]]:
    """A UmaDB server on this folder, with its defaults, and its client."""
    port = free_port()
    binary = str(Path(sys.executable).with_name("umadb"))
    argv = [binary, "--listen", f"127.0.0.1:{port}", "--db-path", str(folder / "uma.db")]

    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    async with run.servers.program("umadb", argv, ready=listens) as process_id, child("uma", str(port)) as peer:
        yield peer, process_id
