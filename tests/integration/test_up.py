"""`certibranche up`: what crashes comes back, what is stopped is gone, what was stored stays."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import nats
import pytest
import pytest_asyncio
from nats.aio.client import Client

from services.embedded.data_folder import DataFolder
from services.embedded.nats import Nats
from services.embedded.postgres import Postgres
from services.embedded.readiness import http_ok, wait_until
from tests.ports import free_port

STAND_IN = Path(__file__).with_name("stand_in.py")
LIMIT_S = 30.0


class Up:
    """One data folder, and the `up` that runs on it."""

    def __init__(self, data: Path) -> None:
        self.folder = DataFolder(data)
        self.api_port, self.nats_port = free_port(), free_port()
        self.environment: dict[str, str] = {}
        self.broken = ""
        self.process: asyncio.subprocess.Process | None = None

    async def launch(self) -> asyncio.subprocess.Process:
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, STAND_IN, "up", self.folder.path, str(self.api_port), str(self.nats_port), self.broken),
            env=os.environ | self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return self.process

    async def start(self) -> None:
        process = await self.launch()
        assert process.stdout is not None
        said = await asyncio.wait_for(process.stdout.readline(), LIMIT_S)
        if said != b"ready\n":
            pytest.fail(f"up did not start: {await self.refusal()}")

    async def refusal(self) -> str:
        """What it says when it ends by itself, with exit code 1."""
        assert self.process is not None
        _, said = await asyncio.wait_for(self.process.communicate(), LIMIT_S)
        assert self.process.returncode == 1, said
        return said.decode()

    async def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        await asyncio.wait_for(self.process.communicate(), LIMIT_S)
        assert self.process.returncode is not None
        return self.process.returncode

    def child(self, name: str) -> int | None:
        return self.children().get(name)

    def children(self) -> dict[str, int]:
        """The process of each child, by name."""
        assert self.process is not None
        found = {}
        supervisor = self.process.pid
        for number in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{number}/cmdline").read_text().split("\0")
                if words == [""]:  # it has ended
                    continue
                name = {"postgres": "postgres", "nats-server": "nats"}.get(Path(words[0]).name, words[-2])
                found[name] = int(number)
        return found

    async def note(self, text: str) -> None:
        """Store a row in PostgreSQL and a message in the stream."""
        database = await asyncpg.connect(Postgres(self.folder).url())
        await database.execute("INSERT INTO note VALUES ($1)", text)
        await database.close()
        async with self.broker("relay") as broker:
            await broker.jetstream().publish("certibranche.v1.0.a.b.-", text.encode())

    async def notes(self) -> tuple[list[str], int]:
        """The rows, and the stream's last sequence as a reader sees it."""
        database = await asyncpg.connect(Postgres(self.folder).url())
        rows = await database.fetch("SELECT text FROM note")
        await database.close()
        async with self.broker("reader") as broker:
            info = await broker.jetstream().stream_info("CERTIBRANCHE")
        return [row["text"] for row in rows], info.state.last_seq

    @contextlib.asynccontextmanager
    async def broker(self, user: str, **options: object) -> AsyncIterator[Client]:
        url = getattr(Nats(self.folder, self.nats_port), f"{user}_url")
        connection = await nats.connect(url, allow_reconnect=False, **options)
        try:
            yield connection
        finally:
            await connection.close()


@pytest_asyncio.fixture
async def up(tmp_path: Path) -> AsyncIterator[Up]:
    made = Up(tmp_path / "data")
    yield made
    if made.process is not None and made.process.returncode is None:
        await made.end(signal.SIGTERM)
    shutil.rmtree(made.folder.path, ignore_errors=True)


async def eventually(condition: Callable[[], object]) -> None:
    async def holds() -> bool:
        return bool(condition())

    assert await wait_until(holds, LIMIT_S)


def alive(process_id: int) -> bool:
    """Whether it runs; a zombie, which nobody has waited for yet, does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_stopping_ends_every_process_and_keeps_the_data(up: Up) -> None:
    await up.start()
    await up.note("first")
    children = up.children()
    assert set(children) == {"postgres", "nats", "serve", "follow", "relay"}
    assert await up.end(signal.SIGINT) == 0
    assert not any(alive(process_id) for process_id in children.values())
    assert not (up.folder.path / "run.json").exists()
    await up.start()
    assert await up.notes() == (["first"], 1)


@pytest.mark.parametrize("name", ["postgres", "nats", "serve", "follow", "relay"])
async def test_a_killed_child_is_restarted(up: Up, name: str) -> None:
    await up.start()
    await up.note("first")
    killed = up.children()[name]
    os.kill(killed, signal.SIGKILL)
    await eventually(lambda: up.child(name) not in (None, killed))

    async def works() -> bool:
        with contextlib.suppress(OSError, asyncpg.PostgresError, nats.errors.Error):
            return await up.notes() == (["first"], 1) and await http_ok("127.0.0.1", up.api_port, "/health/live")
        return False

    assert await wait_until(works, LIMIT_S)


async def test_a_child_that_keeps_crashing_is_restarted_ever_more_slowly(up: Up) -> None:
    up.broken = "relay"
    await up.start()
    assert up.process is not None
    assert up.process.stderr is not None
    told = [await asyncio.wait_for(up.process.stderr.readline(), LIMIT_S) for _ in range(3)]
    assert [line.split()[-2] for line in told] == [b"0.2", b"0.4", b"0.8"]


async def test_no_child_outlives_a_killed_supervisor_and_the_next_one_goes_on(up: Up) -> None:
    await up.start()
    await up.note("first")
    children = up.children()
    await up.end(signal.SIGKILL)
    await up.start()  # at once: PostgreSQL may still be ending
    assert not any(alive(process_id) for process_id in children.values())
    assert await up.notes() == (["first"], 1)


async def test_a_new_start_goes_on_after_everything_was_killed(up: Up) -> None:
    await up.start()
    await up.note("first")
    children = up.children()
    assert up.process is not None
    os.kill(up.process.pid, signal.SIGSTOP)  # so that it restarts nothing meanwhile
    for process_id in children.values():
        os.kill(process_id, signal.SIGKILL)
    await up.end(signal.SIGKILL)
    await up.start()
    assert await up.notes() == (["first"], 1)


async def test_a_postgres_that_survived_its_supervisor_is_replaced(up: Up) -> None:
    await up.start()
    await up.note("first")
    survivor = up.children()["postgres"]
    os.kill(survivor, signal.SIGSTOP)  # so that it does not hear of its parent's end
    await up.end(signal.SIGKILL)
    assert alive(survivor)
    os.kill(survivor, signal.SIGCONT)
    await up.start()
    assert not alive(survivor)
    assert await up.notes() == (["first"], 1)


async def test_a_pid_file_whose_number_is_someone_elses_now_is_no_obstacle(up: Up) -> None:
    await up.start()
    await up.end(signal.SIGTERM)
    data = Postgres(up.folder).data
    stale = data / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{data}\n1700000000\n5432\n{data}\n\n")
    shutil.copystat(data, stale)
    os.chown(stale, data.stat().st_uid, data.stat().st_gid)
    await up.start()


async def test_an_interrupted_initdb_is_begun_again(up: Up) -> None:
    up.folder.make()
    (up.folder.path / "pg18.unfinished" / "base").mkdir(parents=True)
    await up.start()


async def test_another_major_version_is_refused(up: Up) -> None:
    up.folder.make()
    (up.folder.path / "pg18").mkdir()
    (up.folder.path / "pg18" / "PG_VERSION").write_text("17\n")
    await up.launch()
    assert "is of PostgreSQL 17, this is PostgreSQL 18" in await up.refusal()


async def test_a_long_path_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    up = Up(tmp_path / ("long-" * 20) / "data")
    await up.start()
    try:
        await up.note("first")
        elsewhere = Postgres(up.folder).sockets
        assert elsewhere.stat().st_mode & 0o777 == 0o700
    finally:
        await up.end(signal.SIGTERM)
    assert not elsewhere.exists()


@pytest.mark.parametrize("which", ["api_port", "nats_port"])
async def test_a_port_in_use_is_told_before_anything_starts(up: Up, which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        setattr(up, which, port)
        await up.launch()
        refusal = await up.refusal()
    assert refusal.count("\n") == 1
    assert f"port {port} on 127.0.0.1" in refusal
    assert not (up.folder.path / "pg18").exists()


async def test_a_data_folder_has_one_supervisor(up: Up) -> None:
    await up.start()
    second = Up(up.folder.path)
    await second.launch()
    assert f"another `certibranche up` is using the data folder {up.folder.path}" in await second.refusal()
    assert await up.notes() == ([], 0)


async def test_a_failing_migration_ends_it_with_the_reason(up: Up) -> None:
    up.broken = "migrate"
    await up.launch()
    assert "migrate ended with exit code 1: the stand-in is broken on purpose" in await up.refusal()


async def test_it_can_be_stopped_while_it_starts(up: Up) -> None:
    await up.launch()
    await eventually((up.folder.path / "pg18").exists)
    assert await up.end(signal.SIGTERM) == 0


async def test_given_servers_replace_the_embedded_ones(up: Up, database_url: str, nats_server: Nats) -> None:
    up.environment = {
        "CERTIBRANCHE_DATABASE_URL": database_url,
        "CERTIBRANCHE_NATS_URL": nats_server.admin_url,
    }
    await up.start()
    assert set(up.children()) == {"serve", "follow", "relay"}
    assert up.folder.running().nats_port is None
