"""A log that has been published in full, and the same log as an older backup has it."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from contracts.envelope import Envelope
from contracts.facts import Part, SetObjective
from contracts.subjects import STREAM
from services.embedded.nats import Nats
from services.embedded.postgres import Postgres
from services.log.proposal import Proposal
from services.log.transaction import CONNECTION_SETTINGS
from services.log.writer import LogWriter
from services.projections.relay import Relay, Servers, connect, migrate_stream
from services.projections.transparency.note import Signer, new_key
from services.registry.domain.persons import PersonToRegister
from services.registry.domain.reference import Reference
from services.registry.proposals import propose
from tests.integration.filled_log import FilledLog, filled_log, until
from tests.transparency.published_log import PublishedLog
from tests.unit.careers import published

HEAD = 600
"""More than two entry bundles."""

GROUP = 100


def posted(number: int, year: int = 2030) -> Proposal:
    """The nth command of the log: no rule refuses it. Some are about persons, and each tenth defines something."""
    command: Part = SetObjective(year=year, beneficiaries=number)
    if number % 10 == 1:
        person_id = str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))
        command = PersonToRegister(person_id=person_id, identity_commitment=hashlib.sha256(b"%d" % number).hexdigest())
    if number == 2:
        first = published("cqpm-a")
        command = type(first).posted(**{name: getattr(first, name) for name in first.posted.__struct_fields__})  # type: ignore[misc,union-attr]
    content = hashlib.sha256(repr(command).encode()).digest()
    return propose(command, Envelope(id=f"{number}", source="urn:test", authid="tests"), content)


class History:
    """A log of HEAD events, its stream and its tiles."""

    def __init__(self, log: FilledLog, tiles: PublishedLog, servers: Servers, signing_key: str) -> None:
        self.log = log
        self.tiles = tiles
        self.servers = servers
        self.signing_key = signing_key

    async def rows(self) -> list[Any]:
        return await rows(self.log.pool)


async def rows(pool: asyncpg.Pool) -> list[Any]:
    """All that the log holds, but for the hash of what was posted."""
    events = await pool.fetch(
        "SELECT e.position, t.name, e.recorded_at, e.key, e.entry FROM log.event e JOIN log.type t ON t.id = e.type"
        " ORDER BY 1"
    )
    tags = await pool.fetch(
        "SELECT g.tag, t.name, g.position FROM log.tag g JOIN log.type t ON t.id = g.type ORDER BY 1, 3"
    )
    return [tuple(row) for row in (*events, *tags)]


def log_writer(url: str) -> LogWriter:
    return LogWriter(partial(asyncpg.connect, url, server_settings=CONNECTION_SETTINGS), Reference())


@pytest_asyncio.fixture(scope="package")
async def history(
    postgres: Postgres, nats_session: Nats, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[History]:
    """Nobody changes it."""
    await postgres.create_database("restore")
    url = postgres.url("restore")
    async with filled_log(url) as log, log_writer(url) as writer:
        for first in range(1, HEAD + 1, GROUP):
            await writer.append([posted(number) for number in range(first, first + GROUP)])
        await migrate_stream(Servers(nats_session.admin_url))
        key = new_key("log.example/test")
        tiles = PublishedLog(log.pool, log.news, Signer(key), tmp_path_factory.mktemp("tiles"))
        await publish(log, tiles, nats_session)
        yield History(log, tiles, Servers(nats_session.monitor_url), key)
    client = await connect(Servers(nats_session.admin_url))
    await client.jetstream().delete_stream(STREAM)
    await client.close()


async def publish(log: FilledLog, tiles: PublishedLog, nats_server: Nats) -> None:
    """Bring stream and tiles up to the log."""
    await tiles.publish()
    client = await connect(Servers(nats_server.relay_url))
    relay = Relay(client, log.reader, log.news)
    async with AsyncExitStack() as stack:
        task = asyncio.create_task(relay.run())
        stack.push_async_callback(client.close)
        stack.callback(task.cancel)

        async def there() -> bool:
            return (await client.jetstream().stream_info(STREAM)).state.last_seq == await log.reader.head()

        await until(there)


MakeBackup = Callable[[int], Awaitable[FilledLog]]


@pytest_asyncio.fixture
async def backup(history: History, postgres: Postgres) -> AsyncIterator[MakeBackup]:
    """Makes a database that holds the history up to a position, as a backup taken there."""
    async with AsyncExitStack() as stack:

        async def make(head: int) -> FilledLog:
            name = f"backup_{uuid.uuid4().hex}"
            await postgres.create_database(name)
            older = await stack.enter_async_context(filled_log(postgres.url(name)))
            for table, columns, condition in (
                ("type", "id, name", "true"),
                ("event", "position, type, recorded_at, key, content, entry", f"position <= {head}"),
                ("tag", "tag, type, position", f"position <= {head}"),
            ):
                found = await history.log.pool.fetch(f"SELECT {columns} FROM log.{table} WHERE {condition}")
                places = ", ".join(f"${place}" for place in range(1, len(columns.split(",")) + 1))
                override = "OVERRIDING SYSTEM VALUE" if table == "type" else ""
                insert = f"INSERT INTO log.{table} ({columns}) {override} VALUES ({places})"
                await older.pool.executemany(insert, [tuple(row) for row in found])
            return older

        yield make
