"""Processes are killed while posts are in flight: what was acknowledged stays, and retries record nothing twice."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import msgspec
import pytest
import pytest_asyncio

from tests.installation import SCOPES, Installation, certification, event, objective, person, post

WORKERS = 20
EVENTS, BATCHES, BATCH_EVENTS, PERSONS, LINES = 400, 60, 10, 100, 5_000

Send = Callable[[httpx2.AsyncClient], Awaitable[httpx2.Response]]


class Callers:
    """Systems that post until they are answered, whatever happens meanwhile."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._answers = 0
        self._answered = asyncio.Condition()
        self._asking = asyncio.Lock()
        self.repeated = 0

    async def until(self, answers: int) -> None:
        """Wait until so many posts have been answered."""
        async with self._answered:
            await self._answered.wait_for(lambda: self._answers >= answers)

    async def post_all(self, sends: list[Send]) -> list[dict[str, Any]]:
        """The answers to all posts, in their order; many of them are under way at once."""
        waiting: Iterator[tuple[int, Send]] = iter(enumerate(sends))
        answers: dict[int, dict[str, Any]] = {}

        async def work() -> None:
            async with self._installation.client(*SCOPES) as client:
                for ordinal, send in waiting:
                    answers[ordinal] = await self._insist(client, send)

        await asyncio.gather(*(work() for _ in range(WORKERS)))
        return [answers[ordinal] for ordinal in range(len(sends))]

    async def _insist(self, client: httpx2.AsyncClient, send: Send) -> dict[str, Any]:
        """Post, and post again until the registry says what became of it."""
        while (answer := await _answer(client, send)) is None:
            self.repeated += 1
            async with self._asking:  # not all at once: they would keep it from getting ready
                await self._installation.until_ready()
        async with self._answered:
            self._answers += 1
            self._answered.notify_all()
        return answer


async def _answer(client: httpx2.AsyncClient, send: Send) -> dict[str, Any] | None:
    """What the registry answers; None when it cannot for now. It never fails in another way."""
    try:
        answer = await send(client)
    except httpx2.TransportError:
        return None
    if answer.status_code == 503:
        assert int(answer.headers["retry-after"]) > 0
        return None
    assert answer.status_code in (200, 201), answer.text
    content: dict[str, Any] = answer.json()
    return content


@dataclass(frozen=True)
class Crash:
    """What was posted while a part was killed twice, what was answered, and what the log holds of it.

    cut: the results of a stream that ended early. whole: those of the same lines, posted again afterwards.
    """

    events: list[dict[str, Any]]
    receipts: list[dict[str, Any]]
    batches: list[list[dict[str, Any]]]
    persons: list[dict[str, Any]]
    person_ids: list[str]
    person_ids_again: list[str]
    lines: list[dict[str, Any]]
    cut: list[dict[str, Any]]
    whole: list[dict[str, Any]]
    entries: list[dict[str, Any]]

    def places(self) -> dict[str, int]:
        """The position of each id."""
        return {entry["id"]: int(entry["sequence"]) for entry in self.entries}


@pytest_asyncio.fixture(scope="module", params=["serve", "postgres"])
async def crash(installation: Installation, request: pytest.FixtureRequest) -> Crash:
    """Many systems post everything at once; a part is killed early on, and again when half is answered."""
    events = [event("certification.published", certification()) for _ in range(EVENTS)]
    batches = [[objective() for _ in range(BATCH_EVENTS)] for _ in range(BATCHES)]
    persons = [person() for _ in range(PERSONS)]
    lines = [objective() for _ in range(LINES)]
    sends = [*map(_sending_event, events), *map(_sending_batch, batches), *map(_sending_person, persons * 2)]
    async with installation.client(*SCOPES) as client:
        before = (await post(client, objective())).json()["position"]
        answers, cut = await _disturbed(installation, request.param, sends, lines)
        whole = await _stream(installation, lines, asyncio.Event())
        history = await client.get("/v1/log/entries", params={"after": before})
    assert history.status_code == 200, history.text
    person_ids = [answer["person_id"] for answer in answers[EVENTS + BATCHES :]]
    return Crash(
        events=events,
        receipts=answers[:EVENTS],
        batches=batches,
        persons=persons,
        person_ids=person_ids[:PERSONS],
        person_ids_again=person_ids[PERSONS:],
        lines=lines,
        cut=cut,
        whole=whole,
        entries=list(map(msgspec.json.decode, history.content.splitlines())),
    )


async def _disturbed(
    installation: Installation, part: str, sends: list[Send], lines: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The answers to all posts, and what came of a stream of lines, while a part is killed twice."""
    mixed = sorted(range(len(sends)), key=lambda ordinal: ordinal * 7919 % len(sends))
    callers = Callers(installation)
    posting = asyncio.create_task(callers.post_all([sends[ordinal] for ordinal in mixed]))
    streaming = asyncio.create_task(_stream(installation, lines, begun := asyncio.Event()))
    await begun.wait()
    for share in (10, 2):
        await callers.until(len(sends) // share)
        await installation.kill(part)
        await installation.until_ready()
    answers = dict(zip(mixed, await posting, strict=True))
    assert part == "postgres" or callers.repeated > 0
    return [answers[ordinal] for ordinal in range(len(sends))], await streaming


def _sending_event(posted: dict[str, Any]) -> Send:
    return lambda client: post(client, posted)


def _sending_batch(batch: list[dict[str, Any]]) -> Send:
    headers = {"Content-Type": "application/cloudevents-batch+json"}
    return lambda client: client.post("/v1/events?atomic=true", json=batch, headers=headers)


def _sending_person(identity: dict[str, Any]) -> Send:
    return lambda client: client.post("/v1/persons", json=identity)


async def _stream(
    installation: Installation, lines: list[dict[str, Any]], begun: asyncio.Event
) -> list[dict[str, Any]]:
    """The results of a stream of lines, as far as they come. begun: set with the first of them, or at the end."""
    content = b"\n".join(map(msgspec.json.encode, lines))
    results = bytearray()
    async with installation.client("catalogue:write") as client:
        try:
            headers = {"Content-Type": "application/x-ndjson"}
            async with client.stream("POST", "/v1/events", content=content, headers=headers) as answer:
                assert answer.status_code == 200
                async for part in answer.aiter_bytes():
                    results += part
                    begun.set()
        except httpx2.TransportError:
            pass
        finally:
            begun.set()
    return [msgspec.json.decode(line) for line in bytes(results).split(b"\n")[:-1]]


async def test_what_is_acknowledged_is_recorded_where_it_was_said_to_be(crash: Crash) -> None:
    places = crash.places()
    assert [receipt["position"] for receipt in crash.receipts] == [places[posted["id"]] for posted in crash.events]


async def test_nothing_is_recorded_twice_and_nothing_else(crash: Crash) -> None:
    """Though every post that got no answer was repeated."""
    posted = [*crash.events, *crash.lines, *(posted for batch in crash.batches for posted in batch)]
    registered = [entry for entry in crash.entries if entry["type"] == "certibranche.person.registered.v1"]
    recorded = Counter(entry["id"] for entry in crash.entries if entry not in registered)
    assert recorded == Counter(event_["id"] for event_ in posted)
    assert Counter(entry["data"]["person_id"] for entry in registered) == Counter(crash.person_ids)


async def test_the_log_has_no_gap(crash: Crash) -> None:
    positions = [int(entry["sequence"]) for entry in crash.entries]
    assert positions == list(range(positions[0], positions[0] + len(positions)))
    times = [entry["recordedtime"] for entry in crash.entries]
    assert times == sorted(times)


async def test_an_atomic_batch_is_recorded_as_one_piece(crash: Crash) -> None:
    places = crash.places()
    for batch in crash.batches:
        first = places[batch[0]["id"]]
        assert [places[posted["id"]] for posted in batch] == list(range(first, first + BATCH_EVENTS))


async def test_a_person_keeps_the_id_that_was_answered(crash: Crash, installation: Installation) -> None:
    assert crash.person_ids == crash.person_ids_again
    async with installation.client("persons:read") as client:
        for identity, person_id in list(zip(crash.persons, crash.person_ids, strict=True))[::10]:
            assert (await client.get(f"/v1/persons/{person_id}")).json() == {"person_id": person_id} | identity


async def test_the_results_of_a_stream_that_was_cut_hold(crash: Crash) -> None:
    """Lines without a result are unknown; posting all again is safe."""
    assert [result["id"] for result in crash.whole] == [posted["id"] for posted in crash.lines]
    again = crash.whole[: len(crash.cut)]
    assert [result | {"status": 200} for result in crash.cut] == again
    positions = [result["position"] for result in crash.whole]
    assert positions == sorted(positions)
