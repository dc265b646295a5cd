"""The processes of the read side, and what the HTTP process shows of it."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import asyncpg
import uvloop
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler

from contracts.problems import Unavailable
from services.edge.logs import configure_logs
from services.log.listener import LOG_CHANNEL, Listener
from services.log.reader import LogReader
from services.projections.follower import VIEW_CHANNEL, Follower, View
from services.projections.moments import Moments
from services.projections.positions import Positions
from services.projections.relay import Diverged, Misconfigured, Relay, connect
from services.projections.views.competencies import CompetenciesView
from services.projections.views.competencies.reading import CompetenciesReader
from services.projections.views.competencies.routes import get_competencies
from services.projections.views.counts import CountsView
from services.projections.views.counts.reading import CountsReader
from services.projections.views.counts.routes import get_branch_counts
from services.settings import FollowSettings, RelaySettings

VIEWS: tuple[View, ...] = (CompetenciesView(), CountsView())

MIGRATIONS: Traversable = resources.files("services.projections") / "sql" / "migrations"
"""For `migrate(connection, "projections", MIGRATIONS)`; each view's tables are in a schema of its own."""

CONNECTION_SETTINGS = {
    "application_name": "certibranche projections",
    # Tables grow by orders of magnitude during one catch-up: a plan made for empty ones must not be kept.
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
    # A stopped follower holds its view's row no longer than this; another goes on.
    "idle_in_transaction_session_timeout": "10s",
}

CLOSE_S = 2.0
CAUGHT_UP_POSITIONS = 1_000
"""A view that is no further behind has caught up."""


def follow(settings: FollowSettings) -> None:
    """Keep the views up to date until SIGTERM or SIGINT."""
    configure_logs()
    uvloop.run(_until_stopped(follow_views(settings.database_url)))


def relay(settings: RelaySettings) -> None:
    """Publish the log until SIGTERM or SIGINT. SystemExit when the stream and the log do not belong together."""
    configure_logs()
    try:
        uvloop.run(_until_stopped(relay_log(settings.database_url, settings.nats_url, settings.nats_stream)))
    except (Diverged, Misconfigured) as error:
        raise SystemExit(f"certibranche: the relay has stopped: {error}") from error


async def follow_views(database_url: str, views: tuple[View, ...] = VIEWS) -> None:
    """Run a follower for each view until cancelled. Starts before the database does, if need be."""
    async with (
        _pool(database_url, connections_max=2 * len(views)) as pool,
        _listener(database_url, LOG_CHANNEL) as news,
    ):
        reader = LogReader(pool)
        async with asyncio.TaskGroup() as followers:
            for view in views:
                followers.create_task(Follower(view, pool, reader, news).run(), name=f"follower {view.name}")


async def relay_log(database_url: str, nats_url: str, stream: str) -> None:
    """Run a relay until cancelled. Raises Diverged and Misconfigured. Starts before its servers do, if need be."""
    async with _pool(database_url, connections_max=2) as pool, _listener(database_url, LOG_CHANNEL) as news:
        client = await connect(nats_url)
        try:
            await Relay(client, LogReader(pool), news, stream=stream).run()
        finally:
            await client.close()


def routes() -> list[HTTPRouteHandler]:
    """The routes of the read models. They need the state that `reading` fills, and the edge's dependencies."""
    return [get_competencies, get_branch_counts]


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


Check = Callable[[], Awaitable[None]]
"""Raises when what it looks at is not ready."""


@contextlib.asynccontextmanager
async def reading(
    state: State, database_url: str, *, clock: Callable[[], datetime] = now
) -> AsyncIterator[dict[str, Check]]:
    """What the routes need, put into the application's state while it runs; gives the readiness checks of the views."""
    async with _pool(database_url, connections_max=10) as pool, _listener(database_url, VIEW_CHANNEL) as news:
        reader = LogReader(pool)
        positions = Positions(pool, reader, news)
        moments = Moments(reader, positions, clock)
        state["competencies"] = CompetenciesReader(pool, positions, moments)
        state["counts"] = CountsReader(pool, positions, moments)
        yield {f"view {view.name}": CaughtUp(positions, view.name) for view in VIEWS}


class CaughtUp:
    """Ready once the view has caught up with the log, and then while its tables can be reached.

    A view that falls behind later is for alerts: taking the whole interface away would help nobody.
    """

    def __init__(self, positions: Positions, view: str, *, behind_max: int = CAUGHT_UP_POSITIONS) -> None:
        self._positions = positions
        self._view = view
        self._behind_max = behind_max
        self._caught_up = False

    async def __call__(self) -> None:
        """Raise Unavailable for a view that is behind, or what asyncpg raises when its tables are out of reach."""
        lag = (await self._positions.lags())[self._view]
        self._caught_up = self._caught_up or lag.positions <= self._behind_max
        if not self._caught_up:
            raise Unavailable(f"View {self._view} is {lag.positions} positions behind the log.")


@contextlib.asynccontextmanager
async def relay_check(database_url: str, nats_url: str, stream: str) -> AsyncIterator[Check]:
    """The readiness check of the relay: the stream answers, and has not diverged from the log.

    Connects in the background: who checks must be able to start without NATS.
    """
    async with _pool(database_url, connections_max=1) as pool:
        connecting = asyncio.create_task(connect(nats_url), name="relay check connects")

        async def check() -> None:
            if not connecting.done():
                raise Unavailable("NATS has not been reached yet.")
            reader, silence = LogReader(pool), Listener(partial(asyncpg.connect, database_url))
            await Relay(connecting.result(), reader, silence, stream=stream).lag()

        try:
            yield check
        finally:
            connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await (await connecting).close()


async def _until_stopped(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


@contextlib.asynccontextmanager
async def _pool(database_url: str, *, connections_max: int) -> AsyncIterator[asyncpg.Pool]:
    """A pool that connects when first used, and is gone soon after its use."""
    pool = await asyncpg.create_pool(
        database_url, min_size=0, max_size=connections_max, server_settings=CONNECTION_SETTINGS
    )
    try:
        yield pool
    finally:
        try:
            await asyncio.wait_for(pool.close(), CLOSE_S)
        except (TimeoutError, OSError, asyncpg.InterfaceError):
            pool.terminate()


def _listener(database_url: str, channel: str) -> Listener:
    return Listener(partial(asyncpg.connect, database_url), channel)
