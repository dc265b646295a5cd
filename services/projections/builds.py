"""The builds of views: each is one set of tables, in a schema of its own, with how far and of what it was made."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import asyncpg

from contracts.facts import Fact
from contracts.problems import Unavailable
from services.projections.events import Event, Placed

if TYPE_CHECKING:
    from services.projections.writes import Folded

Connection: TypeAlias = "asyncpg.Connection | asyncpg.pool.PoolConnectionProxy"
Asked: TypeAlias = "Connection | asyncpg.Pool"
"""What single statements may be asked of."""

NEXT = ":next"
OLD = ":old"
"""What is added to a view's name for the build that is being filled, and for the one before the live one."""

NOTHING = bytes(32)
"""The digest of no events."""

# $1: build. FOR UPDATE where it is to be changed: whoever moves it waits.
_READ = "SELECT name, schema, version, layout, position, events, parked, digest FROM projections.view WHERE name = $1"

# $1: build, $2: schema, $3, $4: version and layout.
_CREATE = "INSERT INTO projections.view (name, schema, version, layout) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"

_DELETE = "DELETE FROM projections.view WHERE name = $1"
_FORGET_PARKED = "DELETE FROM projections.parked WHERE schema = $1"
_RENAME = "UPDATE projections.view SET name = $2 WHERE name = $1"

# $1: view. The names of its schemas, and of what looks like them.
_SCHEMAS = r"SELECT nspname FROM pg_namespace WHERE nspname = $1 OR nspname LIKE $1 || '\_%'"


class View(Protocol):
    """What is kept up to date: a name, the facts it folds, and how.

    version: the meaning of its rows. Who changes it in the code has every installation build the view anew.
    layout: the columns of its tables; a reader takes no other than its own.
    ddl: the tables, as SQL without schema; where ids are merged, `alias (merged_id, kept_id)` is one of them.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def layout(self) -> int: ...

    @property
    def ddl(self) -> str: ...

    @property
    def merges(self) -> bool: ...

    @property
    def facts(self) -> Sequence[type[Fact]]: ...

    def keys(self, event: Event) -> Sequence[str]:
        """What the event is about: it changes nothing else, and nothing else changes what it does."""

    async def fold(self, connection: Asked, schema: str, events: Sequence[Placed], before: Any = None) -> "Folded":
        """What the events change. Each event comes once, in the log's order; the tables stay as they are meanwhile, or
        what is returned is thrown away. No write may rest on what another one does.

        before: the state that the events just before these have left, while the tables may have what they wrote or not.
        """


class Build(NamedTuple):
    """A row of projections.view."""

    name: str
    schema: str
    version: int
    layout: int
    position: int
    events: int
    parked: int
    digest: bytes

    def check_layout(self, view: View) -> None:
        """Raise Unavailable when this program does not know the columns of the tables."""
        if self.layout != view.layout:
            raise Unavailable(f"View {view.name} is being built for this release.", retry_after_s=5)


async def read_build(connection: "Connection | asyncpg.Pool", name: str, *, lock: bool = False) -> Build | None:
    """The build of this name, None when there is none. lock: it stays as it is until the transaction ends."""
    row = await connection.fetchrow(_READ + " FOR UPDATE" if lock else _READ, name)
    return None if row is None else Build(*row)


async def create_build(connection: Connection, view: View, name: str) -> None:
    """Make empty tables, and the row that finds them; nothing when there are such. In the caller's transaction."""
    found = [row[0] for row in await connection.fetch(_SCHEMAS, view.name)]
    numbers = [int(match[1]) for schema in found if (match := re.fullmatch(rf"{view.name}_(\d+)", schema))]
    schema = f"{view.name}_{max(numbers, default=1) + 1}" if found else view.name
    if await connection.execute(_CREATE, name, schema, view.version, view.layout) == "INSERT 0 1":
        await connection.execute(f'CREATE SCHEMA "{schema}"')
        await create_tables(connection, view, schema)


async def create_tables(connection: Connection, view: View, schema: str) -> None:
    """Make the view's tables in a schema, in the caller's transaction."""
    await connection.execute(f'SET LOCAL search_path = "{schema}";\n{view.ddl};\nSET LOCAL search_path TO DEFAULT')


async def drop_build(connection: Connection, name: str) -> None:
    """Remove a build that nobody reads, in the caller's transaction; nothing when there is none."""
    build = await read_build(connection, name, lock=True)
    if build is not None:
        await connection.execute(_DELETE, name)
        await connection.execute(_FORGET_PARKED, build.schema)
        await connection.execute(f'DROP SCHEMA "{build.schema}" CASCADE')


async def rename_builds(connection: Connection, *renamings: tuple[str, str]) -> None:
    """Give builds other names, one after the other, in the caller's transaction."""
    for old, new in renamings:
        await connection.execute(_RENAME, old, new)


class Live:
    """Finds the live tables of a view for readers, and remembers them: they change once in a blue moon."""

    def __init__(self, pool: asyncpg.Pool, view: View) -> None:
        self._pool = pool
        self._view = view
        self._schema: str | None = None

    async def schema(self) -> str:
        """Where they are. Whoever then finds that they are live no more calls `forget`, and asks again."""
        if self._schema is None:
            self._schema = (await self.build()).schema
        return self._schema

    async def build(self) -> Build:
        """The live build as it is now. Unavailable when its tables are not those that this program reads."""
        build = await read_build(self._pool, self._view.name)
        if build is None:
            raise Unavailable(f"View {self._view.name} is being built.", retry_after_s=5)
        build.check_layout(self._view)
        return build

    def forget(self) -> None:
        """The tables may be others by now."""
        self._schema = None
