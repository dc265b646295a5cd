"""What is told of a read, and what becomes of it while nothing can be written."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from contracts.problems import Unavailable
from services.accesses.entries import Access, access_of
from services.accesses.recorder import Recorder
from tests.ports import free_port

ACCESS = Access(datetime.now(UTC), "hr", "GET", "/v1/log/entries", 200, [], {})
PERSON_ID = "0b7e4c1a-52d9-4f0e-8a63-9d1f7c2b6e58"


def lost(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("certibranche_accesses_lost_total")


async def test_what_waits_is_bounded_and_what_is_lost_is_counted() -> None:
    registry = CollectorRegistry()
    queue = Recorder(registry, keep_days=365, waiting_max=3)
    for _ in range(5):
        queue.note(ACCESS)
    assert (registry.get_sample_value("certibranche_accesses_waiting"), lost(registry)) == (3, 2)
    with pytest.raises(Unavailable):
        await queue.keep(ACCESS)


async def test_without_a_database_identities_are_refused_and_the_end_tells_what_is_lost() -> None:
    registry = CollectorRegistry()
    queue = Recorder(registry, keep_days=365, durable_s=0.2)
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    async with asyncpg.create_pool(nowhere, min_size=0) as pool, queue.running(pool):
        queue.note(ACCESS)
        with pytest.raises(Unavailable):
            await queue.keep(ACCESS)
        assert lost(registry) == 0, "it is tried again until the end"
    assert lost(registry) == 2


@pytest.mark.parametrize(
    ("path", "query", "tags", "target"),
    [
        ({"person_id": PERSON_ID}, "", [f"person:{PERSON_ID}"], {}),
        ({"person_id": PERSON_ID.upper()}, "", [], {}),
        ({"person_id": "Jeanne Martin"}, "", [], {}),
        ({"position": 7}, "", [], {"position": 7}),
        ({}, f"tag=person:{PERSON_ID}&tag=x:y&tag=person:{PERSON_ID}", [f"person:{PERSON_ID}"], {}),
        ({}, f"person={PERSON_ID}&after=3&limit=9", [f"person:{PERSON_ID}"], {"after": 3, "limit": 9}),
        ({}, "after=-1&limit=1e3&limit=%D9%A3&position=Martin&q=Martin", [], {}),
        ({"place": "/x001/067.p/8"}, "", [], {"place": "x001/067.p/8"}),
        ({"place": "/Martin"}, "", [], {}),
    ],
)
def test_only_ids_and_positions_are_told(
    path: dict[str, Any], query: str, tags: list[str], target: dict[str, Any]
) -> None:
    scope = {"method": "GET", "path_params": path, "query_string": query.encode()}
    access = access_of(scope, "/route", "hr", 200)
    assert (access.tags, access.target) == (tags, target)
    assert access[1:5] == ("hr", "GET", "/route", 200)
