"""The roles of PostgreSQL that the parts of the registry take, and their rights. Made again by every migration."""

import asyncpg

ROLES = ("writer", "vault", "projector", "reader", "relay", "access", "auditor")
"""Nobody logs in as one of them: users do who are members of them (`docs/database-roles.md`)."""

NAME_BYTES_MAX = 63
"""A longer name PostgreSQL would cut, until two are the same."""

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('certibranche_roles'))"

# Rights are taken back before they are given, so that what a release no longer gives is gone.
_GRANTS = """
REVOKE ALL ON SCHEMA log, vault, projections, access FROM {all};
REVOKE ALL ON ALL TABLES IN SCHEMA log, vault, projections, access FROM {all};
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA log FROM PUBLIC, {all};

GRANT USAGE ON SCHEMA log TO {writer}, {projector}, {reader}, {relay}, {auditor};
GRANT SELECT ON ALL TABLES IN SCHEMA log TO {writer}, {projector}, {reader}, {relay}, {auditor};
GRANT INSERT ON log.event, log.tag, log.type TO {writer};
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA log TO {writer};

GRANT USAGE ON SCHEMA vault TO {vault};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA vault TO {vault};

GRANT USAGE ON SCHEMA projections TO {projector}, {reader}, {relay};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA projections TO {projector};
GRANT SELECT ON ALL TABLES IN SCHEMA projections TO {reader};
GRANT SELECT, INSERT, UPDATE ON projections.lease TO {relay};

GRANT USAGE ON SCHEMA access TO {access}, {auditor};
GRANT SELECT ON ALL TABLES IN SCHEMA access TO {access}, {auditor};
GRANT INSERT, DELETE ON access.entry TO {access};

-- The projector makes and drops the tables of views (rebuilds), so they are its own, in whichever schema they are.
GRANT CREATE ON DATABASE {database} TO {projector};
ALTER DEFAULT PRIVILEGES FOR ROLE {projector} GRANT USAGE ON SCHEMAS TO {reader};
ALTER DEFAULT PRIVILEGES FOR ROLE {projector} GRANT SELECT ON TABLES TO {reader};
"""

_VIEW_SCHEMAS = "SELECT schema FROM projections.view ORDER BY schema"

# $1: schema, $2: owner. A change of owner locks out readers and the follower, so none is made in vain.
_OTHERS_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = $1 AND tableowner <> $2 ORDER BY tablename"

_GRANT_VIEW = """
ALTER SCHEMA {schema} OWNER TO {projector};
GRANT USAGE ON SCHEMA {schema} TO {reader};
GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {reader};
"""


async def make_roles(connection: asyncpg.Connection) -> str | None:
    """Make the roles that are missing, and give each its rights on the tables there are: all of it, or nothing.

    None when it is done. Else why not: this user may not make roles, or give rights; everything works without, with the
    rights that users have been given otherwise.
    """
    database: str = await connection.fetchval("SELECT current_database()")
    if len(f"{database}_projector".encode()) > NAME_BYTES_MAX:
        return f"no roles are made: the name of database {database} is too long to name them after"
    names = {role: _quoted(f"{database}_{role}") for role in ROLES}
    try:
        async with connection.transaction():
            await connection.execute(_LOCK)
            await _create(connection, database)
            await connection.execute(_GRANTS.format(database=_quoted(database), all=", ".join(names.values()), **names))
            for row in await connection.fetch(_VIEW_SCHEMAS):
                await _grant_view(connection, row["schema"], f"{database}_projector", names)
    except asyncpg.InsufficientPrivilegeError as error:
        return f"no roles are made ({error}): processes keep all rights of their users; see docs/database-roles.md"
    return None


async def _create(connection: asyncpg.Connection, database: str) -> None:
    """The roles, which the migration's own user may be too: it changes what they own."""
    known = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
    for role in ROLES:
        if (name := f"{database}_{role}") not in known:
            await connection.execute(f"CREATE ROLE {_quoted(name)} NOLOGIN")
            await connection.execute(f"GRANT {_quoted(name)} TO CURRENT_USER")


async def _grant_view(connection: asyncpg.Connection, schema: str, owner: str, names: dict[str, str]) -> None:
    await connection.execute(_GRANT_VIEW.format(schema=_quoted(schema), **names))
    for row in await connection.fetch(_OTHERS_TABLES, schema, owner):
        table = f"{_quoted(schema)}.{_quoted(row['tablename'])}"
        await connection.execute(f"ALTER TABLE {table} OWNER TO {_quoted(owner)}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
