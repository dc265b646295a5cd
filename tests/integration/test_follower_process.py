"""The processes of the read side: they start before their servers, end when told to, and say how it went."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from contracts.facts import Fact
from contracts.subjects import STREAM
from services.embedded.nats import Nats
from services.projections.relay import Servers, connect, migrate_stream
from tests.integration.filled_log import FilledLog, filled_log, until
from tests.ports import free_port
from tests.unit.careers import person, published

HISTORY: list[Fact] = [published("cqpm-a"), person(1)]


@pytest_asyncio.fixture
async def log(database_url: str) -> AsyncIterator[FilledLog]:
    async with filled_log(database_url) as filled:
        await filled.put(HISTORY)
        yield filled


async def start(command: str, database_url: str, nats_url: str = "") -> asyncio.subprocess.Process:
    settings = {"CERTIBRANCHE_DATABASE_URL": database_url, "CERTIBRANCHE_NATS_URL": nats_url}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", command), env=os.environ | settings, stderr=asyncio.subprocess.PIPE
    )


async def ended(process: asyncio.subprocess.Process, number: signal.Signals) -> tuple[int | None, str]:
    """How the process ends that is told to: at once, and its last words."""
    process.send_signal(number)
    async with asyncio.timeout(5):
        _, said = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_follow_keeps_the_views_up_to_date_until_it_is_told_to_end(
    log: FilledLog, number: signal.Signals
) -> None:
    process = await start("follow", log.url)

    async def followed() -> bool:
        return await log.position("competencies") == await log.position("counts") == len(HISTORY)

    await until(followed)
    code, said = await ended(process, number)
    assert code == 0, said
    assert "Traceback" not in said


async def test_relay_publishes_until_it_is_told_to_end(log: FilledLog, nats_server: Nats) -> None:
    await migrate_stream(Servers(nats_server.admin_url))
    client = await connect(Servers(nats_server.relay_url))
    process = await start("relay", log.url, nats_server.relay_url)

    async def published_all() -> bool:
        return (await client.jetstream().stream_info(STREAM)).state.last_seq == len(HISTORY)

    await until(published_all)
    code, said = await ended(process, signal.SIGTERM)
    assert code == 0, said
    assert "Traceback" not in said
    await client.close()


async def test_a_relay_whose_stream_has_diverged_fails(log: FilledLog, nats_server: Nats) -> None:
    await migrate_stream(Servers(nats_server.admin_url))
    client = await connect(Servers(nats_server.relay_url))
    await client.jetstream().publish("certibranche.v1.0.person.registered.-", b"of another registry")
    process = await start("relay", log.url, nats_server.relay_url)
    async with asyncio.timeout(20):
        _, said = await process.communicate()
    assert process.returncode == 1
    assert "the stream and the log differ at 1" in said.decode()
    await client.close()


@pytest.mark.parametrize("command", ["follow", "relay"])
async def test_it_waits_for_servers_that_are_not_there_yet(command: str) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    process = await start(command, f"postgresql://nobody@{nowhere}/none", f"nats://{nowhere}")
    assert process.stderr is not None
    first = await asyncio.wait_for(process.stderr.readline(), 20)
    assert b"view.unreachable" in first or b"nats.error" in first
    code, said = await ended(process, signal.SIGTERM)
    assert code == 0, said
    assert "Traceback" not in said
