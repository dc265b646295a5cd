"""Three NATS servers, every message on each, under posting: servers die and the stream is the log all the same."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import nats.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client

from contracts.subjects import STREAM
from contracts.subscriber.sqlite_store import SqliteStore
from contracts.subscriber.subscriber import Subscriber
from services.embedded.supervisor import Supervisor
from services.projections import metrics
from services.projections.relay import Relay, Retention, connect, migrate_stream
from services.subscribers.accounts import account_name, subscriber_account
from services.subscribers.durable import make_durable
from services.subscribers.keys import new_seed, public_key
from tests.integration.filled_log import FilledLog, filled_log, until
from tests.nats.production import Site
from tests.nats.relays import check_stream, persons, relaying, stream_info

SERVERS = 3
FORM_S = 30.0
RECOVER_S = 90.0
HEALTHY_EVENTS = 100
"""So many events must pass before, and after, each trouble."""


class Cluster:
    """Three servers with the configuration that is shipped. `sites` tells what users need."""

    def __init__(self, path: Path) -> None:
        self.site = Site(path, SERVERS)
        self.seed = new_seed()
        self.site.add(account_name("billing"), subscriber_account("billing", {"nkey": public_key(self.seed)}))
        self._supervisor = Supervisor(print)
        self._may_run = [asyncio.Event() for _ in range(SERVERS)]

    async def start(self) -> None:
        for number, may_run in enumerate(self._may_run):
            may_run.set()
            await self._supervisor.start(replace(self.site.program(number), prepare=self._until_allowed(number)))

    async def stop(self) -> None:
        for may_run in self._may_run:
            may_run.set()
        await self._supervisor.stop()

    def kill(self, number: int, how: signal.Signals = signal.SIGKILL) -> None:
        """End a server; it stays away until it is let back."""
        self._may_run[number].clear()
        process_id = self._supervisor.process_id(f"nats {number}")
        assert process_id is not None
        os.kill(process_id, how)

    def let_back(self, number: int) -> None:
        self._may_run[number].set()

    def _until_allowed(self, number: int) -> Callable[[], Awaitable[None]]:
        async def allowed() -> None:
            await self._may_run[number].wait()

        return allowed


class Scene:
    """A cluster under posting, with two relays and a subscriber."""

    def __init__(self, cluster: Cluster, log: FilledLog, admin: Client, store: SqliteStore) -> None:
        self.cluster = cluster
        self.log = log
        self.store = store
        self._admin = admin

    async def leader(self) -> int:
        """The number of the server that leads the stream, once all replicas are current."""
        found: list[int] = []

        async def known() -> bool:
            info = await stream_info(self._admin)
            if info is None or info.cluster is None or not info.cluster.leader:
                return False
            if not all(peer.current for peer in info.cluster.replicas or []):
                return False
            found.append(int(info.cluster.leader.removeprefix("n")))
            return True

        await until(known, RECOVER_S)
        return found[-1]

    async def passed(self, count: int = HEALTHY_EVENTS) -> None:
        """Return when so many more events have reached the subscriber."""
        goal = self.store.position + count

        async def there() -> bool:
            return self.store.position >= goal

        await until(there, RECOVER_S)

    async def stall(self, trouble: Callable[[], Awaitable[None]]) -> float:
        """The longest time without a new event in the stream, from the beginning of a trouble to its end."""
        longest_s, last, since = 0.0, -1.0, time.monotonic()
        over = asyncio.create_task(trouble())
        while not over.done():
            await asyncio.sleep(0.01)
            position = metrics.RELAY_POSITION._value.get()
            longest_s = max(longest_s, time.monotonic() - since)
            if position != last:
                last, since = position, time.monotonic()
        await over
        return longest_s


@pytest_asyncio.fixture
async def scene(database_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    cluster = Cluster(tmp_path / "site")
    await cluster.start()
    await _made(cluster)
    clients = [await connect(cluster.site.servers("relay")) for _ in range(2)]
    admin = await connect(cluster.site.servers("admin"))
    reader = await connect(cluster.site.servers("billing", cluster.seed))
    store, stop = SqliteStore(tmp_path / "store"), asyncio.Event()
    async with filled_log(database_url) as log:
        async with relaying(*(Relay(client, log.reader, log.news, answer_s=2) for client in clients)):
            posting = asyncio.create_task(_post(log, stop))
            reading = asyncio.create_task(Subscriber(reader, STREAM, "billing", store).run(stop))
            scene = Scene(cluster, log, admin, store)
            await scene.passed()
            yield scene
            stop.set()
            await asyncio.gather(posting, reading)
            stop.clear()
            reading = asyncio.create_task(Subscriber(reader, STREAM, "billing", store).run(stop))
            head = await log.reader.head()

            async def all_read() -> bool:
                return store.position == head

            await until(all_read, RECOVER_S)
            stop.set()
            await reading
        assert store.bodies() == await log.bytes_of_all()
        await scene.leader()
        await check_stream(admin, log)
    for client in (*clients, admin, reader):
        await client.close()
    await cluster.stop()


async def _made(cluster: Cluster) -> None:
    """Make stream and durable, once the servers have found each other."""

    async def made() -> bool:
        with contextlib.suppress(nats.errors.Error, TimeoutError, OSError):
            await migrate_stream(cluster.site.servers("admin"), STREAM, Retention(replicas=SERVERS))
            await make_durable(cluster.site.servers("admin"), STREAM, "billing", [])
            return True
        return False

    await until(made, FORM_S)


async def _post(log: FilledLog, stop: asyncio.Event) -> None:
    number = 0
    while not stop.is_set():
        await log.put(persons(number, 5))
        number += 5
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.05)


async def test_a_leader_that_dies(scene: Scene, record_property: Callable[[str, object], None]) -> None:
    leader = await scene.leader()

    async def trouble() -> None:
        scene.cluster.kill(leader)
        await scene.passed()

    stall_s = await scene.stall(trouble)
    print(f"leader killed: stall {stall_s:.2f} s")
    record_property("stall_s", round(stall_s, 2))
    scene.cluster.let_back(leader)
    await scene.leader()
    await scene.passed()


async def test_a_leader_that_is_stopped_hands_over(
    scene: Scene, record_property: Callable[[str, object], None]
) -> None:
    leader = await scene.leader()

    async def trouble() -> None:
        scene.cluster.kill(leader, signal.SIGTERM)
        await scene.passed()

    stall_s = await scene.stall(trouble)
    print(f"leader stopped: stall {stall_s:.2f} s")
    record_property("stall_s", round(stall_s, 2))
    scene.cluster.let_back(leader)
    await scene.leader()
    await scene.passed()


async def test_followers_that_die_one_after_the_other(scene: Scene) -> None:
    leader = await scene.leader()
    for follower in (number for number in range(SERVERS) if number != leader):

        async def trouble(follower: int = follower) -> None:
            scene.cluster.kill(follower)
            await scene.passed()

        print(f"follower killed: stall {await scene.stall(trouble):.2f} s")
        scene.cluster.let_back(follower)
        await scene.leader()


@pytest.mark.parametrize("survivor_leads", [True, False])
async def test_a_quorum_lost_and_back(scene: Scene, survivor_leads: bool) -> None:
    leader = await scene.leader()
    survivor = leader if survivor_leads else (leader + 1) % SERVERS
    dead = [number for number in range(SERVERS) if number != survivor]
    for number in dead:
        scene.cluster.kill(number)
    behind = await scene.log.reader.head() + HEALTHY_EVENTS

    async def posted_on() -> bool:
        return await scene.log.reader.head() >= behind

    await until(posted_on, RECOVER_S)
    stored = scene.store.position
    assert stored < behind, "without a quorum nothing is published"
    began = time.monotonic()
    for number in dead:
        scene.cluster.let_back(number)
    await scene.passed()
    print(f"quorum back: events flow again after {time.monotonic() - began:.2f} s")
