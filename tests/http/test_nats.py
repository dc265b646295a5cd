"""What subscribers get: the stored bytes, at their position. Section 5 of the contract."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import httpx2
import nats
import pytest
import pytest_asyncio
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy

from tests.installation import (
    Installation,
    certification,
    event,
    objective,
    post,
    publish_certification,
    register_persons,
    registration,
)

STREAM = "CERTIBRANCHE"
ARRIVAL_S = 20.0


@pytest_asyncio.fixture
async def jetstream(installation: Installation) -> AsyncIterator[JetStreamContext]:
    connection = await nats.connect(installation.nats_url, allow_reconnect=False)
    yield connection.jetstream()
    await connection.close()


async def messages(jetstream: JetStreamContext, first: int, last: int) -> list[Any]:
    """The messages of the stream from one sequence to another, as soon as they are there."""
    config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=first)
    subscription = await jetstream.subscribe("certibranche.v1.>", ordered_consumer=True, config=config)
    found = [await subscription.next_msg(timeout=ARRIVAL_S) for _ in range(first, last + 1)]
    await subscription.unsubscribe()
    return found


def partition(key: str) -> int:
    """FNV-1a, 32 bits, modulo 64."""
    digest = 2166136261
    for byte in key.encode():
        digest = (digest ^ byte) * 16777619 % 2**32
    return digest % 64


def test_the_partition_is_computed_by_fnv_1a() -> None:
    """Vectors of draft-eastlake-fnv."""
    assert (partition(""), partition("a"), partition("foobar")) == (0x05, 0x2C, 0x28)


async def test_the_stream_is_the_log(client: httpx2.AsyncClient, jetstream: JetStreamContext) -> None:
    """Every entry so far, those of other tests too, is the message of its position."""
    head = (await post(client, objective())).json()["position"]
    answer = await client.get("/v1/log/entries", params={"after": max(0, head - 2_000)})
    entries = answer.content.splitlines()
    found = await messages(jetstream, head - len(entries) + 1, head)
    assert [message.data for message in found] == entries
    assert [message.metadata.sequence.stream for message in found] == list(range(head - len(entries) + 1, head + 1))


async def test_subjects_and_headers(client: httpx2.AsyncClient, jetstream: JetStreamContext) -> None:
    (person_id,) = await register_persons(client, 1)
    certification_id = await publish_certification(client)
    data = registration(person_id, certification_id)
    closing = {"registration_id": data["registration_id"], "reason": "WITHDRAWN", "closed_on": "2018-04-01"}
    events = [event("candidate.registered", data), event("registration.closed", closing), objective()]
    last = [(await post(client, posted)).json()["position"] for posted in events][-1]
    found = await messages(jetstream, last - 4, last)
    key = partition(person_id)
    assert [message.subject for message in found] == [
        f"certibranche.v1.{key}.person.registered.-",
        f"certibranche.v1.{partition(certification_id)}.certification.published.{certification_id}",
        f"certibranche.v1.{key}.candidate.registered.{certification_id}",
        f"certibranche.v1.{key}.registration.closed.{certification_id}",
        f"certibranche.v1.{partition(events[2]['id'])}.objective.set.-",
    ]
    for message, posted in zip(found[2:], events, strict=True):
        assert message.headers["Content-Type"] == "application/cloudevents+json"
        assert (message.headers["ce-id"], message.headers["ce-type"]) == (posted["id"], posted["type"])


async def test_an_id_is_percent_encoded_in_its_header(client: httpx2.AsyncClient, jetstream: JetStreamContext) -> None:
    posted = objective()
    posted["id"] += ' é%"😀'
    position = (await post(client, posted)).json()["position"]
    (message,) = await messages(jetstream, position, position)
    assert message.headers["ce-id"].isascii()
    assert unquote(message.headers["ce-id"]) == posted["id"]
    assert message.subject == f"certibranche.v1.{partition(posted['id'])}.objective.set.-"


async def test_a_subscriber_reads_single_messages(client: httpx2.AsyncClient, jetstream: JetStreamContext) -> None:
    answer = await post(client, event("certification.published", certification()))
    position = answer.json()["position"]
    await messages(jetstream, position, position)
    message = await jetstream.get_msg(STREAM, seq=position, direct=True)
    assert message.data == (await client.get(answer.headers["location"])).content


async def test_a_refused_event_is_not_published(client: httpx2.AsyncClient, jetstream: JetStreamContext) -> None:
    before = (await post(client, objective())).json()["position"]
    assert (await post(client, event("registration.closed", {}))).status_code == 400
    after = await post(client, objective())
    assert after.json()["position"] == before + 1
    _, message = await messages(jetstream, before, before + 1)
    assert message.headers["ce-id"] == after.json()["id"]


async def test_subscribers_do_not_publish(client: httpx2.AsyncClient, jetstream: JetStreamContext) -> None:
    with pytest.raises((nats.errors.Error, TimeoutError)):
        await jetstream.publish("certibranche.v1.0.objective.set.-", b"{}", timeout=0.5)
