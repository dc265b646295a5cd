"""The log's entries by type and by any id they name, and how they are followed, over a real log."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from hypothesis import given as for_any
from hypothesis import strategies as st

from contracts.facts import Fact
from contracts.problems import NotFound
from contracts.tags import filter_tags
from services.embedded.data_folder import DataFolder
from services.embedded.postgres import Postgres
from services.log.listener import POLL_S
from services.log.reader import LINES_PAGE
from services.projections.positions import Positions
from services.projections.views.entries.reading import EntriesReader, Wanted
from services.projections.views.entries.streams import Streams
from services.projections.views.entries.tables import EntriesView
from tests.integration.filled_log import FilledLog, filled_log
from tests.integration.read_side import read_side
from tests.unit.careers import (
    awarded,
    histories,
    person,
    published,
    recorded_at,
    registered,
    revoked,
    uid,
    validated,
)

HISTORY: list[Fact] = [
    published("cqpm-a"),
    published("cqpi-b"),
    *(person(number) for number in (1, 2)),
    registered(1, 1),
    registered(2, 2, "cqpi-b"),
    validated(1, 1, 1, jury_id=uid("jury", 1)),
    validated(2, 2, 2, "common", basis="CARRIED_OVER", source_validation_id=uid("validation", 1)),
    awarded(1, 1),
    revoked(awarded(1, 1), 1),
]
HEAD = len(HISTORY)
URL = "/v1/log/entries"


class Entries:
    """A log whose view of tags is at its head, and what is read out of it."""

    def __init__(self, log: FilledLog) -> None:
        self.log = log
        self.reader = EntriesReader(log.pool, log.reader, Positions(log.pool, log.reader, log.news))

    async def happened(self, *facts: Fact) -> int:
        """Let facts happen and the view follow; the position of the last one."""
        position = await self.log.put(facts)
        await self.follow()
        return position

    async def follow(self) -> None:
        follower = self.log.follower(EntriesView())
        while await follower.step():
            pass

    def streams(self, drain: asyncio.Event | None = None, **limits: float) -> Streams:
        return Streams(self.reader, self.log.news, drain or asyncio.Event(), **limits)

    async def lines(self, wanted: Wanted, after: int = 0, limit: int | None = None) -> list[bytes]:
        parts = self.streams().lines(wanted, after, until=await self.reader.head(wanted), limit=limit)
        return b"".join([part async for part in parts]).split(b"\n")[:-1]


@pytest_asyncio.fixture(scope="module")
async def session_entries(postgres: Postgres) -> AsyncIterator[Entries]:
    await postgres.create_database("entries")
    async with filled_log(postgres.url("entries")) as log:
        yield Entries(log)


@pytest_asyncio.fixture
async def entries(session_entries: Entries) -> Entries:
    await session_entries.log.empty()
    await session_entries.happened(*HISTORY)
    return session_entries


@pytest_asyncio.fixture(scope="module")
async def long_log(postgres: Postgres) -> AsyncIterator[Entries]:
    """A log of more entries than are read at once."""
    await postgres.create_database("long_log")
    async with filled_log(postgres.url("long_log")) as log:
        await log.put([registered(number, 1) for number in range(LINES_PAGE + 150)])
        yield Entries(log)


@pytest_asyncio.fixture
async def http(entries: Entries, data_folder: DataFolder, bearer: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with read_side(entries.log, data_folder) as client:
        client.headers.update(bearer("log:read"))
        yield client


def positions(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [int(line.partition('"sequence":"')[2][:19]) for line in answer.text.splitlines()]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@for_any(facts=histories, data=st.data())
async def test_filters_find_exactly_the_entries_that_carry_the_tags(
    session_entries: Entries, facts: list[Fact], data: st.DataObject
) -> None:
    entries = session_entries
    await entries.log.empty()
    head = await entries.happened(*facts)
    stored = await entries.log.bytes_of_all()
    every_tag = sorted({tag for fact in facts for tag in filter_tags(fact)})
    tags = data.draw(st.lists(st.sampled_from(every_tag), min_size=1, max_size=3))
    types = data.draw(st.none() | st.lists(st.sampled_from(sorted({f.type_name() for f in facts})), max_size=3))
    after, limit = data.draw(st.integers(0, head)), data.draw(st.none() | st.integers(1, head))
    expected = [
        entry
        for entry, fact in list(zip(stored, facts, strict=True))[after:]
        if filter_tags(fact).intersection(tags) and (types is None or fact.type_name() in types)
    ]
    assert await entries.lines(Wanted(types, tags), after, limit) == expected[:limit]


async def test_more_entries_than_a_page_come_without_a_gap(entries: Entries) -> None:
    registrations: Sequence[Fact] = [registered(number, 1) for number in range(10, 1_110)]
    await entries.happened(*registrations)
    stored = (await entries.log.bytes_of_all())[HEAD:]
    wanted = Wanted(None, ["certification:cqpm-a"])
    assert await entries.lines(wanted, after=HEAD) == stored
    assert await entries.lines(wanted, after=HEAD, limit=1_001) == stored[:1_001]


@pytest.mark.parametrize("after", [0, 7, 100])
@pytest.mark.parametrize("limit", [1, 99, 100, 101, LINES_PAGE, LINES_PAGE + 1, None])
async def test_the_whole_log_comes_without_a_gap(long_log: Entries, after: int, limit: int | None) -> None:
    stored = (await long_log.log.bytes_of_all())[after:]
    assert await long_log.lines(Wanted(), after, limit) == stored[:limit]


async def test_rare_types_are_found_behind_a_page_of_others(entries: Entries) -> None:
    await entries.happened(*(registered(number, 1) for number in range(10, 1_110)), awarded(2, 2))
    wanted = Wanted(["certibranche.certificate.awarded.v1"], ["certification:cqpm-a"])
    assert len(await entries.lines(wanted)) == 2
    assert len(await entries.lines(wanted, limit=1)) == 1


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", list(range(1, HEAD + 1))),
        ("tag=certification:cqpi-b", [2, 6]),
        ("tag=bloc:common", [1, 2, 8]),
        (f"tag=validation:{uid('validation', 1)}", [7, 8, 9]),
        (f"tag=jury:{uid('jury', 1)}", [7]),
        ("tag=certificate:CQPM-2018-00000001-x", [9, 10]),
        (f"tag=person:{uid('person', 2)}", [4, 6, 8]),
        (f"tag=person:{uid('person', 2)}&tag=certification:cqpi-b", [2, 4, 6, 8]),
        ("tag=bloc:common&type=certibranche.bloc.validated.v1", [8]),
        ("tag=bloc:common&after=1&limit=1", [2]),
        ("tag=bloc:no-such", []),
        ("type=certibranche.person.registered.v1", [3, 4]),
    ],
)
async def test_entries_by_what_they_name(http: httpx.AsyncClient, query: str, found: list[int]) -> None:
    answer = await http.get(f"{URL}?{query}")
    assert positions(answer) == found
    assert (answer.headers["Content-Type"], answer.headers["Registry-Position"]) == ("application/x-ndjson", str(HEAD))


# Entries are recorded an hour apart (tests/unit/careers.py): `to` leaves out what was recorded at that very moment.
HOURS = [recorded_at(position).isoformat() for position in range(HEAD + 2)]


@pytest.mark.parametrize(
    ("window", "found"),
    [
        ({"from": HOURS[3]}, list(range(3, HEAD + 1))),
        ({"to": HOURS[3]}, [1, 2]),
        ({"to": "0001-01-01T00:00:00Z"}, []),
        ({"from": HOURS[3], "to": HOURS[5]}, [3, 4]),
        ({"from": HOURS[3], "after": 5}, list(range(6, HEAD + 1))),
        ({"from": HOURS[3], "limit": 1}, [3]),
        ({"from": HOURS[5], "to": HOURS[3]}, []),
        ({"from": HOURS[0], "to": HOURS[HEAD + 1]}, list(range(1, HEAD + 1))),
        ({"from": HOURS[HEAD + 1]}, []),
        ({"to": "2999-01-01T00:00:00Z"}, list(range(1, HEAD + 1))),
        ({"from": HOURS[5], "to": HOURS[9], "tag": "bloc:common"}, [8]),
        ({"to": HOURS[4], "type": "certibranche.person.registered.v1"}, [3]),
    ],
)
async def test_entries_by_when_they_were_recorded(
    http: httpx.AsyncClient, window: dict[str, str | int], found: list[int]
) -> None:
    assert positions(await http.get(URL, params=window)) == found


@pytest.mark.parametrize(
    "window", [{"from": "2020-01-01"}, {"to": "yesterday"}, {"from": "7"}, {"from": "2999-01-01T00:00:00Z"}]
)
async def test_a_time_that_is_none_or_to_come_is_malformed(http: httpx.AsyncClient, window: dict[str, str]) -> None:
    answer = await http.get(URL, params=window)
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, *window)


async def test_a_stream_of_events_may_begin_at_a_time_but_not_end(http: httpx.AsyncClient) -> None:
    answer = await http.get(URL, params={"from": HOURS[9], "limit": 2}, headers=SSE)
    assert [line for line in answer.text.splitlines() if line.startswith("id:")] == ["id: 9", "id: 10"]
    answer = await http.get(URL, params={"to": HOURS[9], "limit": 2}, headers=SSE)
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "to")


@pytest.mark.parametrize("tag", ["", "x", "person", "person:1", "reference", "bloc:É", "seat:s1", "bloc:a%00"])
async def test_a_tag_that_is_none_is_malformed(http: httpx.AsyncClient, tag: str) -> None:
    answer = await http.get(f"{URL}?tag=bloc:a1&tag={tag}")
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "tag")


async def test_a_filtered_read_waits_until_all_tags_up_to_the_head_are_known(
    entries: Entries, http: httpx.AsyncClient
) -> None:
    head = await entries.log.put([registered(3, 2)])
    waiting = asyncio.create_task(http.get(f"{URL}?tag=certification:cqpm-a"))
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()
    await entries.follow()
    assert positions(await asyncio.wait_for(waiting, 0.8 * POLL_S))[-1] == head  # woken, not polled


async def test_a_filtered_read_is_unavailable_while_tags_are_missing(entries: Entries, http: httpx.AsyncClient) -> None:
    head = await entries.log.put([registered(3, 2)])
    answer = await http.get(f"{URL}?tag=certification:cqpm-a")
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    assert (answer.json()["position"], answer.json()["wanted_position"]) == (HEAD, head)
    assert positions(await http.get(f"{URL}?after={HEAD}")) == [head]


async def test_a_filtered_read_says_how_many_events_wait_for_a_repair(
    entries: Entries, http: httpx.AsyncClient
) -> None:
    await entries.log.pool.execute("UPDATE projections.view SET parked = 2 WHERE name = 'entries'")
    assert (await http.get(f"{URL}?tag=bloc:a1")).headers["Registry-Parked"] == "2"
    assert "Registry-Parked" not in (await http.get(URL)).headers


async def test_one_entry_is_its_stored_bytes(entries: Entries, http: httpx.AsyncClient) -> None:
    answer = await http.get(f"{URL}/{HEAD}")
    assert answer.content == (await entries.log.bytes_of_all())[-1]
    assert (await http.get(f"{URL}/{HEAD}", headers={"If-None-Match": answer.headers["ETag"]})).status_code == 304
    for position in (0, HEAD + 1, 2**63, 2**70):
        with pytest.raises(NotFound):
            await entries.reader.entry(position)


async def test_history_needs_the_scope(http: httpx.AsyncClient, bearer: Any) -> None:
    for path in (URL, f"{URL}/1"):
        assert (await http.get(path, headers=bearer("persons:read"))).status_code == 403
        assert (await http.get(path, headers={"Authorization": ""})).status_code == 401


async def test_the_view_keeps_only_the_tags_that_the_log_has_not(entries: Entries) -> None:
    kept = await entries.log.pool.fetch("SELECT tag, position FROM entries.tag")
    decision_tags = await entries.log.pool.fetch("SELECT tag, position FROM log.tag WHERE tag <> 'reference'")
    carried = {(tag, position) for position, fact in enumerate(HISTORY, 1) for tag in filter_tags(fact)}
    assert {tuple(row) for row in kept} == carried - {tuple(row) for row in decision_tags}


# Server-sent events

SSE = {"Accept": "text/event-stream"}


async def test_server_sent_events_are_the_entries_by_position(entries: Entries, http: httpx.AsyncClient) -> None:
    answer = await http.get(f"{URL}?after=8&limit=2", headers=SSE)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    stored = await entries.log.bytes_of_all()
    messages = (b"id: 9\ndata: %b\n\n" % stored[8], b"id: 10\ndata: %b\n\n" % stored[9])
    assert answer.content == b"retry: 250\n\n" + b"".join(messages)


async def test_the_last_event_a_client_knows_goes_before_after(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"{URL}?after=1&limit=1&tag=bloc:common", headers=SSE | {"Last-Event-ID": "2"})
    assert "id: 8\n" in answer.text
    answer = await http.get(f"{URL}?after=1&limit=1&tag=bloc:common", headers=SSE | {"Last-Event-ID": ""})
    assert "id: 2\n" in answer.text


@pytest.mark.parametrize("known", ["x", "-1", "1.0", "²", "9" * 5_000, str(2**63)])
async def test_a_last_event_that_is_no_position_is_malformed(http: httpx.AsyncClient, known: str) -> None:
    answer = await http.get(f"{URL}?limit=1", headers=httpx.Headers(SSE | {"Last-Event-ID": known}, encoding="utf-8"))
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "Last-Event-ID")


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/x-ndjson"),
        ("application/x-ndjson, text/event-stream;q=0.5", "application/x-ndjson"),
        ("text/event-stream, application/x-ndjson;q=0.5", "text/event-stream"),
        ("application/json", "application/x-ndjson"),
        ("nonsense", "application/x-ndjson"),
        ("", "application/x-ndjson"),
    ],
)
async def test_who_does_not_ask_for_server_sent_events_gets_lines(
    http: httpx.AsyncClient, accept: str, media_type: str
) -> None:
    answer = await http.get(f"{URL}?limit=1", headers={"Accept": accept})
    assert answer.headers["Content-Type"].partition(";")[0] == media_type
    assert answer.headers["Vary"] == "Accept"


class Followed:
    """A stream of server-sent events being read."""

    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        self.parts = parts

    async def next(self) -> bytes:
        return await asyncio.wait_for(anext(self.parts), 10)

    async def ids(self) -> list[int]:
        return [int(line[4:]) for line in (await self.next()).split(b"\n") if line.startswith(b"id: ")]

    async def end(self) -> bool:
        return await asyncio.wait_for(anext(self.parts, None), 10) is None


async def test_a_stream_goes_on_with_what_is_recorded(entries: Entries) -> None:
    stream = Followed(entries.streams().server_sent_events(Wanted(), HEAD - 1, limit=None))
    assert await stream.next() == b"retry: 250\n\n"
    assert await stream.ids() == [HEAD]
    for _ in range(2):
        coming = asyncio.create_task(stream.ids())
        await asyncio.wait([coming], timeout=0.05)
        assert not coming.done()
        head = await entries.log.put([registered(3, 2)])
        assert await asyncio.wait_for(coming, 0.8 * POLL_S) == [head]  # woken, not polled


async def test_a_filtered_stream_follows_as_far_as_tags_are_known(entries: Entries) -> None:
    wanted = Wanted(None, ["certification:cqpm-a"])
    stream = Followed(entries.streams().server_sent_events(wanted, HEAD, limit=None))
    assert await stream.next() == b"retry: 250\n\n"
    coming = asyncio.create_task(stream.ids())
    head = await entries.log.put([registered(3, 2, "cqpi-b"), registered(4, 2)])
    await asyncio.wait([coming], timeout=0.05)
    assert not coming.done()
    await entries.follow()
    assert await coming == [head]


async def test_a_stream_that_has_nothing_to_say_says_so(entries: Entries) -> None:
    stream = Followed(entries.streams(comment_s=0.05).server_sent_events(Wanted(), HEAD, limit=None))
    assert [await stream.next() for _ in range(3)] == [b"retry: 250\n\n", b":\n", b":\n"]


async def test_a_stream_ends_when_its_time_is_over(entries: Entries) -> None:
    stream = Followed(entries.streams(follow_s=0.1).server_sent_events(Wanted(), HEAD - 1, limit=None))
    assert await stream.next() == b"retry: 250\n\n"
    assert await stream.ids() == [HEAD]
    assert await stream.end()


async def test_a_stream_ends_by_itself_when_the_registry_stops(entries: Entries) -> None:
    drain = asyncio.Event()
    stream = Followed(entries.streams(drain).server_sent_events(Wanted(), HEAD, limit=None))
    assert await stream.next() == b"retry: 250\n\n"
    ending = asyncio.create_task(stream.end())
    await asyncio.wait([ending], timeout=0.05)
    assert not ending.done()
    drain.set()
    assert await asyncio.wait_for(ending, 0.8 * POLL_S)


async def test_lines_that_a_stop_cuts_off_do_not_look_complete(entries: Entries) -> None:
    drain = asyncio.Event()
    head = await entries.happened(*(registered(number, 1) for number in range(10, 110)))
    lines = entries.streams(drain).lines(Wanted(), 0, until=head, limit=None)
    assert (await anext(lines)).count(b"\n") == 100
    drain.set()
    with pytest.raises(ConnectionAbortedError):
        await anext(lines)


async def test_a_stream_holds_no_connection_while_it_sends_and_waits(entries: Entries) -> None:
    stream = Followed(entries.streams().server_sent_events(Wanted(), 0, limit=None))
    await stream.next()
    assert await stream.ids() == list(range(1, HEAD + 1))
    assert entries.log.pool.get_idle_size() == entries.log.pool.get_size() > 0
