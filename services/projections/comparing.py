"""Comparing two builds of a view row by row, in bounded memory: rows are hashed where they are, in buckets by key."""

import contextlib
import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import asyncpg

from services.projections.builds import Connection

BUCKETS = 1_024
TOLD_MAX = 100
"""So many differing keys are named; all are counted."""

# $1: schema.
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = $1 ORDER BY 1"

# $1: table, with its schema. Returns the columns of its primary key.
_KEY = """
SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
WHERE i.indrelid = $1::text::regclass AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum)
"""

# Returns for each bucket how many rows it has, and a digest of them in order of their keys.
_BUCKETS = """
SELECT {bucket}, count(*), sha256(string_agg(sha256(convert_to(r::text, 'UTF8')), ''::bytea ORDER BY {key}))
FROM {table} r GROUP BY 1 ORDER BY 1
"""

# $1: bucket. Returns keys and rows.
_ROWS = "SELECT concat_ws(', ', {key}), r::text FROM {table} r WHERE {bucket} = $1"

_BUCKET = "(hashtextextended(concat_ws(E'\\x1f', {key}), 0) & {last})::int"


class Side(NamedTuple):
    """The tables of a build, and the connection whose snapshot is compared."""

    connection: Connection
    schema: str


class Difference(NamedTuple):
    """A key whose rows are not the same; None where there is no row."""

    table: str
    key: str
    first: str | None
    second: str | None

    def __str__(self) -> str:
        what = "is missing" if self.first is None else "is too much" if self.second is None else "differs"
        return f"{self.table} {self.key}: {what}"


class Comparison(NamedTuple):
    """rows and digest: of the second side. differences: the first TOLD_MAX of `different` keys."""

    rows: int
    digest: str
    different: int
    differences: Sequence[Difference]


@contextlib.asynccontextmanager
async def snapshot(pool: asyncpg.Pool) -> AsyncIterator[Connection]:
    """A connection to which nothing changes any more. It may rest while others are compared with it."""
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield connection


async def compare(first: Side, second: Side) -> Comparison:
    """Compare every table of two builds with the same columns. The first side is the one that may be wrong."""
    rows, different = 0, 0
    digest = hashlib.sha256()
    told: list[Difference] = []
    live = first if not first.schema.startswith("pg_temp") else second
    for (table,) in await live.connection.fetch(_TABLES, live.schema):
        key = [row[0] for row in await live.connection.fetch(_KEY, f"{live.schema}.{table}")]
        ours, theirs = [await _buckets(side, table, key) for side in (first, second)]
        rows += sum(count for count, _ in theirs.values())
        digest.update(repr((table, sorted(theirs.items()))).encode())
        for bucket in sorted(ours.keys() | theirs.keys()):
            if ours.get(bucket) != theirs.get(bucket):
                found = await _differences(first, second, table, key, bucket)
                different += len(found)
                told += found[: TOLD_MAX - len(told)]
    return Comparison(rows, digest.hexdigest(), different, told)


async def _buckets(side: Side, table: str, key: Sequence[str]) -> dict[int, tuple[int, bytes]]:
    rows = await side.connection.fetch(_BUCKETS.format(**_names(side, table, key)))
    return {bucket: (count, digest) for bucket, count, digest in rows}


async def _differences(first: Side, second: Side, table: str, key: Sequence[str], bucket: int) -> list[Difference]:
    ours, theirs = [await _rows(side, table, key, bucket) for side in (first, second)]
    return [
        Difference(table, found, ours.get(found), theirs.get(found))
        for found in sorted(ours.keys() | theirs.keys())
        if ours.get(found) != theirs.get(found)
    ]


async def _rows(side: Side, table: str, key: Sequence[str], bucket: int) -> dict[str, str]:
    return {found: row for found, row in await side.connection.fetch(_ROWS.format(**_names(side, table, key)), bucket)}  # noqa: C416


def _names(side: Side, table: str, key: Sequence[str]) -> dict[str, str]:
    columns = ", ".join(f"r.{column}" for column in key)
    return {
        "table": f"{side.schema}.{table}",
        "key": columns,
        "bucket": _BUCKET.format(key=columns, last=BUCKETS - 1),
    }
