"""The servers of a run: PostgreSQL and NATS as `certibranche up` runs them, with fsync, and whatever is measured."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import asyncpg
import msgspec

from services.embedded.data_folder import DataFolder
from services.embedded.issuer import AUDIENCE, ISSUER, Issuer
from services.embedded.nats import Nats
from services.embedded.postgres import Postgres
from services.embedded.program import Program
from services.embedded.readiness import free_port, http_ok
from services.embedded.supervisor import Supervisor, run_once
from services.embedded.up import COMMANDS
from services.log.migrations import migrate
from services.registry.app import LOG_MIGRATIONS
from tests.bench import generated
from tests.bench.candidates import Persons
from tests.bench.processes import ProcessId

EVENTS_EACH = 20


class Log(NamedTuple):
    """A generated log: its database, persons whose 20 events are scattered over it, and persons with one event."""

    database: str
    url: str
    events: int
    scattered: Persons
    singles: Persons

    @property
    def persons(self) -> list[str]:
        """Both kinds of persons, as arguments of a child."""
        return [msgspec.json.encode(persons).decode() for persons in (self.scattered, self.singles)]


class Registry(NamedTuple):
    """A running `certibranche serve`: its port, and how to speak to it."""

    port: int
    token: str
    process_id: ProcessId


class Servers:
    """PostgreSQL, and what else is started while it runs."""

    def __init__(self, folder: DataFolder, tell: Callable[[str], None], **settings: str) -> None:
        self.folder = folder
        self.tell = tell
        self.postgres = Postgres(folder, **settings)
        self.supervisor = Supervisor(tell)
        self._logs: dict[str, Log] = {}

    def watched(self, server: ProcessId | None = None) -> dict[str, ProcessId]:
        """Whose CPU time is told beside a sample: PostgreSQL's, and another server's."""
        postgres: dict[str, ProcessId] = {"postgres_cpu_s": partial(self.supervisor.process_id, "postgres")}
        return postgres if server is None else postgres | {"server_cpu_s": server}

    def has(self, name: str) -> bool:
        """Whether the log of this name is generated already."""
        return name in self._logs

    async def log(self, name: str, persons: int, singles: int = 0) -> Log:
        """A log that is generated once a run, and read or copied by many."""
        if name not in self._logs:
            self.tell(f"generating {persons * EVENTS_EACH + singles} events")
            await self.postgres.create_database(name)
            url = self.postgres.url(name)
            connection = await asyncpg.connect(url)
            await migrate(connection, "log", LOG_MIGRATIONS)
            events = await generated.fill(connection, persons, EVENTS_EACH, singles)
            await connection.close()
            scattered, once = Persons(0, persons, EVENTS_EACH), Persons(persons, singles, 1)
            self._logs[name] = Log(name, url, events, scattered, once)
        return self._logs[name]

    @contextlib.asynccontextmanager
    async def copy_of(self, log: Log) -> AsyncIterator[Log]:
        """Another database with the same content, while it is needed."""
        name = f"copy_{os.urandom(6).hex()}"
        connection = await asyncpg.connect(self.postgres.url("postgres"))
        try:
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{log.database}" STRATEGY file_copy')
            yield log._replace(database=name, url=self.postgres.url(name))
        finally:
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            await connection.close()

    @contextlib.asynccontextmanager
    async def program(
        self,
        name: str,
        argv: list[str],
        *,
        environment: Mapping[str, str] | None = None,
        ready: Callable[[], Awaitable[bool]],
    ) -> AsyncIterator[ProcessId]:
        """A server while it is needed; gives what tells its process."""
        supervisor = Supervisor(self.tell)
        log = self.folder.logs / f"{name}.log"
        await supervisor.start(Program(name=name, argv=argv, environment=environment, log=log, ready=ready))
        try:
            yield partial(supervisor.process_id, name)
        finally:
            await supervisor.stop()

    @contextlib.asynccontextmanager
    async def registry(self, log: Log) -> AsyncIterator[Registry]:
        """`certibranche serve` on this log; the other tables are made first. Reads and posts with every scope."""
        port, nats = free_port(), Nats(self.folder, free_port())
        jwks = Issuer(self.folder).jwks()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CERTIBRANCHE_")}
        environment |= {
            "CERTIBRANCHE_ENV": "development",
            "CERTIBRANCHE_DATABASE_URL": log.url,
            "CERTIBRANCHE_NATS_URL": nats.admin_url,
        }
        serving = {
            "CERTIBRANCHE_NATS_URL": nats.monitor_url,
            "CERTIBRANCHE_PORT": str(port),
            "CERTIBRANCHE_CLIENT_REQUESTS": "1000000",  # one client stands for many
            "CERTIBRANCHE_JWKS": str(jwks),
            "CERTIBRANCHE_ISSUER": ISSUER,
            "CERTIBRANCHE_AUDIENCE": AUDIENCE,
            "CERTIBRANCHE_VAULT_KEYS": str(self.folder.make_vault_keys()),
        }
        token = Issuer(self.folder).token(["registrations:write", "log:read"], [""], "bench", 24 * 3600)
        nats_supervisor = Supervisor(self.tell)
        await nats_supervisor.start(nats.program())
        try:
            migration = Program(
                name="migrate", argv=COMMANDS["migrate"], environment=environment, log=self.folder.logs / "migrate.log"
            )
            await run_once(migration)
            live = partial(http_ok, "127.0.0.1", port, "/health/live")
            argv = list(COMMANDS["serve"])
            async with self.program("serve", argv, environment=environment | serving, ready=live) as process_id:
                yield Registry(port, token, process_id)
        finally:
            await nats_supervisor.stop()

    @contextlib.asynccontextmanager
    async def peer(self, kind: str, *arguments: str) -> AsyncIterator[Registry]:
        """Another HTTP server of `tests.bench.children.peers`, in the same server stack."""
        port = free_port()
        argv = [sys.executable, "-m", "tests.bench.children.peers", kind, str(port), *arguments]
        live = partial(http_ok, "127.0.0.1", port, "/health/live")
        async with self.program(f"peer-{kind}", argv, ready=live) as process_id:
            yield Registry(port, Issuer(self.folder).token(["registrations:write"], [""], "bench", 86400), process_id)


@contextlib.asynccontextmanager
async def servers(tell: Callable[[str], None], **settings: str) -> AsyncIterator[Servers]:
    """PostgreSQL with these settings beside the product's own, in a folder that is removed afterwards ($TMPDIR)."""
    path = Path(tempfile.mkdtemp(prefix="certibranche-bench-"))
    running = Servers(DataFolder(path / "data"), tell, **settings)
    try:
        await running.postgres.initialise()
        await running.supervisor.start(running.postgres.program())
        yield running
    finally:
        await running.supervisor.stop()
        running.postgres.forget_sockets()
        shutil.rmtree(path, ignore_errors=True)
