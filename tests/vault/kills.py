"""Processes that end at a statement: forked from one that has imported everything, and really killed.

A statement that was on its way when its process died may still be done by the server, and committed: whoever looks at
what came of it waits until the sessions of the dead have ended.
"""

import asyncio
import multiprocessing
import multiprocessing.process
import os
import re
import signal
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg

from services.log import transaction
from tests.vault.conftest import site_at

Work = Callable[..., Awaitable[object]]
"""What a process does at a site. A function of a module, so that another process can have it."""

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.vault.kills"])

JOIN_S = 30.0
SESSIONS_END_S = 30.0

_KILLED = "tests of kills"
_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1"

_WRITES = re.compile(r"INSERT INTO vault|UPDATE vault|DELETE FROM vault|COMMIT|log\.put")


class _Statements:
    """Counts the statements of this process that write, and kills it at number `stop_at`: after its answer has come, or
    while it is on its way to the server or back."""

    def __init__(self) -> None:
        self.stop_at = 0
        self.answered = True
        self.count = 0

    async def run(self, query: str, statement: Coroutine[Any, Any, Any]) -> Any:
        if not self.stop_at or not _WRITES.search(query):
            return await statement
        self.count += 1
        if self.count == self.stop_at and not self.answered:
            task = asyncio.create_task(statement)
            await asyncio.sleep(0)  # now it is sent
            os.kill(os.getpid(), signal.SIGKILL)
            await task
        result = await statement
        if self.count == self.stop_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


def _counted_by(statements: _Statements) -> type[asyncpg.Connection]:
    class Counted(asyncpg.Connection):  # type: ignore[misc]
        async def execute(self, query: str, *args: Any, **kwargs: Any) -> Any:
            return await statements.run(query, super().execute(query, *args, **kwargs))

        async def fetch(self, query: str, *args: Any, **kwargs: Any) -> Any:
            return await statements.run(query, super().fetch(query, *args, **kwargs))

        async def fetchrow(self, query: str, *args: Any, **kwargs: Any) -> Any:
            return await statements.run(query, super().fetchrow(query, *args, **kwargs))

        async def fetchval(self, query: str, *args: Any, **kwargs: Any) -> Any:
            return await statements.run(query, super().fetchval(query, *args, **kwargs))

    return Counted


def _child(
    url: str, folder: Path, work: Work, arguments: tuple[Any, ...], stop_at: int, answered: bool, begin: bool
) -> None:
    transaction.RECORDED_WITHIN = timedelta(minutes=1)  # a slow machine has no more statements than a fast one

    async def run() -> None:
        statements = _Statements()
        async with site_at(
            url, folder, {"application_name": _KILLED}, connection_class=_counted_by(statements)
        ) as site:
            if begin:
                await site.vault.begin()
            statements.stop_at, statements.answered = stop_at, answered
            await work(site, *arguments)

    asyncio.run(run())


async def killed_at(
    url: str, folder: Path, work: Work, *arguments: Any, stop_at: int, answered: bool, begin: bool = True
) -> bool:
    """Run the work in a process that is killed at its writing statement number `stop_at`, answered or on its way.

    When this returns, the server has ended whatever the process had begun. False: the work has no such statement.
    begin: the vault begins before the work does.
    """
    process = _forks.Process(target=_child, args=(url, folder, work, arguments, stop_at, answered, begin))
    process.start()
    await asyncio.to_thread(process.join, JOIN_S)
    code = process.exitcode
    assert code in (0, -signal.SIGKILL), f"the process ended with {code}"
    await _sessions_ended(url)
    return code != 0


async def _sessions_ended(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(SESSIONS_END_S):
            while await connection.fetchval(_SESSIONS, _KILLED):  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.01)
    finally:
        await connection.close()
