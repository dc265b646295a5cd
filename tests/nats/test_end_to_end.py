"""A subscriber of the running product: made by the command, with its own key, also where the stream is bounded."""

import asyncio
import re
from functools import partial
from pathlib import Path

import nats
from nats.aio.client import Client

from contracts.subjects import STREAM
from contracts.subscriber.sqlite_store import SqliteStore
from contracts.subscriber.subscriber import Subscriber, entries_over_http
from services.embedded.data_folder import DataFolder
from services.embedded.nats import Nats
from services.projections.relay import FOR_EVER, Retention, Servers, migrate_stream
from tests.installation import Installation, objective, post
from tests.integration.filled_log import until
from tests.nats.relays import administrator, stream_info
from tests.nats.test_subscriber_command import subscriber_add, told


async def subscribed(installation: Installation, name: str) -> Client:
    """A connection as the subscriber itself makes it."""
    code, said = await subscriber_add(name, "--data", str(installation.data))
    assert code == 0, said
    return await nats.connect(told(said, "NATS"), nkeys_seed=told(said, "key"))


async def recorded(installation: Installation, count: int) -> int:
    """Record so many events; the position of the last."""
    async with installation.client("catalogue:write") as client:
        answers = [await post(client, objective()) for _ in range(count)]
    return int(answers[-1].json()["position"])


async def read_over_http(installation: Installation) -> list[bytes]:
    async with installation.client("log:read") as client:
        return (await client.get("/v1/log/entries")).content.split(b"\n")[:-1]


async def metric(installation: Installation, name: str) -> float:
    async with installation.client() as client:
        found = re.search(rf"^{re.escape(name)} (.*)$", (await client.get("/metrics")).text, re.M)
    return float(found[1]) if found else -1.0


async def test_the_log_of_the_running_product_is_followed_through_a_bounded_stream(
    installation: Installation, tmp_path: Path
) -> None:
    """Events leave the stream before they were read; the subscriber gets them over HTTP, and goes on."""
    server = Nats(DataFolder(installation.data), installation.nats_port)
    admin = Servers(server.admin_url)
    begun = await recorded(installation, 5)
    client = await subscribed(installation, "follower")
    older = entries_over_http(installation.url, partial(installation.token, "log:read"), limit=begun // 3)
    store, stop = SqliteStore(tmp_path / "store"), asyncio.Event()
    async with administrator(server.admin_url) as administration:
        await migrate_stream(admin, STREAM, Retention(max_age_s=0.5))

        async def empty() -> bool:
            info = await stream_info(administration)
            return info is not None and info.state.messages == 0

        try:
            await until(empty)
            reading = asyncio.create_task(
                Subscriber(client, STREAM, "follower", store, older=older, fetch_s=0.4).run(stop)
            )
            head = await recorded(installation, 10)

            async def caught_up() -> bool:
                if reading.done():
                    reading.result()  # says what ended it
                return store.position >= head

            await until(caught_up)
            stop.set()
            await reading
            bodies = await read_over_http(installation)
            assert store.bodies() == bodies[: store.position]
        finally:
            # The stream as other tests know it: whole and unbounded. The relay fills it again.
            await administration.jetstream().delete_stream(STREAM)
            await migrate_stream(admin, STREAM, FOR_EVER)
    await client.close()


async def test_metrics_show_the_stream_and_who_reads_it(installation: Installation) -> None:
    client = await subscribed(installation, "seen")
    head = await recorded(installation, 3)
    labels = f'{{consumer_name="seen",stream_name="{STREAM}"}}'

    async def shown() -> bool:
        return (
            await metric(installation, f'jetstream_stream_last_seq{{stream_name="{STREAM}"}}') >= head
            and await metric(installation, f"jetstream_consumer_num_pending{labels}") >= 3
            and await metric(installation, f"jetstream_consumer_num_redelivered{labels}") == 0
            and await metric(installation, "certibranche_relay_lag_positions") == 0
            and await metric(installation, "certibranche_relay_diverged") == 0
        )

    await until(shown)
    await client.close()
