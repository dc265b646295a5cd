"""The whole HTTP process: both sides behind one edge. And the tables and the stream it needs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import structlog
from litestar import Litestar, Request
from litestar.datastructures import State
from litestar.di import Provide
from prometheus_client import REGISTRY

from services.accesses import app as accesses
from services.accesses.layer import Accesses, recorded_reads
from services.accesses.recorder import Recorder
from services.edge.docs import docs_router, openapi_config
from services.edge.express import Lane
from services.edge.keys import keys_at
from services.edge.limits import Bounds, Limits
from services.edge.logs import access_log, configure_logs
from services.edge.metrics import Metrics
from services.edge.ops import Check, ops_router
from services.edge.outer import Outer
from services.edge.problem_pages import problem_pages
from services.edge.problems import exception_handlers
from services.edge.server import run
from services.edge.tokens import Authenticator, caller_dependencies
from services.export.export import Exporter
from services.export.notice import read_notice
from services.export.routes import export_person
from services.log.migrations import migrate as migrate_schema
from services.log.reader import LogReader
from services.log.writer import LogWriter
from services.projections import app as projections
from services.projections.relay import Retention, migrate_stream
from services.registry import app as registry
from services.registry.http.single_event import SingleEvents
from services.restore.standing import refuse_if_behind
from services.roles import make_roles
from services.settings import MigrateSettings, ServeSettings

log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche")

DESCRIPTION = "Registrations, evaluations, validated blocs and certificates of a branch, as immutable events."


def serve(settings: ServeSettings) -> None:
    """Serve until SIGTERM or SIGINT. CannotRun when the log is not all of what was published."""
    configure_logs()
    asyncio.run(refuse_if_behind(settings))
    drain = asyncio.Event()
    run(create_app(settings, drain), host=settings.host, port=settings.port, drain=drain)


def create_app(settings: ServeSettings, drain: asyncio.Event) -> Lane:
    """The ASGI application. `drain` is set when streams should end."""
    keys = keys_at(settings.jwks)
    authenticator = Authenticator(keys, issuer=settings.issuer, audience=settings.audience)
    recorder = Recorder(REGISTRY, keep_days=settings.access_days)
    ring = registry.ring_of(settings)
    notice = read_notice(settings.export_notice)
    checks: dict[str, Check] = {"tokens": keys.check}

    @contextlib.asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            enter = stack.enter_async_context
            await enter(keys.kept_fresh())
            reader = await enter(registry.recording(app.state, settings.database_url, ring))
            checks["database"], checks["vault"] = _reachable(reader), app.state["vault"].check_ready
            reading = projections.reading(app.state, settings.database_url, tiles=settings.tiles)
            checks.update(await enter(reading))
            await enter(accesses.recording(app.state, settings.database_url, recorder))
            # What one side needs of the other, which neither imports.
            app.state["receipt_headers"] = app.state["coverage"].receipt_headers
            app.state["opening"] = app.state["vault"].opening
            sources = ("vault", "histories", "competencies", "registrations", "certificates", "access_reader")
            app.state["exporter"] = Exporter(notice, **{name: app.state[name] for name in sources})
            checks["nats"] = await enter(
                projections.relay_check(
                    settings.database_url,
                    projections.servers(settings),
                    settings.nats_stream,
                    _refusing(app.state["log"]),
                )
            )
            yield

    app = Litestar(
        route_handlers=[
            *registry.routes(),
            *projections.routes(),
            export_person,
            *accesses.routes(),
            ops_router(checks, REGISTRY),
            problem_pages(),
            docs_router(registry.DOCUMENTED),
        ],
        dependencies={
            **caller_dependencies,
            **{name: Provide(_from_state(name), sync_to_thread=False) for name in ("log", "vault")},
        },
        exception_handlers=exception_handlers,
        lifespan=[lifespan],
        openapi_config=openapi_config(title="certibranche", version="1", description=DESCRIPTION),
        state=State(
            {
                "authenticator": authenticator,
                "accesses": recorder,
                "drain": drain,
            }
        ),
        logging_config=None,
    )
    bounds = Bounds(
        requests=settings.client_requests,
        anonymous=settings.address_requests,
        in_flight=settings.client_in_flight,
        in_flight_all=settings.in_flight,
    )
    limits = Limits(Accesses(app, recorded_reads(app), recorder), authenticator, bounds)
    outer = Outer(limits, Metrics(REGISTRY), access_log())
    return Lane(SingleEvents(app.state), outer, limits, authenticator)


def _from_state(name: str) -> Callable[[Request[Any, Any, Any]], Any]:
    """A dependency that the application's state holds under this name."""

    def provide(request: Request[Any, Any, Any]) -> Any:
        return request.app.state[name]

    return provide


def _refusing(log: LogWriter) -> Callable[[str | None], None]:
    """Lets nothing be recorded while the stream holds another history than the log: it would go on from there."""

    def told(diverged: str | None) -> None:
        log.refuse(diverged and f"Nothing is recorded before a person has looked: {diverged}.")

    return told


def _reachable(reader: LogReader) -> Check:
    async def check() -> None:
        await reader.head()

    return check


def migrate(settings: MigrateSettings) -> None:
    """Make or upgrade the tables of every part, and the stream."""
    configure_logs()
    asyncio.run(_migrate(settings))


async def _migrate(settings: MigrateSettings) -> None:
    await migrate_tables(settings.database_url)
    retention = Retention(settings.nats_max_age_s, settings.nats_replicas)
    await migrate_stream(projections.servers(settings), settings.nats_stream, retention)


async def migrate_tables(database_url: str) -> None:
    """Make or upgrade the tables of every part."""
    connection = await asyncpg.connect(database_url)
    try:
        await migrate_schema(connection, "log", registry.LOG_MIGRATIONS)
        await migrate_schema(connection, "vault", registry.VAULT_MIGRATIONS)
        await migrate_schema(connection, "projections", projections.MIGRATIONS)
        await migrate_schema(connection, "access", accesses.MIGRATIONS)
        if notice := await make_roles(connection):
            log.warning("roles", notice=notice)
    finally:
        await connection.close()
