"""The record of accesses in the HTTP process."""

import contextlib
from collections.abc import AsyncIterator
from importlib import resources
from importlib.resources.abc import Traversable

from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler

from services.accesses.reading import AccessReader
from services.accesses.recorder import Recorder
from services.accesses.routes import get_accesses
from services.log.pool import open_pool

SETTINGS = {
    "application_name": "certibranche accesses",
    # A process that stands still between two statements keeps the others from writing no longer than this.
    "idle_in_transaction_session_timeout": "2s",
}

MIGRATIONS: Traversable = resources.files("services.accesses") / "sql" / "migrations"


def routes() -> list[HTTPRouteHandler]:
    """The route of the auditor. It needs the state that `recording` fills."""
    return [get_accesses]


@contextlib.asynccontextmanager
async def recording(state: State, database_url: str, recorder: Recorder) -> AsyncIterator[None]:
    """What the route and the recorder need, while the application runs; at the end all that waits is written."""
    async with open_pool(database_url, "access", connections_max=3, **SETTINGS) as pool:
        state["access_reader"] = AccessReader(pool)
        async with recorder.running(pool):
            yield
