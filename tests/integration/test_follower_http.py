"""The read models over HTTP: who may ask for what, and what every answer says of its position."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from litestar.datastructures import State
from prometheus_client import CollectorRegistry, generate_latest

from contracts.facts import Fact
from services.embedded.data_folder import DataFolder
from services.projections import app
from services.projections.exposition import counted
from services.projections.leases import Lease
from tests.integration.filled_log import FilledLog, filled_log, until
from tests.integration.read_side import read_side
from tests.unit.careers import awarded, erased, person, published, registered, uid, validated

HISTORY: list[Fact] = [
    published("cqpm-a"),
    *(person(number) for number in range(6)),
    *(registered(number, number, region="84") for number in range(5)),
    registered(5, 5, "cqpi-b"),
    validated(1, 1, 1),
    awarded(1, 1, region="84"),
    erased(0),
]
HEAD = len(HISTORY)


@pytest_asyncio.fixture
async def log(database_url: str) -> AsyncIterator[FilledLog]:
    async with filled_log(database_url) as filled:
        await filled.put(HISTORY)
        await filled.follow_up()
        yield filled


@pytest_asyncio.fixture
async def http(log: FilledLog, data_folder: DataFolder) -> AsyncIterator[httpx.AsyncClient]:
    async with read_side(log, data_folder) as client:
        yield client


def path(of: int) -> str:
    return f"/v1/persons/{uid('person', of)}/competencies"


async def test_competencies_need_the_scope(http: httpx.AsyncClient, bearer: Any) -> None:
    assert (await http.get(path(1))).status_code == 401
    assert (await http.get(path(1), headers=bearer("log:read"))).status_code == 403
    answer = await http.get(path(1), headers=bearer("persons:read"), params={"at": "2018-06-01"})
    assert answer.status_code == 200
    assert answer.headers["Registry-Position"] == str(HEAD) == str(answer.json()["position"])
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["ETag"] == f'"{HEAD}-2018-06-01"'
    [bloc], [certificate] = answer.json()["blocs"], answer.json()["certificates"]
    assert (bloc["usable"], certificate["status"], certificate["level"]) == (True, "LIVE", 5)


@pytest.mark.parametrize(("of", "status"), [(0, 410), (9, 404)])
async def test_who_is_erased_or_unknown_is_so_at_a_position(
    http: httpx.AsyncClient, bearer: Any, of: int, status: int
) -> None:
    answer = await http.get(path(of), headers=bearer("persons:read"))
    assert (answer.status_code, answer.headers["Registry-Position"]) == (status, str(HEAD))
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == status


async def test_what_cannot_be_an_id_is_not_found(http: httpx.AsyncClient, bearer: Any) -> None:
    for text in ("x", "%00", "%ED%A0%80", uid("person", 1).upper()):
        answer = await http.get(f"/v1/persons/{text}/competencies", headers=bearer("persons:read"))
        assert answer.status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "at=2018",
        "at=2018-02-30",
        "as_of=soon",
        "min_position=-1",
        f"min_position={2**63}",
        f"as_of={'9' * 5_000}",
        "min_position=x",
    ],
)
async def test_bad_parameters_are_malformed(http: httpx.AsyncClient, bearer: Any, query: str) -> None:
    answer = await http.get(f"{path(1)}?{query}", headers=bearer("persons:read"))
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed")


async def test_counts_are_public_without_small_rows(http: httpx.AsyncClient, bearer: Any) -> None:
    public = await http.get("/v1/branch/counts?year=2018")
    assert public.status_code == 200
    assert public.headers["Registry-Position"] == str(HEAD)
    assert public.json()["by_certification"] == [{"certification_id": "cqpm-a", "registered": 5, "beneficiaries": 1}]
    assert public.json()["by_region"] == [{"region": "84", "registered": 5, "beneficiaries": 1}]
    everything = await http.get("/v1/branch/counts?year=2018", headers=bearer("log:read"))
    assert len(everything.json()["by_certification"]) == 2
    assert everything.json()["by_region"][1] == {"region": None, "registered": 1, "beneficiaries": 0}
    assert everything.headers["ETag"] != public.headers["ETag"]
    for row in ("registered", "beneficiaries", "persons", "success_rate"):
        assert public.json()[row] == everything.json()[row]


async def test_counts_of_some_years(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/branch/counts?from=2017&to=2019&branch=metallurgie")
    assert [year["year"] for year in answer.json()["years"]] == [2017, 2018, 2019]
    assert [year["registered"] for year in answer.json()["years"]] == [0, 6, 0]
    answer = await http.get("/v1/branch/counts?year=2018&branch=plasturgie")
    assert (answer.json()["registered"], answer.json()["by_branch"]) == (0, [])


async def test_as_of_needs_the_scope_of_the_log(http: httpx.AsyncClient, bearer: Any) -> None:
    url = "/v1/branch/counts?year=2018&as_of=9"
    assert (await http.get(url)).status_code == 401
    assert (await http.get(url, headers=bearer("persons:read"))).status_code == 403
    answer = await http.get(url, headers=bearer("log:read"))
    assert (answer.headers["Registry-Position"], answer.json()["position"], answer.json()["registered"]) == ("9", 9, 2)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "from=2018",
        "to=2018",
        "year=2018&to=2018",
        "from=2019&to=2018",
        "from=1&to=200",
        "year=x",
        "year=0",
        "branch=É",
        "year=2018&branch=É",
        "year=10000",
        f"year=2018&min_position={2**70}",
    ],
)
async def test_bad_questions_for_counts_are_malformed(http: httpx.AsyncClient, query: str) -> None:
    answer = await http.get(f"/v1/branch/counts?{query}")
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed"), answer.text


async def test_a_caller_reads_its_own_write(log: FilledLog, http: httpx.AsyncClient) -> None:
    head = await log.put([registered(6, 5)])
    await log.follow_up()
    answer = await http.get(f"/v1/branch/counts?year=2018&min_position={head}")
    assert answer.json()["registered"] == 7


async def test_metrics_tell_where_followers_are_and_what_they_have_counted(log: FilledLog) -> None:
    """Out of the database: the followers' own processes have no port."""
    lease = Lease(log.pool, "counts", metrics=lambda: counted("counts"))
    await lease.take()
    await log.put([registered(7, 5)])
    await log.pool.execute(
        "INSERT INTO projections.parked VALUES ('counts', 1, 'person:x', 'bug'), ('counts', 2, 'person:x', NULL)"
    )
    await log.pool.execute("UPDATE projections.view SET parked = 2 WHERE name = 'counts'")
    registry = CollectorRegistry()
    async with app.reading(State(), log.url, registry=registry):

        async def shown() -> bool:
            return "certibranche_view_position" in generate_latest(registry).decode()

        await until(shown)
        lines = generate_latest(registry).decode().splitlines()
    assert f'certibranche_view_position{{view="counts"}} {float(HEAD)}' in lines
    assert 'certibranche_view_lag_positions{view="counts"} 1.0' in lines
    assert 'certibranche_view_parked_events{view="counts"} 2.0' in lines
    assert 'certibranche_view_parked_keys{view="counts"} 1.0' in lines
    assert f'certibranche_lease{{follower="counts",holder="{lease.holder}"}} 1.0' in lines
    assert any(line.startswith('certibranche_view_batch_events_bucket{le="10.0",view="counts"}') for line in lines)
    assert any(line.startswith('certibranche_view_batch_seconds_count{view="counts"}') for line in lines)
    [seconds] = [line for line in lines if line.startswith('certibranche_view_lag_seconds{view="counts"}')]
    assert float(seconds.split()[1]) > 0
    assert "certibranche" not in generate_latest(registry).decode()


async def test_views_are_ready(log: FilledLog) -> None:
    async with app.reading(State(), log.url) as checks:
        assert set(checks) == {"view competencies", "view counts", "view entries"}
        for check in checks.values():
            await check()


async def test_the_document_of_the_interface_names_what_is_answered(http: httpx.AsyncClient) -> None:
    document = (await http.get("/schema/openapi.json")).json()
    schemas = document["components"]["schemas"]
    names = {name.rsplit("_", 1)[-1] for name in schemas}
    assert {"Competencies", "Counts", "Years"} <= names
    parameters = document["paths"]["/v1/branch/counts"]["get"]["parameters"]
    assert [one["name"] for one in parameters] == ["year", "from", "to", "branch", "as_of", "min_position"]
    certificate = next(schema for name, schema in schemas.items() if name.endswith("HeldCertificate"))
    assert "level" not in certificate["required"]
