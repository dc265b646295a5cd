"""The log when its connection breaks, its server goes away, or another writer stops: nothing lost, nothing twice."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from contracts.problems import Unavailable
from services.embedded.postgres import Postgres
from services.embedded.readiness import wait_until
from services.embedded.supervisor import Supervisor
from services.log import writer as writer_module
from services.log.reader import LogReader
from services.log.writer import LogWriter
from tests.log.conftest import MakeWriter, objective


def breaking(when: Callable[[str], bool], moment: str) -> type[asyncpg.Connection]:
    """A connection that breaks once: before, during or after the first statement of which `when` holds."""
    broken = asyncio.Event()

    class Breaking(asyncpg.Connection):  # type: ignore[misc]
        async def execute(self, query: str, *args: Any, **kwargs: Any) -> str:
            return str(await self._breaking(query, super().execute, *args, **kwargs))

        async def fetchval(self, query: str, *args: Any, **kwargs: Any) -> Any:
            return await self._breaking(query, super().fetchval, *args, **kwargs)

        async def _breaking(self, query: str, run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if not when(query) or broken.is_set():
                return await run(query, *args, **kwargs)
            broken.set()
            if moment == "after":
                await run(query, *args, **kwargs)
            statement = asyncio.ensure_future(run(query, *args, **kwargs))
            if moment == "during":
                await asyncio.sleep(0)  # the statement is sent: the server may well carry it out
            self._transport.abort()
            return await statement

    return Breaking


STEPS = {
    "look": lambda query: "AS what" in query,
    "put": lambda query: query.startswith("SELECT log.put"),
    "trusting put": lambda query: "THEN NULL" in query,
    "begin": lambda query: query.startswith("BEGIN"),
    "commit": lambda query: query == "COMMIT",
}


@pytest.mark.parametrize("moment", ["before", "during", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_connection_that_breaks_at_any_step_loses_and_repeats_nothing(
    make_writer: MakeWriter, reader: LogReader, step: str, moment: str
) -> None:
    writer: LogWriter = await make_writer(connection_class=breaking(STEPS[step], moment))
    if step in ("begin", "commit"):
        writer._transactor._locked_groups = 8  # as after a miss
    recorded = []
    for group in (range(5), range(5, 10)):
        recorded += await asyncio.gather(*(writer.append_one(objective(id_=str(n))) for n in group))
    assert sorted(r.position for r in recorded) == list(range(1, 11))
    assert not any(r.repeated for r in recorded)
    assert await reader.head() == 10


async def test_a_writer_process_stopped_at_any_moment_does_not_stop_the_others(
    log_url: str, writer: LogWriter, reader: LogReader
) -> None:
    """SIGSTOP, again and again, then SIGCONT: what it had begun is settled, and nothing is lost or repeated."""
    count = 1000
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.log.worker", log_url, "stopped", str(count), stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout is not None
    won = [await worker.stdout.readline()]
    for _ in range(6):
        assert worker.returncode is None, "it still has something to do"
        worker.send_signal(signal.SIGSTOP)
        before = await reader.head()
        async with asyncio.timeout(10):
            assert (await writer.append_one(objective())).position > before
        worker.send_signal(signal.SIGCONT)
        won.append(await worker.stdout.readline())
    rest, _ = await worker.communicate()
    won += rest.splitlines()
    assert worker.returncode == 0
    assert len({line for line in won if line.strip()}) == count
    assert await reader.head() == 2 * count + 6


async def test_a_session_terminated_by_an_administrator_is_replaced(
    writer: LogWriter, pool: asyncpg.Pool, reader: LogReader
) -> None:
    await writer.append_one(objective())
    await pool.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'certibranche log' "
        "AND datname = current_database()"
    )
    assert (await writer.append_one(objective())).position == 2
    assert await reader.head() == 2


async def test_appends_survive_a_killed_server(
    writer: LogWriter, reader: LogReader, supervisor: Supervisor, postgres: Postgres
) -> None:
    await writer.append_one(objective())
    process_id = supervisor.process_id("postgres")
    appends = [asyncio.create_task(writer.append_one(objective(id_=str(n)))) for n in range(50)]
    os.kill(process_id, signal.SIGKILL)
    recorded = await asyncio.gather(*appends)
    assert sorted(r.position for r in recorded) == list(range(2, 52))
    assert await wait_until(lambda: is_up(postgres), 30)
    assert await reader.head() == 51


async def is_up(postgres: Postgres) -> bool:
    """Whether a server answers: the killed one's last sessions may outlive it for a moment."""
    try:
        connection = await asyncpg.connect(postgres.url("postgres"))
    except (OSError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


async def test_an_outage_answers_503(make_writer: MakeWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "OUTAGE_S", 0.3)

    async def unreachable() -> asyncpg.Connection:
        raise ConnectionRefusedError

    writer: LogWriter = await make_writer()
    writer._connect = unreachable
    with pytest.raises(Unavailable) as unavailable:
        await writer.append_one(objective())
    assert unavailable.value.retry_after_s > 0


async def test_a_writer_that_stops_while_it_holds_the_lock_does_not_stop_the_others(
    log_url: str, writer: LogWriter
) -> None:
    """Its session is ended by the server after idle_in_transaction_session_timeout."""
    stopped = await asyncpg.connect(log_url, server_settings={"idle_in_transaction_session_timeout": "500ms"})
    await stopped.execute("BEGIN; SELECT pg_advisory_xact_lock(7420, 1)")
    recorded = await writer.append_one(objective())
    assert recorded.position == 1
    stopped.terminate()
