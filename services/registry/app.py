"""The write side in the HTTP process: the log's writer, the vault, and their routes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from importlib import resources
from importlib.resources.abc import Traversable

import asyncpg
import structlog
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler

from contracts.facts import FACTS
from contracts.problems import Problem
from services.log.reader import LogReader
from services.log.transaction import CONNECTION_SETTINGS
from services.log.writer import LogWriter
from services.registry.domain.reference import Reference
from services.registry.http.events import post_events
from services.registry.http.intake import Receipt, Result
from services.registry.http.person_forms import Merge, PersonId, PersonResult
from services.registry.http.persons import (
    erase_person,
    get_person,
    merge_persons,
    person_options,
    post_persons,
    rectify_person,
)
from services.registry.vault.identity import Identity
from services.registry.vault.keys import VaultKeys
from services.registry.vault.vault import Vault

log = structlog.get_logger()

VAULT_MIGRATIONS: Traversable = resources.files("services.registry.vault") / "sql" / "migrations"
LOG_MIGRATIONS: Traversable = resources.files("services.log") / "sql" / "migrations"

TROUBLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What asyncpg raises while a server is away, starts, stops, or is killed in the middle of its answer."""

DOCUMENTED = (
    *(fact.posted or fact for fact in FACTS.values()),
    Receipt,
    Result,
    Identity,
    Merge,
    PersonId,
    PersonResult,
)
"""What the OpenAPI document must know beside what the routes declare: they read and write some bytes by themselves."""

SWEEP_S = 60.0
"""How often intents that a crash left behind are looked for, and how old they must be."""


def routes() -> list[HTTPRouteHandler]:
    """The routes of the write side. They need the state that `recording` fills."""
    return [post_events, post_persons, person_options, get_person, rectify_person, merge_persons, erase_person]


@contextlib.asynccontextmanager
async def recording(state: State, database_url: str, vault_key: bytes) -> AsyncIterator[LogReader]:
    """What the routes need, put into the application's state while it runs; gives a reader of the log."""
    connect = partial(asyncpg.connect, database_url, server_settings=CONNECTION_SETTINGS)
    async with contextlib.AsyncExitStack() as stack:
        pool = await asyncpg.create_pool(database_url, min_size=0, max_size=10)
        stack.callback(pool.terminate)
        writer = await stack.enter_async_context(LogWriter(connect, Reference()))
        vault = Vault(pool, VaultKeys(vault_key), writer)
        sweeper = asyncio.create_task(_sweep(vault), name="vault sweeper")
        stack.callback(sweeper.cancel)
        state["log"], state["reader"], state["vault"] = writer, LogReader(pool), vault
        yield state["reader"]


async def _sweep(vault: Vault) -> None:
    """Finish what crashes left unfinished: at once at start, then every minute."""
    older_than_s = 0.0
    while True:
        try:
            while await vault.sweep(older_than_s):
                pass
            older_than_s = SWEEP_S
        except (Problem, *TROUBLE) as trouble:
            log.warning("the vault could not be swept", trouble=type(trouble).__name__)
        await asyncio.sleep(SWEEP_S)
