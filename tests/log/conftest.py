"""A migrated log, writers on it, and proposals to feed them."""

import hashlib
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import date, timedelta
from functools import partial
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from contracts.envelope import Envelope
from contracts.facts import HoldJury, Part, SetObjective
from contracts.facts.awards import Seat
from services.log import transaction
from services.log.migrations import migrate
from services.log.proposal import Proposal
from services.log.reader import LogReader
from services.log.transaction import CONNECTION_SETTINGS
from services.log.writer import LogWriter
from services.registry.app import LOG_MIGRATIONS
from services.registry.domain.reference import Reference
from services.registry.proposals import propose
from tests.log.gate import Gate

MakeWriter = Callable[..., Any]


@pytest_asyncio.fixture
async def log_url(database_url: str) -> str:
    """A database with an empty log."""
    connection = await asyncpg.connect(database_url)
    await migrate(connection, "log", LOG_MIGRATIONS)
    await connection.close()
    return database_url


@pytest_asyncio.fixture
async def pool(log_url: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(log_url, min_size=0, max_size=4) as pool:
        yield pool


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts may be held up as long as a test likes: how many there are does not depend on the machine."""
    monkeypatch.setattr(transaction, "RECORDED_WITHIN", timedelta(minutes=1))


@pytest.fixture
def reader(pool: asyncpg.Pool) -> LogReader:
    return LogReader(pool)


@pytest_asyncio.fixture
async def make_writer(log_url: str) -> AsyncIterator[MakeWriter]:
    """Starts another writer, on a connection of its own; keyword arguments go to asyncpg.connect."""
    async with AsyncExitStack() as stack:

        async def make(**options: Any) -> LogWriter:
            connect = partial(asyncpg.connect, log_url, server_settings=CONNECTION_SETTINGS, **options)
            return await stack.enter_async_context(LogWriter(connect, Reference()))

        yield make


@pytest_asyncio.fixture
async def writer(make_writer: MakeWriter) -> LogWriter:
    writer: LogWriter = await make_writer()
    return writer


def posted(command: Part, id_: str | None = None) -> Proposal:
    """A command as if it had been posted, under a new id unless one is given."""
    envelope = Envelope(id=id_ or uuid.uuid4().hex, source="urn:test", authid="tests")
    return propose(command, envelope, hashlib.sha256(repr(command).encode()).digest())


def objective(year: int = 2030, beneficiaries: int = 1, id_: str | None = None) -> Proposal:
    """A command that no rule refuses."""
    return posted(SetObjective(year=year, beneficiaries=beneficiaries), id_)


def jury(jury_id: str) -> Proposal:
    """A command that wins once for each jury_id (J3)."""
    seats = tuple(
        Seat(seat_id=f"seat-{n}", college=college, organisation="uimm", present=True)
        for n, college in enumerate(("SALARIES", "EMPLOYEURS"))
    )
    return posted(
        HoldJury(
            jury_id=jury_id,
            held_on=date(2020, 3, 1),
            organiser="uimm",
            seats=seats,
            president_seat_id="seat-1",
            invited_on=date(2020, 1, 1),
        )
    )
