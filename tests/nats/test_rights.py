"""Least privilege: who may do what on NATS, in development and with the configuration shipped for production."""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import nats
import nats.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client

from contracts.subjects import STREAM
from services.projections.relay import Servers, connect, migrate_stream
from services.subscribers.accounts import account_name, subscriber_account
from services.subscribers.durable import make_durable
from services.subscribers.keys import new_seed, public_key
from tests.integration.filled_log import until
from tests.nats.production import SHIPPED, Site, production
from tests.nats.relays import OwnServer

SUBJECT = "certibranche.v1.37.candidate.registered.cqpm-2014-0300"
API = "$JS.API"
RENAMED = "LOG.API"


class Place(NamedTuple):
    """A server with a stream of three messages, and subscribers `billing` and `other`."""

    admin: Servers
    relay: Servers
    monitor: Servers
    billing: Servers


async def _filled(place: Place) -> Place:
    await migrate_stream(place.admin)
    for name in ("billing", "other"):
        await make_durable(place.admin, STREAM, name, [])
    relay = await connect(place.relay)
    for number in range(3):
        ack = await relay.jetstream().publish(
            SUBJECT, b"%d" % number, headers={"Nats-Expected-Last-Sequence": f"{number}"}
        )
        assert ack.seq == number + 1
    await relay.close()
    return place


@pytest_asyncio.fixture(params=["development", "production"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param == "development":
        server = OwnServer(tmp_path / "own")
        billing, _ = (server.nats.subscriber_seed(name).read_bytes() for name in ("billing", "other"))
        await server.start()
        url = server.nats.url
        by_password = (Servers(getattr(server.nats, f"{user}_url")) for user in ("admin", "relay", "monitor"))
        yield await _filled(Place(*by_password, Servers(url, billing.decode())))
        await server.stop()
        return
    site = Site(tmp_path / "site")
    seeds = {name: new_seed() for name in ("billing", "other")}
    for name, seed in seeds.items():
        site.add(account_name(name), subscriber_account(name, {"nkey": public_key(seed)}))
    async with production(site):
        by_nkey = (site.servers(user) for user in ("admin", "relay", "monitor"))
        yield await _filled(Place(*by_nkey, site.servers("billing", seeds["billing"])))


@contextlib.asynccontextmanager
async def connected(servers: Servers) -> AsyncIterator[tuple[Client, list[str]]]:
    """A connection, and the violations the server reports on it."""
    violations: list[str] = []

    async def note(error: Exception) -> None:
        violations.append(str(error).lower())

    client = await connect(servers)
    client._error_cb = note
    yield client, violations
    await client.close()


async def everything(place: Place) -> Any:
    """All there is to be spoilt: streams, messages, consumers and where they are."""
    async with connected(place.admin) as (admin, _):
        jetstream = admin.jetstream()
        streams = {each.config.name: each.state for each in await jetstream.streams_info()}
        consumers = {each.name: (each.delivered, each.config) for each in await jetstream.consumers_info(STREAM)}
    for delivered, _ in consumers.values():
        delivered.last_active = None
    return streams, consumers


async def test_a_subscriber_reads_acknowledges_looks_and_rewinds(place: Place) -> None:
    async with connected(place.billing) as (client, violations):
        jetstream = client.jetstream(timeout=2)
        cursor = await jetstream.pull_subscribe_bind(consumer="billing", stream=STREAM)
        messages = await cursor.fetch(3, timeout=5)
        assert [message.data for message in messages] == [b"0", b"1", b"2"]
        for message in messages:
            await message.ack_sync(timeout=5)
        assert (await jetstream.consumer_info(STREAM, "billing")).ack_floor.stream_seq == 3
        await jetstream.reset_consumer(STREAM, "billing", seq=2)
        assert [message.data for message in await cursor.fetch(2, timeout=5)] == [b"1", b"2"]
        assert violations == []


async def test_the_monitor_sees(place: Place) -> None:
    async with connected(place.monitor) as (client, violations):
        jetstream = client.jetstream(timeout=2)
        assert (await jetstream.stream_info(STREAM)).state.last_seq == 3
        assert (await jetstream.get_msg(STREAM, 3, direct=True)).data == b"2"
        assert {each.name: each.num_pending for each in await jetstream.consumers_info(STREAM)} == {
            "billing": 3,
            "other": 3,
        }
        assert violations == []


STREAM_CALLS = ("STREAM.DELETE", "STREAM.PURGE", "STREAM.UPDATE", "STREAM.CREATE", "STREAM.MSG.DELETE", "STREAM.SEAL")
ADMIN_CALLS = [
    f"{prefix}.{call}.{name}" for prefix in (API, RENAMED) for call in STREAM_CALLS for name in (STREAM, "NEW")
]
ADMIN_CALLS += [
    f"{prefix}.{call}"
    for prefix in (API, RENAMED)
    for call in (
        f"CONSUMER.CREATE.{STREAM}",
        f"CONSUMER.CREATE.{STREAM}.new",
        f"CONSUMER.CREATE.{STREAM}.billing.certibranche.v1.>",
        f"CONSUMER.DURABLE.CREATE.{STREAM}.new",
        f"CONSUMER.DELETE.{STREAM}.billing",
        f"CONSUMER.DELETE.{STREAM}.other",
        f"CONSUMER.PAUSE.{STREAM}.billing",
        f"CONSUMER.LEADER.STEPDOWN.{STREAM}.billing",
        f"STREAM.LEADER.STEPDOWN.{STREAM}",
        f"STREAM.SNAPSHOT.{STREAM}",
        f"STREAM.RESTORE.{STREAM}",
        f"STREAM.MSG.GET.{STREAM}",
        f"DIRECT.GET.{STREAM}.{SUBJECT}",
        "INFO",
        "ACCOUNT.PURGE.LOG",
        f"CONSUMER.MSG.NEXT.{STREAM}.other",
        f"CONSUMER.INFO.{STREAM}.other",
        f"CONSUMER.RESET.{STREAM}.other",
    )
]
ADMIN_CALLS += [f"$JS.ACK.{STREAM}.other.1.1.1.1.1", "$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.LOG.CONNZ"]
LOOKS = [
    f"{prefix}.{call}"
    for prefix in (API, RENAMED)
    for call in (f"STREAM.INFO.{STREAM}", f"DIRECT.GET.{STREAM}", f"CONSUMER.LIST.{STREAM}")
]

FORBIDDEN = {
    "billing": [*ADMIN_CALLS, *LOOKS, SUBJECT],
    "monitor": [*ADMIN_CALLS, SUBJECT],
    "relay": [*ADMIN_CALLS, f"{API}.CONSUMER.LIST.{STREAM}"],
}


@pytest.mark.parametrize("user", FORBIDDEN)
async def test_nothing_else_may_be_called(place: Place, user: str) -> None:
    before = await everything(place)
    async with connected(getattr(place, user)) as (client, violations):
        for call in FORBIDDEN[user]:
            await client.publish(call, b"", reply="_INBOX.anywhere")
        expected = {call.replace(f"{API}.", f"{RENAMED}.").lower() for call in FORBIDDEN[user]}

        async def all_refused() -> bool:
            refused = [re.search(r'publish to "(.*?)"', violation) for violation in violations]
            return {match[1] for match in refused if match} == expected

        await until(all_refused)
    assert await everything(place) == before


@pytest.mark.parametrize("user", FORBIDDEN)
async def test_nothing_else_may_be_listened_to(place: Place, user: str) -> None:
    ears = [">", "certibranche.v1.>", SUBJECT, "_INBOX_relay.>", "$JS.>", "$SYS.>", f"{RENAMED}.>", "*.*.>", "_R_.>"]
    async with connected(getattr(place, user)) as (client, violations):
        for subject in ears:
            await client.subscribe(subject)

        async def all_refused() -> bool:
            return len([violation for violation in violations if "subscription" in violation]) == len(ears)

        await until(all_refused)


REPLIES = [SUBJECT, *ADMIN_CALLS, "$JS.API.STREAM.DELETE." + STREAM]
CALLS = {
    "billing": [
        (f"{API}.CONSUMER.MSG.NEXT.{STREAM}.billing", b'{"batch":1,"no_wait":true}'),
        (f"{API}.CONSUMER.INFO.{STREAM}.billing", b""),
    ],
    "monitor": [
        (f"{API}.STREAM.INFO.{STREAM}", b""),
        (f"{API}.CONSUMER.LIST.{STREAM}", b""),
        (f"{API}.DIRECT.GET.{STREAM}", b'{"seq":1}'),
    ],
    "relay": [(f"{API}.STREAM.INFO.{STREAM}", b""), (f"{API}.DIRECT.GET.{STREAM}", b'{"seq":1}')],
}


@pytest.mark.parametrize("user", CALLS)
async def test_no_answer_can_be_sent_where_its_user_may_not_publish(place: Place, user: str) -> None:
    """The subject that an answer goes to is not covered by permissions: an account of one's own covers it."""
    streams, consumers = await everything(place)
    async with connected(getattr(place, user)) as (client, _):
        replies = [reply for reply in REPLIES if not (user == "relay" and reply == SUBJECT)]
        for call, body in CALLS[user]:
            for reply in replies:
                await client.publish(call, body, reply=reply)
        await client.flush()
    after_streams, after_consumers = await everything(place)
    assert after_streams == streams
    assert after_consumers["other"] == consumers["other"]
    assert after_consumers.keys() == consumers.keys()


async def test_an_empty_acknowledgement_does_not_become_a_call(place: Place) -> None:
    """The first message of a batch is acknowledged by nothing, which as a call would delete the stream."""
    streams, consumers = await everything(place)
    async with connected(place.relay) as (relay, _):
        for number, reply in enumerate(ADMIN_CALLS):
            batch = {"Nats-Batch-Id": f"batch-{number}", "Nats-Batch-Sequence": "1"}
            await relay.publish(SUBJECT, b"", reply=reply, headers=batch)
        await relay.flush()
    assert await everything(place) == (streams, consumers)


async def test_the_shipped_configuration_is_valid(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.add(account_name("billing"), subscriber_account("billing", {"nkey": public_key(new_seed())}))
    for name in ("nats.conf", "cluster.conf"):
        said = await asyncio.to_thread(site.check, name)
        assert said.returncode == 0, said.stderr
        assert "warn" not in said.stderr.lower()
    assert "sync_interval: always" in (SHIPPED / "nats.conf").read_text()


async def test_production_asks_for_trust_and_for_a_key(tmp_path: Path) -> None:
    async with production(Site(tmp_path / "site")) as site:
        url = site.servers("relay").url
        trusting = ssl.create_default_context(cafile=str(site.path / "ca.pem"))
        with pytest.raises(ssl.SSLCertVerificationError):
            await nats.connect(url, tls=ssl.create_default_context(), allow_reconnect=False)
        for options in ({}, {"user": "relay", "password": "relay"}, {"nkeys_seed_str": new_seed().decode()}):
            with pytest.raises(nats.errors.Error, match=r"(?i)authorization violation"):
                await nats.connect(url, tls=trusting, allow_reconnect=False, **options)
