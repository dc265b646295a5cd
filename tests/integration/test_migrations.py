"""The runner of migrations, against a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from services.log.migrations import MigrationRefusedError, migrate, migrations_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text("create table thing (id int);\ninsert into thing values (1);\n")
    (tmp_path / "0002_second.sql").write_text("alter table thing add column name text;\n")
    return tmp_path


@pytest_asyncio.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_all_are_applied_in_order_and_a_second_run_does_nothing(
    connection: asyncpg.Connection, folder: Path
) -> None:
    assert await migrate(connection, "own", folder) == ["0001_first.sql", "0002_second.sql"]
    assert await connection.fetchrow("select id, name from own.thing") == (1, None)
    assert await migrate(connection, "own", folder) == []


async def test_a_new_file_is_applied_to_what_exists(connection: asyncpg.Connection, folder: Path) -> None:
    await migrate(connection, "own", folder)
    (folder / "0003_third.sql").write_text("update thing set name = 'third'")
    assert await migrate(connection, "own", folder) == ["0003_third.sql"]
    assert await connection.fetchval("select name from own.thing") == "third"


async def test_two_schemas_do_not_know_each_other(connection: asyncpg.Connection, folder: Path) -> None:
    await migrate(connection, "own", folder)
    assert len(await migrate(connection, 'other"one', folder)) == 2


async def test_a_failed_file_leaves_nothing_and_those_before_it_stay(
    connection: asyncpg.Connection, folder: Path
) -> None:
    (folder / "0003_third.sql").write_text("create table half (id int); select 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError) as failure:
        await migrate(connection, "own", folder)
    assert failure.value.__notes__ == ["while applying own: 0003_third.sql"]
    assert await connection.fetchval("select to_regclass('own.half')") is None
    (folder / "0003_third.sql").write_text("create table half (id int)")
    assert await migrate(connection, "own", folder) == ["0003_third.sql"]


async def test_an_applied_file_that_changed_is_refused(connection: asyncpg.Connection, folder: Path) -> None:
    await migrate(connection, "own", folder)
    (folder / "0001_first.sql").write_text("create table thing (id bigint)")
    with pytest.raises(MigrationRefusedError, match=r"0001_first\.sql was applied, but its file has changed"):
        await migrate(connection, "own", folder)


async def test_an_applied_file_that_is_missing_is_refused(connection: asyncpg.Connection, folder: Path) -> None:
    await migrate(connection, "own", folder)
    (folder / "0001_first.sql").unlink()
    with pytest.raises(MigrationRefusedError, match=r"0001_first\.sql was applied, but its file is missing"):
        await migrate(connection, "own", folder)


async def test_a_new_file_before_an_applied_one_is_refused(connection: asyncpg.Connection, folder: Path) -> None:
    await migrate(connection, "own", folder)
    (folder / "0000_late.sql").write_text("select 1")
    with pytest.raises(MigrationRefusedError, match=r"0000_late\.sql is new, but 0002_second\.sql"):
        await migrate(connection, "own", folder)


@pytest.mark.parametrize("name", ["1_short.sql", "0003-dash.sql", "0002_again.sql"])
def test_a_misnamed_or_doubly_numbered_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("select 1")
    with pytest.raises(MigrationRefusedError):
        migrations_in(folder)


async def test_several_at_once_apply_each_file_once_even_without_a_transaction(database_url: str, folder: Path) -> None:
    """An index built concurrently waits for every snapshot: also for those of runners that wait for the lock."""
    (folder / "0003_index.sql").write_text(
        "-- migrate: no transaction\ncreate index concurrently if not exists thing_name on thing (name)"
    )
    connections = [await asyncpg.connect(database_url) for _ in range(4)]
    applied = await asyncio.gather(*(migrate(connection, "own", folder) for connection in connections))
    assert sorted(len(names) for names in applied) == [0, 0, 0, 3]
    assert await connections[0].fetchval("select count(*) from public.certibranche_migration") == 3
    for connection in connections:
        await connection.close()


async def test_the_session_is_left_as_it_was(connection: asyncpg.Connection, folder: Path) -> None:
    await connection.execute("set search_path to pg_catalog; set lock_timeout to '7s'")
    await migrate(connection, "own", folder)
    assert await connection.fetchval("show search_path") == "pg_catalog"
    assert await connection.fetchval("show lock_timeout") == "7s"
    assert await connection.fetchval("select count(*) from pg_locks where locktype = 'advisory'") == 0
