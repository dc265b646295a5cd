"""Who a connection is to PostgreSQL: each part of the registry takes the role that may do what it does, and no more.

Roles are named after their database (`certibranche_writer`), and made by `certibranche migrate`. Where they are
missing, or are not the user's to take, a connection stays who it is.
"""

from typing import Any, Literal, TypeAlias

import asyncpg
import structlog

Connection: TypeAlias = "asyncpg.Connection | asyncpg.pool.PoolConnectionProxy"

Role = Literal["writer", "vault", "projector", "reader", "relay", "access", "auditor"]
"""writer: appends to the log. vault: keeps identities. projector: keeps views. reader: answers out of log and views.
relay: reads the log, and holds its lease. access: records who looked. auditor: reads the log and that record; for
people, no process of ours takes it."""

# $1: the part's name. A role lasts as long as the connection. No row: it was not taken.
_TAKE = """
SELECT set_config('role', rolname, false) FROM pg_roles
WHERE rolname = current_database() || '_' || $1 AND pg_has_role(oid, 'MEMBER')
"""

log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche.log")


async def take(connection: Connection, role: Role) -> None:
    """Be this role from now on, if it is there to be taken."""
    if await connection.fetchval(_TAKE, role) is None:
        log.info("database_role_missing", role=role)


async def connect(database_url: str, role: Role, **options: Any) -> asyncpg.Connection:
    """A connection in this role. options: asyncpg's own."""
    connection: asyncpg.Connection = await asyncpg.connect(database_url, **options)
    try:
        await take(connection, role)
    except BaseException:
        connection.terminate()
        raise
    return connection
