"""The write side in the HTTP process: the log's writer, the vault, and their routes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import asyncpg
import structlog
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler

from contracts.facts import FACTS
from contracts.problems import Problem
from services.log import roles
from services.log.pool import open_pool
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
from services.registry.vault.ring import KeyRing
from services.registry.vault.vault import Vault
from services.settings import ServeSettings, SettingsRefused

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

VAULT_SETTINGS = {
    "application_name": "certibranche vault",
    "jit": "off",  # without statistics of fingerprints a look at many of them seems worth compiling, and is not
    # A stopped process holds the vault's keys no longer than this; a rotation goes on.
    "idle_in_transaction_session_timeout": "5s",
}

SWEEP_S = 60.0
"""How often intents that a crash left behind are looked for, and how old they must be."""

BEGIN_AGAIN_S = 1.0
"""How soon the vault tries again to begin, while its database is out of reach or behind it."""


def routes() -> list[HTTPRouteHandler]:
    """The routes of the write side. They need the state that `recording` fills."""
    return [post_events, post_persons, person_options, get_person, rectify_person, merge_persons, erase_person]


def ring_of(settings: ServeSettings) -> KeyRing:
    """The master keys that the settings name. Raises SettingsRefused when they name none, or no folder."""
    if settings.vault_key is None and settings.vault_keys is None:
        raise SettingsRefused(["CERTIBRANCHE_VAULT_KEY or CERTIBRANCHE_VAULT_KEYS: must be set"])
    folder = None if settings.vault_keys is None else Path(settings.vault_keys).absolute()
    if folder is not None and not folder.is_dir():
        raise SettingsRefused([f"CERTIBRANCHE_VAULT_KEYS: {folder} is no folder"])
    return KeyRing(settings.vault_key, folder)


@contextlib.asynccontextmanager
async def recording(state: State, database_url: str, ring: KeyRing) -> AsyncIterator[LogReader]:
    """What the routes need, put into the application's state while it runs; gives a reader of the log."""
    connect = partial(roles.connect, database_url, "writer", server_settings=CONNECTION_SETTINGS)
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        pool = await enter(open_pool(database_url, "vault", connections_max=10, **VAULT_SETTINGS))
        reading = await enter(open_pool(database_url, "reader", connections_max=2))
        writer = await enter(LogWriter(connect, Reference()))
        reader = LogReader(reading)
        vault = Vault(pool, ring, writer, reader)
        sweeper = asyncio.create_task(_sweep(vault), name="vault sweeper")
        stack.callback(sweeper.cancel)
        state["log"], state["reader"], state["vault"] = writer, reader, vault
        yield reader


async def _sweep(vault: Vault) -> None:
    """Begin to serve, then finish what crashes left unfinished: at once, then every minute."""
    begun, pause_s = False, BEGIN_AGAIN_S
    while True:
        try:
            if not begun:
                replayed = await vault.begin()
                if replayed.lost or replayed.outdated:
                    log.warning("the vault is older than the log", lost=replayed.lost, outdated=replayed.outdated)
            while await vault.sweep(SWEEP_S if begun else 0.0):
                pass
            begun, pause_s = True, SWEEP_S
        except Problem as problem:
            log.warning("the vault could not be swept", trouble=type(problem).__name__, detail=problem.detail)
        except TROUBLE as trouble:
            log.warning("the vault could not be swept", trouble=type(trouble).__name__)
        await asyncio.sleep(pause_s)
