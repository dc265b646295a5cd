"""Fixtures with real servers: an embedded PostgreSQL and NATS for the session, in a temporary data folder."""

import secrets
from collections.abc import AsyncIterator

import asyncpg
import nats
import pytest
import pytest_asyncio

from services.embedded.data_folder import DataFolder
from services.embedded.nats import Nats
from services.embedded.postgres import Postgres
from services.embedded.supervisor import Supervisor
from tests.ports import free_port


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    """The session's data folder: servers, the vault's key, the development issuer."""
    return DataFolder(tmp_path_factory.mktemp("data"))


@pytest_asyncio.fixture(scope="session")
async def supervisor() -> AsyncIterator[Supervisor]:
    """Keeps the session's servers running; `process_id(name)` names the process to kill."""
    keeper = Supervisor(print)
    yield keeper
    await keeper.stop()


@pytest_asyncio.fixture(scope="session")
async def postgres(data_folder: DataFolder, supervisor: Supervisor) -> AsyncIterator[Postgres]:
    """PostgreSQL, without fsync: tests kill processes, they do not cut the power."""
    server = Postgres(data_folder, fsync="off", full_page_writes="off")
    await server.initialise()
    await supervisor.start(server.program())
    yield server
    await supervisor.stop()
    server.forget_sockets()


@pytest_asyncio.fixture
async def database_url(postgres: Postgres) -> AsyncIterator[str]:
    """A new, empty database; dropped afterwards, whoever is still connected."""
    name = f"test_{secrets.token_hex(8)}"
    await postgres.create_database(name)
    yield postgres.url(name)
    connection = await asyncpg.connect(postgres.url("postgres"))
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await connection.close()


@pytest_asyncio.fixture(scope="session")
async def nats_session(data_folder: DataFolder, supervisor: Supervisor) -> Nats:
    """The NATS server, whatever streams tests left on it."""
    server = Nats(data_folder, free_port())
    await supervisor.start(server.program())
    return server


@pytest_asyncio.fixture
async def nats_server(nats_session: Nats) -> AsyncIterator[Nats]:
    """NATS without a stream: `admin_url` may make one, `relay_url` and `reader_url` are the least-privileged users."""
    yield nats_session
    connection = await nats.connect(nats_session.admin_url)
    stream_manager = connection.jetstream()
    for stream in await stream_manager.streams_info():
        assert stream.config.name is not None
        await stream_manager.delete_stream(stream.config.name)
    await connection.close()
