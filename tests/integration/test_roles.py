"""The roles of PostgreSQL: each may do what its part of the registry does, and is refused all else."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from services.accesses import app as accesses
from services.embedded.postgres import Postgres
from services.embedded.readiness import wait_until
from services.log import roles
from services.log.migrations import migrate
from services.log.pool import open_pool
from services.log.reader import LogReader
from services.log.roles import Role
from services.projections import app as projections
from services.projections.builds import create_build, drop_build
from services.projections.views.counts.tables import CountsView
from services.registry import app as registry
from services.roles import ROLES, make_roles
from tests.installation import Installation
from tests.tampering import tamper

ALL: tuple[Role, ...] = ("writer", "vault", "projector", "reader", "relay", "access", "auditor")
REFUSED = asyncpg.InsufficientPrivilegeError


async def migrated(database_url: str) -> str | None:
    """All tables, and the roles; or why there are no roles."""
    connection = await asyncpg.connect(database_url)
    try:
        await migrate(connection, "log", registry.LOG_MIGRATIONS)
        await migrate(connection, "vault", registry.VAULT_MIGRATIONS)
        await migrate(connection, "projections", projections.MIGRATIONS)
        await migrate(connection, "access", accesses.MIGRATIONS)
        return await make_roles(connection)
    finally:
        await connection.close()


@pytest_asyncio.fixture(scope="module")
async def database(postgres: Postgres) -> AsyncIterator[str]:
    """A database of this module: tables, roles, and one event."""
    name = f"roles_{secrets.token_hex(8)}"
    await postgres.create_database(name)
    assert await migrated(postgres.url(name)) is None
    async with acting(postgres.url(name), "writer") as connection:
        await connection.execute("INSERT INTO log.type (name) VALUES ('certibranche.objective.set.v1')")
        assert await connection.fetchval(PUT, 0) == 1
    yield postgres.url(name)
    connection = await asyncpg.connect(postgres.url("postgres"))
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    for role in ROLES:
        await connection.execute(f'DROP ROLE "{name}_{role}"')
    await connection.close()


PUT = "SELECT log.put($1, now(), '{1}', '{NULL}', '{NULL}', ARRAY[convert_to('{}', 'UTF8')], '{}', '{}')"


@contextlib.asynccontextmanager
async def acting(database_url: str, role: Role) -> AsyncIterator[asyncpg.Connection]:
    """A connection in a role, as the registry makes it."""
    connection = await roles.connect(database_url, role)
    try:
        yield connection
    finally:
        await connection.close()


NO_LOG_CHANGE = (
    "UPDATE log.event SET entry = entry",
    "UPDATE log.event SET entry = entry WHERE position = -1",
    "DELETE FROM log.event",
    "DELETE FROM log.event WHERE false",
    "TRUNCATE log.event",
    "UPDATE log.tag SET tag = tag",
    "DELETE FROM log.tag",
    "TRUNCATE log.tag",
    "UPDATE log.type SET name = name",
    "DELETE FROM log.type",
    "INSERT INTO log.event (position, type, recorded_at, entry) VALUES (1, 1, now(), '')"
    " ON CONFLICT (position) DO UPDATE SET entry = excluded.entry",
    "MERGE INTO log.event e USING (SELECT 1 AS p) s ON e.position = s.p WHEN MATCHED THEN DELETE",
    "SELECT FROM log.event FOR UPDATE",
    "LOCK TABLE log.event IN ACCESS EXCLUSIVE MODE",
)
NO_OWNERSHIP = (
    "ALTER TABLE log.event DISABLE TRIGGER ALL",
    "DROP TRIGGER append_only ON log.event",
    "DROP TABLE log.event",
    "ALTER TABLE log.event OWNER TO CURRENT_USER",
    "CREATE TABLE log.mine ()",
    "CREATE OR REPLACE FUNCTION log.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "SET session_replication_role = replica",
    "CREATE ROLE mine SUPERUSER",
    "COPY log.event TO '/tmp/log'",
    "COPY log.event TO PROGRAM 'cat'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT * FROM pg_authid",
    "UPDATE public.certibranche_migration SET name = name",
    "DELETE FROM public.certibranche_migration",
)
NO_APPEND = (
    "INSERT INTO log.event (position, type, recorded_at, entry) VALUES (9, 1, now(), '')",
    PUT.replace("$1", "1"),
)
NO_VAULT = (
    "SELECT FROM vault.person",
    "SELECT FROM vault.intent",
    "SELECT FROM vault.erasure",
    "DELETE FROM vault.person",
    "UPDATE vault.person SET sealed = sealed",
)
NO_VIEWS = ("SELECT FROM projections.view", "SELECT FROM counts.cell", "SELECT FROM competencies.person")
NO_CHANGE_OF_VIEWS = (
    "UPDATE projections.view SET position = 0",
    "DELETE FROM projections.parked",
    "INSERT INTO counts.alias VALUES ('a', 'b')",
    "DELETE FROM competencies.person",
    "DROP SCHEMA counts CASCADE",
    "CREATE SCHEMA counts_2",
)
NO_LOG = ("SELECT FROM log.event", "SELECT FROM log.tag", "SELECT FROM log.type")
INSERT_ACCESS = (
    "INSERT INTO access.entry (at, client_id, method, route, status, tags, target)"
    " VALUES (now(), 'x', 'GET', '/', 200, '{}', '{}')"
)
NO_LEASE = ("UPDATE projections.lease SET holder = holder", "DELETE FROM projections.lease")

NO_RECORD = ("SELECT FROM access.entry", INSERT_ACCESS, "DELETE FROM access.entry", "TRUNCATE access.entry")

FORBIDDEN: Mapping[Role, tuple[str, ...]] = {
    "writer": (*NO_VAULT, *NO_VIEWS, *NO_CHANGE_OF_VIEWS, *NO_RECORD),
    "vault": (
        *NO_RECORD,
        *NO_LOG,
        *NO_APPEND,
        *NO_VIEWS,
        *NO_CHANGE_OF_VIEWS,
        "DROP TABLE vault.person",
        "TRUNCATE vault.person",
    ),
    "projector": (*NO_APPEND, *NO_VAULT, *NO_RECORD),
    "reader": (*NO_APPEND, *NO_VAULT, *NO_CHANGE_OF_VIEWS, *NO_LEASE, *NO_RECORD),
    "relay": (*NO_APPEND, *NO_VAULT, *NO_VIEWS, *NO_CHANGE_OF_VIEWS, "DELETE FROM projections.lease", *NO_RECORD),
    "access": (
        *NO_LOG,
        *NO_APPEND,
        *NO_VAULT,
        *NO_VIEWS,
        *NO_CHANGE_OF_VIEWS,
        "UPDATE access.entry SET status = 200",
        "TRUNCATE access.entry",
        "ALTER TABLE access.entry DISABLE TRIGGER ALL",
    ),
    "auditor": (
        *NO_RECORD[1:],
        *NO_APPEND,
        *NO_VAULT,
        *NO_VIEWS,
        *NO_CHANGE_OF_VIEWS,
        *NO_LEASE,
        "SELECT FROM projections.lease",
    ),
}
ALLOWED: Mapping[Role, tuple[str, ...]] = {
    "writer": ("SELECT FROM log.event", "SELECT FROM log.tag", "SELECT FROM log.type"),
    "vault": (
        *NO_VAULT,
        "INSERT INTO vault.erasure (person_id, fact_id) VALUES (gen_random_uuid(), gen_random_uuid())",
    ),
    "projector": (*NO_LOG, *NO_VIEWS, *NO_CHANGE_OF_VIEWS, *NO_LEASE),
    "reader": (*NO_LOG, *NO_VIEWS),
    "relay": (
        *NO_LOG,
        "INSERT INTO projections.lease (follower, holder, fence, expires_at) VALUES ('x', 'x', 1, now())",
        "UPDATE projections.lease SET holder = holder",
    ),
    "access": (
        INSERT_ACCESS,
        "SELECT FROM access.entry",
        "DELETE FROM access.entry WHERE at < now() - interval '1 year'",
    ),
    "auditor": (*NO_LOG, "SELECT FROM access.entry"),
}


def test_every_role_is_tried_here() -> None:
    assert set(ALL) == set(ROLES) == set(FORBIDDEN) == set(ALLOWED)


@pytest.mark.parametrize("role", ALL)
async def test_a_role_is_refused_what_its_part_does_not_do(database: str, role: Role) -> None:
    allowed = []
    async with acting(database, role) as connection:
        for statement in (*NO_LOG_CHANGE, *NO_OWNERSHIP, *FORBIDDEN[role]):
            try:
                async with connection.transaction():
                    await connection.execute(statement)
                    allowed.append(statement)
            except REFUSED:
                pass
    assert allowed == []


@pytest.mark.parametrize("role", ALL)
async def test_a_role_may_do_what_its_part_does(database: str, role: Role) -> None:
    async with acting(database, role) as connection:
        for statement in ALLOWED[role]:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(statement)
            await transaction.rollback()


async def test_the_log_refuses_its_owner_too(database: str) -> None:
    """By triggers: a superuser's slip. Who means it turns them off, and the transparency log tells."""
    connection = await asyncpg.connect(database)
    for statement in NO_LOG_CHANGE[:10]:
        with pytest.raises(REFUSED, match="the log is append-only"):
            await connection.execute(statement)
    assert await connection.fetchval("SELECT count(*) FROM log.event") == 1
    await connection.close()


async def test_it_is_the_triggers_that_refuse(database: str) -> None:
    async with open_pool(database, "auditor", connections_max=1) as refused:
        with pytest.raises(REFUSED):
            await tamper(refused, "UPDATE log.event SET entry = entry")
    async with asyncpg.create_pool(database, min_size=0) as pool:
        await tamper(pool, "UPDATE log.event SET entry = entry")


async def test_a_pool_keeps_its_role_from_use_to_use(database: str) -> None:
    async with open_pool(database, "auditor", connections_max=1) as pool:
        for _ in range(3):
            assert str(await pool.fetchval("SELECT current_user")).endswith("_auditor")
            with pytest.raises(REFUSED):
                await pool.execute("SELECT FROM vault.person")
            with pytest.raises(asyncpg.PostgresSyntaxError):
                await pool.execute("SELECT 1;; nonsense")


async def test_views_are_rebuilt_and_read_under_their_roles(database: str) -> None:
    """The tables of a build are the projector's, and the reader reads them; so are those that the migration made."""
    view = CountsView()
    async with acting(database, "projector") as projector, acting(database, "reader") as reader:
        async with projector.transaction():
            await create_build(projector, view, "counts:next")
        schema = await reader.fetchval("SELECT schema FROM projections.view WHERE name = 'counts:next'")
        assert await reader.fetchval(f"SELECT count(*) FROM {schema}.cell") == 0
        with pytest.raises(REFUSED):
            await reader.execute(f"INSERT INTO {schema}.alias VALUES ('a', 'b')")
        async with projector.transaction():
            await drop_build(projector, "counts:next")
            await drop_build(projector, "counts")
            await create_build(projector, view, "counts")
        assert await reader.fetchval("SELECT count(*) FROM counts.cell") == 0


async def test_roles_are_made_anew_without_harm_by_several_at_once(database: str) -> None:
    assert await asyncio.gather(*(migrated(database) for _ in range(3))) == [None] * 3


@pytest_asyncio.fixture
async def owned(postgres: Postgres, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A database as a managed PostgreSQL gives it: its owner is no superuser. param: what else the owner may."""
    name = f"owned_{secrets.token_hex(8)}"
    connection = await asyncpg.connect(postgres.url("postgres"))
    await connection.execute(f'CREATE ROLE "{name}" LOGIN {request.param}')
    await connection.execute(f'CREATE DATABASE "{name}" OWNER "{name}"')
    yield postgres.url(name, user=name)
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    for role in await connection.fetch(
        "SELECT rolname FROM pg_roles WHERE rolname LIKE $1 ORDER BY 1 DESC", f"{name}%"
    ):
        await connection.execute(f'DROP ROLE "{role["rolname"]}"')
    await connection.close()


@pytest.mark.parametrize("owned", ["CREATEROLE"], indirect=True)
async def test_an_owner_who_may_make_roles_needs_no_superuser(owned: str) -> None:
    assert await migrated(owned) is None
    assert await migrated(owned) is None
    async with acting(owned, "writer") as connection:
        await connection.execute("INSERT INTO log.type (name) VALUES ('x')")
        with pytest.raises(REFUSED, match="permission denied"):
            await connection.execute("DELETE FROM log.event")
    async with acting(owned, "projector") as connection, connection.transaction():
        await drop_build(connection, "counts")
        await create_build(connection, CountsView(), "counts")
    owner = await asyncpg.connect(owned)
    await owner.execute("ALTER TABLE counts.cell ADD COLUMN later int")  # as a later migration does
    await owner.close()


@pytest.mark.parametrize("owned", ["NOCREATEROLE"], indirect=True)
async def test_an_owner_who_may_not_make_roles_is_told_and_goes_on_without(owned: str) -> None:
    notice = await migrated(owned)
    assert notice is not None
    assert "no roles are made" in notice
    assert "permission denied to create role" in notice
    async with acting(owned, "writer") as connection:
        assert await connection.fetchval("SELECT current_user") == urlsplit(owned).username
        with pytest.raises(REFUSED, match="the log is append-only"):
            await connection.execute("DELETE FROM log.event")
    async with open_pool(owned, "reader", connections_max=1) as pool:
        assert await LogReader(pool).head() == 0


async def test_the_registry_runs_as_users_that_are_not_the_database_owner(installation: Installation) -> None:
    """Each process logs in as its own user, which may be its own roles and nobody else."""
    server = Postgres(installation.folder)
    connection = await asyncpg.connect(server.url())

    async def all_are_themselves() -> bool:
        rows = await connection.fetch(
            "SELECT DISTINCT usename FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        assert {row["usename"] for row in rows} <= {"serve", "follow", "relay"}
        return len(rows) == 3

    assert await wait_until(all_are_themselves, 30)
    await connection.close()
    for user, roles_of in {"serve": "writer vault reader access", "follow": "projector", "relay": "relay"}.items():
        connection = await asyncpg.connect(server.url(user=user))
        for role in (*(f"certibranche_{role}" for role in ROLES), "postgres"):
            if role.removeprefix("certibranche_") in roles_of.split():
                await connection.execute(f'SET ROLE "{role}"; RESET ROLE')
            else:
                with pytest.raises(REFUSED):
                    await connection.execute(f'SET ROLE "{role}"')
        for statement in NO_LOG_CHANGE:
            with pytest.raises(REFUSED):
                async with connection.transaction():
                    await connection.execute(statement)
        await connection.close()
