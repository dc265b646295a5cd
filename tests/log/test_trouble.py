"""The log when its connection breaks, its server goes away, or another writer stops: nothing lost, nothing twice."""

import asyncio
import os
import signal
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


def breaking(when: Callable[[str], bool], *, after: bool) -> type[asyncpg.Connection]:
    """A connection that breaks once, before or after the first statement of which `when` holds."""
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
            if after:
                await run(query, *args, **kwargs)
            self._transport.abort()
            return await run(query, *args, **kwargs)

    return Breaking


STEPS = {
    "begin": lambda query: query.startswith("BEGIN"),
    "put": lambda query: "log.put" in query,
    "commit": lambda query: query == "COMMIT",
}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_connection_that_breaks_at_any_step_loses_and_repeats_nothing(
    make_writer: MakeWriter, reader: LogReader, step: str, after: bool
) -> None:
    writer: LogWriter = await make_writer(connection_class=breaking(STEPS[step], after=after))
    recorded = await asyncio.gather(*(writer.append_one(objective(id_=str(n))) for n in range(5)))
    assert sorted(r.position for r in recorded) == [1, 2, 3, 4, 5]
    assert not any(r.repeated for r in recorded)
    assert await reader.head() == 5


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
