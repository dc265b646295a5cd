"""Numbered SQL migrations, forward only: what is applied stays applied and stays as it was."""

import asyncio
import hashlib
import re
import time
from importlib.resources.abc import Traversable

import asyncpg
import msgspec

FILE_NAME = re.compile(r"\d{4}_[a-z0-9_]+\.sql")
NO_TRANSACTION = "-- migrate: no transaction"
LOCK = int.from_bytes(hashlib.sha256(b"certibranche_migration").digest()[:8], signed=True)
LOCK_WAIT_S = 60.0
LOCK_POLL_S = 0.1
STATEMENT_LOCK_TIMEOUT = "5s"

CREATE_TABLE = """
create table if not exists public.certibranche_migration (
    component text not null,
    name text not null,
    sha256 bytea not null,
    applied_at timestamptz not null default now(),
    duration_ms integer not null,
    primary key (component, name)
)
"""


class MigrationRefusedError(Exception):
    """The files and the database disagree about what was applied; a person must look."""


class Migration(msgspec.Struct, frozen=True):
    name: str
    sql: str

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.sql.encode()).digest()

    @property
    def in_transaction(self) -> bool:
        """A file without a transaction holds one statement (PostgreSQL refuses more) that can be repeated: a crash
        between it and its record runs it again."""
        return self.sql.split("\n", 1)[0].strip() != NO_TRANSACTION


def migrations_in(folder: Traversable) -> list[Migration]:
    """The folder's `NNNN_name.sql` files by number; a number used twice or another file name is refused.

    `schema.sql`, which tells what all of them give together, is left aside.
    """
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql") and file.name != "schema.sql")
    for name, before in zip(names, ["", *names], strict=False):
        if not FILE_NAME.fullmatch(name):
            raise MigrationRefusedError(f"{name} is not named like 0001_name.sql")
        if name[:4] == before[:4]:
            raise MigrationRefusedError(f"{before} and {name} have the same number")
    return [Migration(name, (folder / name).read_text(encoding="utf-8")) for name in names]


async def migrate(connection: asyncpg.Connection, schema: str, folder: Traversable) -> list[str]:
    """Apply what is new in the folder to the schema, made if need be; the names applied, in order.

    Each file runs in its own transaction with `search_path` = schema. Several may call this at once: one works, the
    others wait (TimeoutError after a minute) and then find nothing to do. Raises MigrationRefusedError when an applied
    file was changed, is missing, or is later than a new one; an SQL error is raised as it is, and nothing of its file
    stays.
    """
    files = migrations_in(folder)
    settings = await connection.fetchrow(
        "select current_setting('search_path') as path, current_setting('lock_timeout') as lock_timeout"
    )
    assert settings is not None
    await _lock(connection)
    try:
        await connection.execute(CREATE_TABLE)
        await connection.execute(f"create schema if not exists {_quoted(schema)}")
        new = _new(files, await _applied(connection, schema), schema)
        for file in new:
            await _set(connection, f"{_quoted(schema)}, pg_temp", STATEMENT_LOCK_TIMEOUT)
            await _apply(connection, schema, file)
        return [file.name for file in new]
    finally:
        if not connection.is_closed():
            await _set(connection, settings["path"], settings["lock_timeout"])
            await connection.execute("select pg_advisory_unlock($1)", LOCK)


async def _lock(connection: asyncpg.Connection) -> None:
    """Polled, not waited for: a session waiting inside `pg_advisory_lock` holds a snapshot, for which another's
    CREATE INDEX CONCURRENTLY would wait, and neither would end."""
    async with asyncio.timeout(LOCK_WAIT_S):
        while not await connection.fetchval("select pg_try_advisory_lock($1)", LOCK):  # noqa: ASYNC110 (the database has no event)
            await asyncio.sleep(LOCK_POLL_S)


async def _set(connection: asyncpg.Connection, search_path: str, lock_timeout: str) -> None:
    await connection.execute(
        "select set_config('search_path', $1, false), set_config('lock_timeout', $2, false)", search_path, lock_timeout
    )


async def _applied(connection: asyncpg.Connection, schema: str) -> dict[str, bytes]:
    rows = await connection.fetch(
        "select name, sha256 from public.certibranche_migration where component = $1 order by name", schema
    )
    return {row["name"]: row["sha256"] for row in rows}


def _new(files: list[Migration], applied: dict[str, bytes], schema: str) -> list[Migration]:
    """The files not applied yet, once everything applied is found unchanged before them."""
    by_name = {file.name: file for file in files}
    for name, sha256 in applied.items():
        if name not in by_name:
            raise MigrationRefusedError(f"{schema}: {name} was applied, but its file is missing")
        if by_name[name].sha256 != sha256:
            raise MigrationRefusedError(f"{schema}: {name} was applied, but its file has changed since")
    new = [file for file in files if file.name not in applied]
    last = max(applied, default="")
    if new and new[0].name < last:
        raise MigrationRefusedError(f"{schema}: {new[0].name} is new, but {last} was already applied")
    return new


async def _apply(connection: asyncpg.Connection, schema: str, file: Migration) -> None:
    started = time.monotonic()
    try:
        if file.in_transaction:
            async with connection.transaction():
                await connection.execute(file.sql)
                await _record(connection, schema, file, started)
        else:
            await connection.execute(file.sql)
            await _record(connection, schema, file, started)
    except asyncpg.PostgresError as error:
        error.add_note(f"while applying {schema}: {file.name}")
        raise


async def _record(connection: asyncpg.Connection, schema: str, file: Migration, started: float) -> None:
    await connection.execute(
        "insert into public.certibranche_migration (component, name, sha256, duration_ms) values ($1, $2, $3, $4)",
        schema,
        file.name,
        file.sha256,
        round((time.monotonic() - started) * 1000),
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
