"""The processes of the read side, and what the HTTP process shows of it."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import asyncpg
import uvloop
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from prometheus_client import REGISTRY, CollectorRegistry

from contracts.problems import Unavailable
from services.edge.logs import configure_logs
from services.garbage import collect_rarely
from services.log.listener import LOG_CHANNEL, Listener
from services.log.pool import open_pool
from services.log.reader import LogReader
from services.log.roles import Role
from services.projections.builds import View
from services.projections.catalogue.reading import CatalogueReader
from services.projections.catalogue.routes import (
    get_certification,
    get_certification_version,
    list_certifications,
    list_equivalences,
)
from services.projections.certificates.reading import CertificatesReader
from services.projections.certificates.routes import get_certificate
from services.projections.exposition import FollowerCollector, counted
from services.projections.follower import VIEW_CHANNEL
from services.projections.history.reading import HistoriesReader
from services.projections.history.routes import get_history
from services.projections.keeping import keep
from services.projections.leases import Lease
from services.projections.moments import Moments
from services.projections.ops import get_followers
from services.projections.organisers import RegistrantsReader
from services.projections.pathways.reading import PathwaysReader
from services.projections.pathways.routes import get_pathways
from services.projections.positions import Positions
from services.projections.registrations.reading import RegistrationsReader
from services.projections.registrations.routes import get_registration
from services.projections.relay import Diverged, Misconfigured, Relay, Servers, Sight, connect
from services.projections.tagged import TaggedEvents
from services.projections.transparency.coverage import Coverage
from services.projections.transparency.keeping import Place, keep_published, place_of
from services.projections.transparency.published import Published
from services.projections.transparency.routes import (
    get_checkpoint,
    get_checkpoints,
    get_consistency,
    get_entry_bundle,
    get_entry_proof,
    get_tile,
)
from services.projections.transparency.served import ServedCollector
from services.projections.views.competencies.reading import CompetenciesReader
from services.projections.views.competencies.routes import get_competencies, get_competencies_grounds
from services.projections.views.competencies.tables import CompetenciesView
from services.projections.views.counts.reading import CountsReader
from services.projections.views.counts.routes import get_branch_counts, get_branch_counts_grounds
from services.projections.views.counts.tables import CountsView
from services.projections.views.entries.reading import EntriesReader
from services.projections.views.entries.routes import get_entries, get_entry
from services.projections.views.entries.tables import EntriesView
from services.settings import FollowSettings, RelaySettings, StreamSettings

VIEWS: tuple[View, ...] = (CompetenciesView(), CountsView(), EntriesView())

MIGRATIONS: Traversable = resources.files("services.projections") / "sql" / "migrations"
"""For `migrate(connection, "projections", MIGRATIONS)`; each view's tables are in a schema of its own."""

CONNECTION_SETTINGS = {
    "application_name": "certibranche projections",
    # Tables grow by orders of magnitude during one catch-up: a plan made for empty ones must not be kept.
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
    # A stopped follower holds its view's row no longer than this; another goes on.
    "idle_in_transaction_session_timeout": "2s",
}

FOLLOWER_SETTINGS = {
    # A crash may lose a commit but never half of one, and what is lost is folded again.
    "synchronous_commit": "off",
    # Everything goes through indexes, whatever the size of the tables: then one plan is right for ever, and made once.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}

RELAY = "relay"
"""The relay's name among the followers."""

CAUGHT_UP_POSITIONS = 1_000
"""A view that is no further behind has caught up."""


def follow(settings: FollowSettings) -> None:
    """Keep the views up to date until SIGTERM or SIGINT."""
    configure_logs()
    collect_rarely()
    uvloop.run(_until_stopped(follow_log(settings.database_url, place_of(settings))))


def relay(settings: RelaySettings) -> None:
    """Publish the log until SIGTERM or SIGINT. SystemExit when the stream and the log do not belong together."""
    configure_logs()
    collect_rarely()
    try:
        uvloop.run(_until_stopped(relay_log(settings.database_url, servers(settings), settings.nats_stream)))
    except (Diverged, Misconfigured) as error:
        raise SystemExit(f"certibranche: the relay has stopped: {error}") from error


async def follow_log(database_url: str, place: Place | None) -> None:
    """Keep the views up to date, and the log published if there is a place for it, until cancelled."""
    async with asyncio.TaskGroup() as followers:
        followers.create_task(follow_views(database_url), name="views")
        if place is not None:
            followers.create_task(publish_log(database_url, place), name="transparency")


async def publish_log(database_url: str, place: Place) -> None:
    """Publish the log until cancelled. Starts before the database does, if need be."""
    async with (
        pool(database_url, "projector", connections_max=2) as connections,
        listener(database_url, LOG_CHANNEL) as news,
    ):
        await keep_published(place, connections, news)


async def follow_views(database_url: str, views: tuple[View, ...] = VIEWS) -> None:
    """Keep each view up to date until cancelled, as far as no other process does. Starts before the database does, if
    need be."""
    async with (
        pool(database_url, "projector", connections_max=6 * len(views), **FOLLOWER_SETTINGS) as connections,
        listener(database_url, LOG_CHANNEL) as news,
        asyncio.TaskGroup() as followers,
    ):
        for view in views:
            followers.create_task(keep(view, connections, news), name=f"follower {view.name}")


def servers(settings: StreamSettings) -> Servers:
    """Where NATS is, and who this process is to it."""
    return Servers(settings.nats_url, settings.nats_nkey, settings.nats_ca)


async def relay_log(database_url: str, nats: Servers, stream: str) -> None:
    """Run a relay until cancelled. Raises Diverged and Misconfigured. Starts before its servers do, if need be."""
    async with (
        pool(database_url, "relay", connections_max=4, **FOLLOWER_SETTINGS) as connections,
        listener(database_url, LOG_CHANNEL) as news,
    ):
        client = await connect(nats)
        try:
            lease = Lease(connections, RELAY, metrics=partial(counted, RELAY))
            await lease.lead(Relay(client, LogReader(connections), news, stream=stream).run)
        finally:
            await client.close()


def routes() -> list[HTTPRouteHandler]:
    """The routes of the read models and of the log. They need the state that `reading` fills, what the edge provides,
    and `drain` in the state: the event that is set when streams should end."""
    return [
        list_certifications,
        get_certification,
        get_certification_version,
        list_equivalences,
        get_competencies,
        get_competencies_grounds,
        get_pathways,
        get_history,
        get_registration,
        get_certificate,
        get_branch_counts,
        get_branch_counts_grounds,
        get_entries,
        get_entry,
        get_entry_proof,
        get_consistency,
        get_checkpoint,
        get_checkpoints,
        get_tile,
        get_entry_bundle,
        get_followers,
    ]


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


Check = Callable[[], Awaitable[None]]
"""Raises when what it looks at is not ready."""


@contextlib.asynccontextmanager
async def reading(
    state: State,
    database_url: str,
    *,
    clock: Callable[[], datetime] = now,
    registry: CollectorRegistry = REGISTRY,
    tiles: str | None = None,
) -> AsyncIterator[dict[str, Check]]:
    """What the routes need, put into the application's state while it runs; gives the readiness checks of the views.

    registry: has the followers' metrics meanwhile. tiles: the folder that the log is published into, if it is.
    """
    async with (
        pool(database_url, "reader", connections_max=10) as connections,
        listener(database_url, VIEW_CHANNEL, LOG_CHANNEL) as news,
        FollowerCollector(connections).kept_fresh(registry) as figures,
    ):
        reader, tagged = LogReader(connections), TaggedEvents(connections)
        positions = Positions(connections, reader, news)
        moments = Moments(reader, positions, clock)
        state["competencies"] = CompetenciesReader(connections, positions, moments)
        state["counts"] = CountsReader(connections, positions, moments)
        state["catalogue"] = catalogue = CatalogueReader(tagged, positions, moments)
        state["pathways"] = PathwaysReader(tagged, catalogue)
        state["histories"] = HistoriesReader(tagged, positions)
        state["registrations"] = RegistrationsReader(tagged, catalogue, positions, moments)
        state["certificates"] = CertificatesReader(tagged, catalogue, positions, moments)
        state["moments"] = moments
        state["registrants"] = RegistrantsReader(tagged)
        state["entries"], state["news"] = EntriesReader(connections, reader, positions), news
        state["followers"] = connections
        state["published"] = published = Published(Path(tiles) if tiles else None)
        drain: asyncio.Event = state.get("drain") or asyncio.Event()  # who serves no streams never drains
        state["coverage"] = Coverage(published, news, drain)
        with ServedCollector(published, figures.head).shown(registry):
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
async def relay_check(
    database_url: str, nats: Servers, stream: str, told: Callable[[str | None], None] = lambda _: None
) -> AsyncIterator[Check]:
    """The readiness check of the relay: the stream answers, and has not diverged from the log.

    While it is open, the metrics of the relay, of the stream and of its consumers are kept fresh, and `told` hears
    every few seconds how stream and log diverge, None when they do not.
    """
    async with (
        pool(database_url, "reader", connections_max=1) as connections,
        Sight(nats, LogReader(connections), stream, told=told) as sight,
    ):
        yield sight.check


async def _until_stopped(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def pool(
    database_url: str, role: Role, *, connections_max: int, **settings: str
) -> AbstractAsyncContextManager[asyncpg.Pool]:
    """A pool in this role, with the settings of the read side, and more."""
    return open_pool(database_url, role, connections_max=connections_max, **CONNECTION_SETTINGS | settings)


def listener(database_url: str, *channels: str) -> Listener:
    """What wakes who waits for news of these channels."""
    return Listener(partial(asyncpg.connect, database_url), *channels)
