"""`certibranche restore`: brings a lost or older database up to the stream or the tiles, while nothing else runs."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import asyncpg
import nats.errors
import rich_click as click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from services.app import migrate_tables
from services.embedded import CannotRun
from services.embedded.data_folder import DataFolder, default_path
from services.embedded.options import DEFAULT, data_option
from services.log.reader import LogReader
from services.log.restoring import NotNext, WriterAtWork, alone
from services.projections.transparency.guard import SigningRefused
from services.projections.transparency.note import NoteRefused
from services.restore.place import Place, Wanted
from services.restore.restoring import HistoriesDiffer, Restored, Told, bring_up
from services.restore.sources import Source, SourceRefused
from services.settings import RestoreSettings, read

REFUSALS = (HistoriesDiffer, NotNext, SourceRefused, WriterAtWork, NoteRefused, SigningRefused)


@click.command()
@click.option("--from-stream", "wanted", flag_value="stream", help="Take what is missing from the JetStream stream.")
@click.option("--from-tiles", "wanted", flag_value="tiles", help="Take it from the transparency log's entry bundles.")
@data_option(f"The data folder. {DEFAULT}")
def restore(wanted: str | None, data: Path | None) -> None:
    """Put events back that the database has lost, byte for byte, while no registry runs on it.

    Everything is compared first; histories that differ are only reported. docs/restore.md tells when to use which.
    """
    if wanted is None:
        raise click.UsageError("say --from-stream or --from-tiles")
    settings = read(RestoreSettings, os.environ)
    folder = DataFolder(data or default_path(os.environ))
    console = Console(stderr=True)
    try:
        restored, name = asyncio.run(_restore(folder, settings, cast(Wanted, wanted), console))
    except REFUSALS as refusal:
        raise CannotRun(str(refusal)) from refusal
    except (TimeoutError, nats.errors.Error) as error:
        raise CannotRun(f"NATS does not answer: {error or type(error).__name__}") from error
    except (OSError, asyncpg.PostgresError) as error:
        raise CannotRun(f"the database does not answer: {error or type(error).__name__}") from error
    console.print(_summary(restored, name), soft_wrap=True)


async def _restore(
    folder: DataFolder, settings: RestoreSettings, wanted: Wanted, console: Console
) -> tuple[Restored, str]:
    """What was restored, and the name of what it came from."""
    async with contextlib.AsyncExitStack() as stack:
        place = Place(folder, settings, lambda line: console.print(line, soft_wrap=True))
        await stack.enter_async_context(place.held(wanted))
        database_url = await place.database()
        await migrate_tables(database_url)
        source = await stack.enter_async_context(place.source(wanted))
        pool = await stack.enter_async_context(asyncpg.create_pool(database_url, min_size=0, max_size=2))
        connection = await asyncpg.connect(database_url)
        stack.push_async_callback(connection.close)
        await stack.enter_async_context(alone(connection))
        told = stack.enter_context(_progress(console, source))
        return await bring_up(connection, LogReader(pool), source, told), source.name


def _summary(restored: Restored, name: str) -> str:
    if restored.head == restored.before:
        return f"nothing is missing: the log ends at {restored.head}, and {name} holds the same"
    return f"positions {restored.before + 1} to {restored.head} are back in the log, byte for byte from {name}"


@contextlib.contextmanager
def _progress(console: Console, source: Source) -> Iterator[Told]:
    """How far it is, on a terminal; nothing elsewhere."""
    columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed:.0f} of {task.fields[last]} positions"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks = {
            step: bar.add_task(step, total=None, last=source.last, visible=False) for step in ("compared", "put back")
        }
        yield lambda step, positions: bar.update(tasks[step], advance=positions, visible=True)
