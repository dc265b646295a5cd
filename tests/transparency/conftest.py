"""What tests of the transparency log may ask for."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from services.embedded.data_folder import DataFolder
from services.embedded.issuer import Issuer
from services.embedded.postgres import Postgres
from services.projections.transparency.note import Signer, new_key
from tests.integration.filled_log import FilledLog, filled_log
from tests.tampering import tamper
from tests.transparency.independent import Witness, build, witness
from tests.transparency.published_log import PublishedLog


@pytest_asyncio.fixture(scope="session")
async def database(postgres: Postgres) -> AsyncIterator[FilledLog]:
    await postgres.create_database("transparency")
    async with filled_log(postgres.url("transparency")) as log:
        yield log


@pytest.fixture
def key() -> str:
    """What signs the log."""
    return new_key("log.example/test")


@pytest_asyncio.fixture
async def log(database: FilledLog, key: str, tmp_path: Path) -> PublishedLog:
    """An empty log that has not been published."""
    await tamper(database.pool, "TRUNCATE log.event")
    return PublishedLog(database.pool, database.news, Signer(key), tmp_path)


@pytest.fixture(scope="session")
def independent(pytestconfig: pytest.Config) -> Path:
    """The auditor and witness in Go, compiled once for all; it stays in pytest's cache."""
    assert pytestconfig.cache is not None
    return build(pytestconfig.cache.mkdir("independent"))


@pytest_asyncio.fixture
async def w1(log: PublishedLog, independent: Path, tmp_path: Path) -> AsyncIterator[Witness]:
    """A witness of the log."""
    async with witness(independent, "witness.example/1", log.signer.vkey, tmp_path / "w1") as running:
        yield running


@pytest_asyncio.fixture
async def w2(log: PublishedLog, independent: Path, tmp_path: Path) -> AsyncIterator[Witness]:
    """Another witness of the log."""
    async with witness(independent, "witness.example/2", log.signer.vkey, tmp_path / "w2") as running:
        yield running


@pytest.fixture
def bearer(data_folder: DataFolder) -> Callable[..., dict[str, str]]:
    """The header of a token with some scopes."""
    issuer = Issuer(data_folder)

    def header(*scopes: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {issuer.token(scopes, [''], 'test', 60)}"}

    return header
