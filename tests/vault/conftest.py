"""A database with log and vault, vaults on it, and identities to fill them."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import asyncpg
import httpx2
import msgspec
import pytest
import pytest_asyncio

from contracts.envelope import StoredEvent
from contracts.facts import Fact
from services.log.migrations import migrate
from services.log.reader import LogReader
from services.log.transaction import CONNECTION_SETTINGS
from services.log.writer import LogWriter
from services.registry.app import LOG_MIGRATIONS, VAULT_MIGRATIONS
from services.registry.domain.reference import Reference
from services.registry.vault.identity import Identity
from services.registry.vault.ring import KeyRing
from services.registry.vault.vault import Amend, Vault

NIR, OTHER_NIR = "290057505600142", "290057505600243"


class Site:
    """What a process has: a database, a folder of master keys, and a vault."""

    def __init__(self, url: str, ring: KeyRing, pool: asyncpg.Pool, vault: Vault) -> None:
        assert ring.folder is not None
        self.url = url
        self.ring = ring
        self.folder = ring.folder
        self.pool = pool
        self.vault = vault
        self.reader = LogReader(pool)

    async def events(self) -> list[StoredEvent[Fact]]:
        return [entry.event() for entry in await self.reader.page(0)]

    async def facts(self) -> list[str]:
        """The names of the log's facts, in order."""
        return [event.data.name for event in await self.events()]

    async def register(self, identity: Identity) -> str:
        (registered,) = await self.vault.register([identity], "tests")
        return registered.person_id

    async def rows(self, table: str) -> list[asyncpg.Record]:
        return list(await self.pool.fetch(f"SELECT * FROM vault.{table} ORDER BY 1"))


@contextlib.asynccontextmanager
async def site_at(
    url: str, folder: Path, settings: Mapping[str, str] = MappingProxyType({}), **options: Any
) -> AsyncIterator[Site]:
    """A vault as a process has it; it has not begun yet.

    settings: PostgreSQL's, options: asyncpg's, for each of its connections.
    """
    connect = partial(asyncpg.connect, url, server_settings={**CONNECTION_SETTINGS, **settings}, **options)
    async with (
        asyncpg.create_pool(url, min_size=0, max_size=10, server_settings=dict(settings), **options) as pool,
        LogWriter(connect, Reference()) as log,
    ):
        ring = KeyRing(folder=folder)
        yield Site(url, ring, pool, Vault(pool, ring, log, LogReader(pool)))


async def make_tables(url: str) -> None:
    connection = await asyncpg.connect(url)
    await migrate(connection, "log", LOG_MIGRATIONS)
    await migrate(connection, "vault", VAULT_MIGRATIONS)
    await connection.close()


@pytest.fixture
def keys_folder(tmp_path: Path) -> Path:
    """A folder with one master key."""
    KeyRing(folder=tmp_path / "keys").create()
    return tmp_path / "keys"


@pytest_asyncio.fixture
async def site(database_url: str, keys_folder: Path) -> AsyncIterator[Site]:
    await make_tables(database_url)
    async with site_at(database_url, keys_folder) as made:
        await made.vault.begin()
        yield made


ANSWER_S = 60.0


async def answered(client: httpx2.AsyncClient, path: str) -> httpx2.Response:
    """What the installation answers once the views it reads from have caught up."""
    async with asyncio.timeout(ANSWER_S):
        while True:
            answer = await client.get(path)
            if answer.status_code != 503:
                return answer
            await asyncio.sleep(0.05)


_birth_dates = (date(1930, 1, 1) + timedelta(days=n) for n in itertools.count())


def somebody(**changes: Any) -> Identity:
    """The identity of somebody who was never registered, changes aside."""
    members: dict[str, Any] = {
        "birth_name": "Martin",
        "first_names": ["Camille"],
        "birth_date": next(_birth_dates).isoformat(),
        "sex": "F",
        "birth_place": {"insee": "75056"},
    }
    return msgspec.convert(members | changes, Identity)


def into(identity: Identity) -> Amend:
    """A rectification that ends with this identity, whatever it was before."""
    return lambda _: identity
