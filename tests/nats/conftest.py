"""What tests around NATS may ask for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from nats.aio.client import Client

from services.embedded.nats import Nats
from services.projections.relay import Servers, migrate_stream
from tests.integration.filled_log import FilledLog, filled_log
from tests.nats.relays import OwnServer, administrator, persons, started


@pytest_asyncio.fixture
async def log(database_url: str) -> AsyncIterator[FilledLog]:
    """A log of 12 events."""
    async with filled_log(database_url) as filled:
        await filled.put(persons(1, 12))
        yield filled


@pytest_asyncio.fixture
async def admin(nats_server: Nats) -> AsyncIterator[Client]:
    """The administrator of a server with an empty stream."""
    await migrate_stream(Servers(nats_server.admin_url))
    async with administrator(nats_server.admin_url) as client:
        yield client


@pytest_asyncio.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[OwnServer]:
    """A server with an empty stream, for this test alone."""
    async for server in started(tmp_path / "own"):
        await migrate_stream(Servers(server.nats.admin_url))
        yield server
