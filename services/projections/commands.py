"""`certibranche verify`, `rebuild` and `unpark`: for those who run the read side."""

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import rich_click as click
import structlog
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from services.embedded.data_folder import DataFolder, default_path
from services.embedded.options import RUNNING, data_option
from services.embedded.postgres import Postgres
from services.log.listener import Listener
from services.projections.app import FOLLOWER_SETTINGS, VIEWS, listener, pool
from services.projections.batches import NotTheLog
from services.projections.builds import View
from services.projections.leases import Fenced, HeldByAnother
from services.projections.parking import Poison
from services.projections.rebuilding import NoWayBack, Rebuild, Rebuilt
from services.projections.unparking import unpark as play_parked
from services.projections.unreachable import UNREACHABLE
from services.projections.verifying import Told, Verification
from services.settings import Settings, is_set, read

PLAIN_LINE_S = 2.0
"""Where there is no terminal, progress is a line this often."""

KNOWN_FAILURES = (Poison, NoWayBack, HeldByAnother, NotTheLog, Fenced, LookupError, asyncpg.PostgresError, *UNREACHABLE)

view_argument = click.argument("view", type=click.Choice([view.name for view in VIEWS]))


@click.command()
@view_argument
@data_option(RUNNING)
def verify(view: str, data: Path | None) -> None:
    """Fold the log again, and say whether every row of the view is as it should be, or which keys differ.

    Exit code 0: equal. 1: not equal, or events wait for a repair. Followers and readers go on meanwhile.
    """

    async def work(view: View, connections: asyncpg.Pool, _: Listener) -> bool:
        with progress(f"Verify {view.name}") as told:
            verdict = await Verification(view, connections).run(told)
        for line in verdict.lines():
            click.echo(line)
        return verdict.right

    _run(view, data, work)


@click.command()
@view_argument
@click.option("--rollback", is_flag=True, help="Put the tables before the last rebuild back in their place.")
@data_option(RUNNING)
def rebuild(view: str, rollback: bool, data: Path | None) -> None:
    """Fill new tables beside the live ones, compare them, and put them in their place. The old ones are kept.

    Readers are served meanwhile. An event that the fold does not take ends it, and nothing changes.
    """

    async def work(view: View, connections: asyncpg.Pool, news: Listener) -> bool:
        rebuilding = Rebuild(view, connections, news)
        with progress(f"{'Roll back' if rollback else 'Rebuild'} {view.name}") as told:
            rebuilt = await (rebuilding.roll_back(told) if rollback else rebuilding.run(told))
        for line in _said(rebuilt):
            click.echo(line)
        return True

    _run(view, data, work)


@click.command()
@view_argument
@data_option(RUNNING)
def unpark(view: str, data: Path | None) -> None:
    """Play the events that wait for a repair, once the repaired program is installed.

    Exit code 1: some still cannot be played; they go on waiting.
    """

    async def work(view: View, connections: asyncpg.Pool, _: Listener) -> bool:
        unparked = await play_parked(view, connections)
        click.echo(f"{unparked.played} events played")
        for failure in unparked.failures:
            click.echo(failure)
        return not unparked.failures

    _run(view, data, work)


def _said(rebuilt: Rebuilt) -> Iterator[str]:
    """What a rebuild has found and done, in words."""
    before, after, comparison = rebuilt
    if comparison is None:
        yield f"version {before.version} had other columns: its rows cannot be compared"
    elif not comparison.different:
        yield f"the tables before held the same: {comparison.rows} rows, digest {comparison.digest}"
    else:
        yield from map(str, comparison.differences)
        meaning = "" if before.version == after.version else f", as version {after.version} means other things"
        yield f"the tables before differed in {comparison.different} keys{meaning}"
    yield f"{after.name} is live with version {after.version} at position {after.position}; the one before is kept"


Work = Callable[[View, asyncpg.Pool, Listener], Awaitable[bool]]


def _run(name: str, data: Path | None, work: Work) -> None:
    """Do the work on the database; exit code 1 when it says so, or fails in a way that we know."""
    structlog.configure(  # the answer alone is on standard output
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    view = next(view for view in VIEWS if view.name == name)
    database_url = _database_url(data)
    try:
        good = asyncio.run(_connected(database_url, view, work))
    except KNOWN_FAILURES as error:
        raise click.ClickException(str(error) or type(error).__name__) from error
    if not good:
        sys.exit(1)


async def _connected(database_url: str, view: View, work: Work) -> bool:
    async with _database(database_url) as (connections, news):
        return await work(view, connections, news)


@contextlib.asynccontextmanager
async def _database(database_url: str) -> AsyncIterator[tuple[asyncpg.Pool, Listener]]:
    async with (
        pool(database_url, "projector", connections_max=8, **FOLLOWER_SETTINGS) as connections,
        listener(database_url) as news,
    ):
        yield connections, news


def _database_url(data: Path | None) -> str:
    """Of the data folder, when one is named or the environment names no database."""
    if data is None and is_set("database_url", os.environ):
        return read(Settings, os.environ).database_url
    folder = DataFolder(data or default_path(os.environ))
    folder.running()  # raises CannotRun
    return Postgres(folder).url()


@contextlib.contextmanager
def progress(label: str) -> Iterator[Told]:
    """Yields what to tell how far the work is: a bar on a terminal, a line now and then elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain(label)
        return
    columns = (TextColumn(label), BarColumn(), TaskProgressColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Rate(ProgressColumn):
    """Events a second, once that is known."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f} events/s")


def _plain(label: str) -> Told:
    started = said_at = time.monotonic()

    def told(done: int, total: int) -> None:
        nonlocal said_at
        now = time.monotonic()
        if now - said_at < PLAIN_LINE_S and done < total:
            return
        said_at = now
        rate = done / max(now - started, 0.001)
        left_s = (total - done) / max(rate, 0.001)
        click.echo(f"{label}: {done} of {total} events, {rate:.0f} events/s, {left_s:.0f} s left", err=True)

    return told
