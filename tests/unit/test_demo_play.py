"""The demo against a registry made of the contract's model: all of it is accepted, once, whatever goes wrong midway."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import click
import httpx2
import pytest
import stamina

from services.demo.catalogue import catalogue
from services.demo.command import compare
from services.demo.plan import plans
from services.demo.play import Registry, play
from services.demo.year import careers, careers_total, preamble
from services.remote import Refused
from tests.model.model import Accepted, Model
from tests.model.small_world import uid

SCALE = 0.015
TODAY = date(2026, 11, 23)

Fault = Callable[[httpx2.Response], httpx2.Response]


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=5):
        yield


class ModelRegistry:
    """The HTTP interface, as far as the demo calls it. `faults` befall the answers of the posts in turn."""

    def __init__(self) -> None:
        self.model = Model()
        self.persons: dict[str, str] = {}
        self.faults: list[Fault | None] = []

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.MockTransport(self._handle), base_url="http://registry")

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        match request.url.path.split("/")[2:]:
            case ["persons"]:
                assert request.headers["content-type"] == "application/x-ndjson"
                results = [self._person(line) for line in request.content.splitlines()]
                return self._spoil(
                    httpx2.Response(200, content=b"".join(json.dumps(r).encode() + b"\n" for r in results))
                )
            case ["events"]:
                assert request.headers["content-type"] == "application/cloudevents-batch+json"
                events = json.loads(request.content)
                assert len(events) <= 1000
                return self._spoil(httpx2.Response(200, json={"results": [self._event(event) for event in events]}))
            case ["branch", "counts"]:
                return httpx2.Response(200, json=self.model.counts(int(request.url.params["year"])))
            case _:
                return httpx2.Response(404, json={"title": "There is no such thing", "status": 404})

    def _spoil(self, answer: httpx2.Response) -> httpx2.Response:
        fault = self.faults.pop(0) if self.faults else None
        return fault(answer) if fault else answer

    def _person(self, line: bytes) -> dict[str, Any]:
        identity = json.dumps(json.loads(line), sort_keys=True)
        if identity in self.persons:
            return {"status": 200, "person_id": self.persons[identity]}
        self.persons[identity] = uid(identity)
        self.model.register_person(uid(identity), TODAY)
        return {"status": 201, "person_id": uid(identity)}

    def _event(self, event: dict[str, Any]) -> dict[str, Any]:
        assert event["specversion"] == "1.0"
        result = self.model.post(event["type"], event["data"], TODAY, source=event["source"], id_=event["id"])
        if isinstance(result, Accepted):
            return {"status": 201 if result.new else 200, "position": result.position}
        status, rule = sorted(result.reasons, key=str)[0]
        return {"status": status, "title": "Refused", "rule": rule}


def run(registry: ModelRegistry, scale: float = SCALE) -> tuple[Registry, str, dict[str, Any]]:
    """Play the demo; the caller's tally, the person it names, and the counts of 2018."""
    told: list[int] = []

    async def played() -> tuple[Registry, str, dict[str, Any]]:
        async with registry.client() as client:
            caller = Registry(client)
            person_id = await play(caller, preamble(catalogue()), careers(catalogue(), scale), told.append)
            assert sum(told) == careers_total(scale)
            return caller, person_id, await caller.view("/v1/branch/counts", year=2018)

    return asyncio.run(played())


def expected(scale: float = SCALE) -> tuple[int, int]:
    """Registrations and beneficiaries of the first part of the year."""
    results = [result for plan in plans()[: careers_total(scale)] for result in plan.results]
    return len(results), results.count("AWARDED")


def test_the_contract_accepts_all_of_it() -> None:
    registry = ModelRegistry()
    caller, person_id, counts = run(registry)
    assert (counts["registered"], counts["beneficiaries"]) == expected()
    assert caller.new == caller.events == len(registry.model.world.log) - len(registry.persons)
    assert caller.position == len(registry.model.world.log)
    assert registry.model.competencies(person_id, TODAY)["certificates"]
    assert registry.model.counts(2023)["objective"] == {"beneficiaries": 30_000, "progress": 0.0}
    assert all(counts["by_family"][family]["beneficiaries"] for family in ("CQPM", "CQPI", "CCPM", "CCPI", "BLOC"))


def test_playing_it_again_records_nothing_twice() -> None:
    registry = ModelRegistry()
    first, person_id, counts = run(registry)
    length = len(registry.model.world.log)
    again, same_person_id, same_counts = run(registry)
    assert (again.events, again.new, again.position) == (first.events, 0, length)
    assert (same_person_id, same_counts) == (person_id, counts)
    assert len(registry.model.world.log) == length


def test_a_larger_scale_goes_on_where_a_smaller_one_ended() -> None:
    registry = ModelRegistry()
    first, _, _ = run(registry, SCALE / 2)
    again, _, counts = run(registry)
    assert again.events - again.new == first.events
    assert (counts["registered"], counts["beneficiaries"]) == expected()


def lost(_: httpx2.Response) -> httpx2.Response:
    raise httpx2.ReadError("the answer was lost")


def busy(_: httpx2.Response) -> httpx2.Response:
    return httpx2.Response(
        503, headers={"Retry-After": "0"}, json={"title": "Not now", "status": 503, "detail": "full"}
    )


def cut(answer: httpx2.Response) -> httpx2.Response:
    """The log went out of reach: the last lines have no result, or are refused for what they miss."""
    if answer.headers.get("content-type") != "application/json":
        return httpx2.Response(200, content=b"\n".join(answer.content.splitlines()[:3]))
    results = answer.json()["results"]
    failed = [{"status": 503, "title": "Not now"}, {"status": 422, "title": "Refused", "rule": "B1"}]
    return httpx2.Response(200, json={"results": results[:-2] + failed})


def test_lost_answers_and_busy_registries_are_survived() -> None:
    registry = ModelRegistry()
    registry.faults = [lost, busy, None, lost, cut, cut, None, busy, lost]
    _, _, counts = run(registry)
    assert not registry.faults
    assert (counts["registered"], counts["beneficiaries"]) == expected()
    ids = [data["registration_id"] for name, data in registry.model.world.log if name == "candidate.registered"]
    assert len(ids) == len(set(ids)) == expected()[0]


def test_a_demo_that_was_killed_goes_on() -> None:
    registry = ModelRegistry()
    registry.faults = [None, None, None, *[lost] * 50]
    with pytest.raises(httpx2.ReadError):
        run(registry)
    registry.faults = []
    again, _, counts = run(registry)
    assert again.new < again.events
    assert (counts["registered"], counts["beneficiaries"]) == expected()


def test_a_refusal_stops_the_demo_and_is_shown_with_what_was_posted() -> None:
    registry = ModelRegistry()
    other = {"year": 2023, "beneficiaries": 1}
    source, id_ = "urn:certibranche:demo:2018", "objective-2023"
    registry.model.post("certibranche.objective.set.v1", other, TODAY, source=source, id_=id_)
    with pytest.raises(Refused) as refused:
        run(registry)
    assert refused.value.problem["rule"] == "I1"
    assert '"beneficiaries": 30000' in refused.value.message


def test_other_counts_than_the_agreements_fail_the_demo() -> None:
    by_status = {"SALARIE": {"beneficiaries": 10_623}, "DEMANDEUR_EMPLOI": {"beneficiaries": 3_134}}
    counts = {"registered": 15_099, "beneficiaries": 13_757, "by_status": by_status, "success_rate": 0.9111}
    compare(counts)
    with pytest.raises(
        click.ClickException, match=r"not those of the agreement: registered 15100, success_rate 0\.911\."
    ):
        compare(counts | {"registered": 15_100, "success_rate": 0.911})
