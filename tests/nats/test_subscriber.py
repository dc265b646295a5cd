"""The subscriber of `contracts/subscriber`: every event once and in order, whatever happens to it or to its durable."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import nats.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client

from contracts.subjects import STREAM
from contracts.subscriber import subscriber as example
from contracts.subscriber.sqlite_store import SqliteStore
from contracts.subscriber.subscriber import Event, NotTheLog, Subscriber
from services.embedded.nats import Nats
from services.projections.relay import Relay, Servers, connect
from services.subscribers.durable import make_durable
from services.tasks import cancelled
from tests.integration.filled_log import FilledLog, until
from tests.nats.relays import OwnServer, administrator, arrived, persons, relaying
from tests.nats.test_relay_faults import abort

DURABLE = "billing"


@pytest_asyncio.fixture
async def stream(log: FilledLog, admin: Client, nats_server: Nats) -> AsyncIterator[Servers]:
    """A stream of 12 events that goes on with the log, and a durable to read it by."""
    async with relaying(Relay(admin, log.reader, log.news)):
        await arrived(admin, 12)
        await make_durable(Servers(nats_server.admin_url), STREAM, DURABLE, [])
        yield Servers(nats_server.admin_url)


subscriber = partial(Subscriber, fetch_s=0.4)


@contextlib.asynccontextmanager
async def subscribing(running: Subscriber) -> AsyncIterator[None]:
    """Run it meanwhile; it may not give up."""
    stop = asyncio.Event()
    task = asyncio.create_task(running.run(stop))
    yield
    stop.set()
    await asyncio.wait_for(task, 30)


async def followed(store: SqliteStore, log: FilledLog, limit_s: float = 30.0) -> None:
    """Return when the store has all of the log, as it is."""

    async def there() -> bool:
        return store.position == await log.reader.head()

    await until(there, limit_s)
    assert store.bodies() == await log.bytes_of_all()


async def test_it_follows(log: FilledLog, stream: Servers, admin: Client, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store")
    async with subscribing(subscriber(admin, STREAM, DURABLE, store)):
        await followed(store, log)
        await log.put(persons(100, 700))
        await followed(store, log)


async def test_it_goes_on_after_a_restart(log: FilledLog, stream: Servers, admin: Client, tmp_path: Path) -> None:
    for round_ in range(3):
        store = SqliteStore(tmp_path / "store")
        async with subscribing(subscriber(admin, STREAM, DURABLE, store)):
            await followed(store, log)
        await log.put(persons(100 * round_ + 100, 3))


class Killed(BaseException):
    """The process is no more."""


class Mortal(Client):
    """A connection whose process is killed when it sends its nth message: a rewind, a fetch or an acknowledgement."""

    steps_left = 0

    async def publish(self, *arguments: Any, **options: Any) -> None:
        if self.steps_left == 0:
            abort(self)
            raise Killed
        self.steps_left -= 1
        await super().publish(*arguments, **options)


async def test_killed_at_any_step_it_neither_misses_nor_repeats(
    log: FilledLog, stream: Servers, admin: Client, tmp_path: Path
) -> None:
    for steps in range(18):
        store = SqliteStore(tmp_path / f"store{steps}")
        dying = Mortal()
        await dying.connect(stream.url, allow_reconnect=False)
        dying.steps_left = steps
        victim = asyncio.create_task(subscriber(dying, STREAM, DURABLE, store).run(asyncio.Event()))
        done = asyncio.create_task(followed(store, log))
        await asyncio.wait((victim, done), return_when=asyncio.FIRST_COMPLETED)
        await cancelled(victim)
        async with subscribing(subscriber(admin, STREAM, DURABLE, store)):
            await done
        await dying.close()


class Failing(SqliteStore):
    """A store whose process is killed just before, or just after it commits."""

    kill: Callable[[], None] | None = None
    commits_first = False

    def apply(self, events: Sequence[Event]) -> None:
        if self.kill is not None and not self.commits_first:
            self._die()
        super().apply(events)
        if self.kill is not None:
            self._die()

    def _die(self) -> None:
        self.kill = None
        raise RuntimeError("killed")


@pytest.mark.parametrize("commits_first", [False, True])
async def test_killed_around_its_commit_it_neither_misses_nor_repeats(
    log: FilledLog, stream: Servers, admin: Client, tmp_path: Path, commits_first: bool
) -> None:
    store = Failing(tmp_path / "store")
    store.kill, store.commits_first = abort, commits_first  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="killed"):
        await subscriber(admin, STREAM, DURABLE, store).run(asyncio.Event())
    async with subscribing(subscriber(admin, STREAM, DURABLE, store)):
        await followed(store, log)


async def test_stolen_deliveries_are_read_again(log: FilledLog, stream: Servers, admin: Client, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store")
    thief = await connect(stream)
    stolen = 0

    async def steal() -> None:
        nonlocal stolen
        cursor = await thief.jetstream(timeout=5).pull_subscribe_bind(consumer=DURABLE, stream=STREAM)
        while True:
            with contextlib.suppress(nats.errors.Error, TimeoutError):
                stolen += len(await cursor.fetch(3, timeout=0.2))

    stealing = asyncio.create_task(steal())
    async with subscribing(subscriber(admin, STREAM, DURABLE, store)):
        for round_ in range(10):
            await log.put(persons(100 + 10 * round_, 10))

        async def robbed() -> bool:
            return stolen > 5

        await until(robbed)
        await cancelled(stealing)
        await followed(store, log, 60)
    await thief.close()


async def test_a_durable_rewound_or_moved_by_somebody_else_does_no_harm(
    log: FilledLog, stream: Servers, admin: Client, tmp_path: Path
) -> None:
    store = SqliteStore(tmp_path / "store")
    async with subscribing(subscriber(admin, STREAM, DURABLE, store)):
        await followed(store, log)
        for moved_to in (1, 100, 7):
            await admin.jetstream().reset_consumer(STREAM, DURABLE, seq=moved_to)
            await log.put(persons(1000 + 10 * moved_to, 3))
            await followed(store, log, 60)


async def test_a_durable_made_again_does_no_harm(
    log: FilledLog, stream: Servers, admin: Client, tmp_path: Path
) -> None:
    store = SqliteStore(tmp_path / "store")
    async with subscribing(subscriber(admin, STREAM, DURABLE, store)):
        await followed(store, log)
        await admin.jetstream().delete_consumer(STREAM, DURABLE)
        await make_durable(stream, STREAM, DURABLE, [])
        await log.put(persons(100, 3))
        await followed(store, log, 60)


async def test_a_killed_and_rolled_back_server_does_no_harm(
    log: FilledLog, own_server: OwnServer, tmp_path: Path
) -> None:
    servers = Servers(own_server.nats.admin_url)
    store = SqliteStore(tmp_path / "store")
    async with administrator(servers.url) as admin, administrator(servers.url) as client:
        await make_durable(servers, STREAM, DURABLE, [])
        relay = Relay(admin, log.reader, log.news, answer_s=1)
        async with relaying(relay), subscribing(subscriber(client, STREAM, DURABLE, store)):
            await followed(store, log)
            await own_server.copy_files()
            await log.put(persons(100, 5))
            await followed(store, log)
            await own_server.roll_back()
            await log.put(persons(200, 5))
            await followed(store, log, 60)


async def test_a_filtered_durable_gets_what_matches_in_order(
    log: FilledLog, stream: Servers, admin: Client, tmp_path: Path
) -> None:
    info = await admin.jetstream().get_msg(STREAM, seq=4, direct=True)
    assert info.subject is not None
    await make_durable(stream, STREAM, "some", [info.subject])
    store = SqliteStore(tmp_path / "store")
    async with subscribing(subscriber(admin, STREAM, "some", store, filtered=True)):

        async def reached() -> bool:
            return store.position >= 4

        await until(reached)
    assert (await log.bytes_of_all())[3] in store.bodies()


async def test_an_event_of_another_position_stops_it(admin: Client, nats_server: Nats, tmp_path: Path) -> None:
    await admin.jetstream().publish("certibranche.v1.1.person.registered.-", b'{"sequence": "0000000000000000002"}')
    await make_durable(Servers(nats_server.admin_url), STREAM, DURABLE, [])
    store = SqliteStore(tmp_path / "store")
    with pytest.raises(NotTheLog):
        await asyncio.wait_for(subscriber(admin, STREAM, DURABLE, store).run(asyncio.Event()), 20)
    assert store.position == 0


def test_the_example_needs_nothing_of_ours() -> None:
    """Who copies it gets nats-py and the standard library."""
    text = Path(example.__file__).read_text()
    assert "import contracts" not in text
    assert "from contracts" not in text
    assert "services" not in text
