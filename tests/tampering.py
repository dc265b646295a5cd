"""Changing what never changes, as a superuser can who means to: past the log's triggers."""

from typing import Any

import asyncpg


async def tamper(pool: asyncpg.Pool, statement: str, *arguments: Any) -> None:
    """Execute a statement that the log refuses to everybody else."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(statement, *arguments)
