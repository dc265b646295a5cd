"""Posts the year to a registry: persons as NDJSON, events in batches, a few requests at a time.

Every post may be repeated: the same identity gives the same person, the same event its first receipt. So a request
whose answer was lost is simply sent again, and so is a whole demo that was killed.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, TypeVar

import httpx2
import msgspec
import stamina

from services.demo.career import Career
from services.demo.event import Event
from services.demo.people import Identity
from services.remote import PATIENCE_S, Unavailable, again, check, settle

T = TypeVar("T")

REQUESTS_AT_ONCE = 4
CAREERS_A_CHUNK = 150  # about 870 events
BATCH_EVENTS_MAX = 1_000
VIEWS_PATIENCE_S = 600.0
"""How long the read models may need to catch up with the whole year."""


class _Result(msgspec.Struct):
    status: int
    position: int = 0
    person_id: str = ""


class _Results(msgspec.Struct):
    results: list[msgspec.Raw]


class Registry:
    """A registry, as an HR system sees it.

    events: how many it accepted; new: how many of them it had not accepted before; position: of the last one.
    """

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client
        self.events = 0
        self.new = 0
        self.position = 0

    @stamina.retry(on=again, attempts=None, timeout=PATIENCE_S)
    async def register(self, identities: Sequence[Identity]) -> list[str]:
        """The person_id of each, in order."""
        lines = b"".join(msgspec.json.encode(identity) + b"\n" for identity in identities)
        response = await self._post("/v1/persons", lines, "application/x-ndjson")
        results = _settled(map(msgspec.Raw, response.content.splitlines()), identities)
        return [result.person_id for result in results]

    @stamina.retry(on=again, attempts=None, timeout=PATIENCE_S)
    async def publish(self, events: Sequence[Event]) -> None:
        """Post at most BATCH_EVENTS_MAX events; each sees those before it."""
        body = msgspec.json.encode(events)
        response = await self._post("/v1/events", body, "application/cloudevents-batch+json")
        results = _settled(msgspec.json.decode(response.content, type=_Results).results, events)
        self.events += len(results)
        self.new += sum(result.status == 201 for result in results)
        self.position = max(self.position, *(result.position for result in results))

    @stamina.retry(on=again, attempts=None, timeout=VIEWS_PATIENCE_S)
    async def view(self, path: str, **params: str | int) -> dict[str, Any]:
        """A read model that has seen all that was posted here."""
        response = await self._client.get(path, params={**params, "min_position": self.position})
        check(response)
        return msgspec.json.decode(response.content, type=dict[str, Any])

    async def _post(self, path: str, body: bytes, media_type: str) -> httpx2.Response:
        response = await self._client.post(path, content=body, headers={"Content-Type": media_type})
        check(response)
        return response


async def play(
    registry: Registry,
    preamble: Iterable[Event],
    careers: Iterable[Career],
    told: Callable[[int], None],
) -> str:
    """Post all of it; each person's history stays in order. Calls `told` with how many careers have been added.

    Returns the id of the first person, by number, who ends up with a certificate; "" when there is none.
    """
    for events in _batches(preamble, BATCH_EVENTS_MAX):
        await registry.publish(events)
    chunks = _batches(careers, CAREERS_A_CHUNK)
    certified: dict[int, str] = {}

    async def work() -> None:
        for chunk in chunks:  # the workers share it
            person_ids = await registry.register([career.identity for career in chunk])
            with_id = list(zip(chunk, person_ids, strict=True))
            certified.update((c.number, person_id) for c, person_id in with_id if c.plan.results[-1] == "AWARDED")
            for events in _batches(chain.from_iterable(c.events(id_) for c, id_ in with_id), BATCH_EVENTS_MAX):
                await registry.publish(events)
            told(len(chunk))

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(REQUESTS_AT_ONCE):
                workers.create_task(work())
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return certified[min(certified)] if certified else ""


def _settled(results: Iterable[msgspec.Raw], posted: Sequence[Identity | Event]) -> list[_Result]:
    """The results of all that was posted. The first that is a problem, or missing, is raised."""
    settled = []
    for raw, item in zip(results, posted, strict=False):
        result = msgspec.json.decode(raw, type=_Result)
        if result.status not in {200, 201}:
            settle(result.status, msgspec.json.decode(raw, type=dict[str, Any]), posted=item)
        settled.append(result)
    if len(settled) < len(posted):  # the log went out of reach meanwhile
        raise Unavailable("the registry stopped answering midway", retry_after_s=1.0)
    return settled


def _batches(items: Iterable[T], size_max: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size_max)):
        yield batch
