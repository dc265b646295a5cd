"""The public catalogue and the pathways over HTTP, out of a real log. No follower runs here: they never lag."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import date
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from litestar import Litestar
from litestar.datastructures import State
from prometheus_client import CollectorRegistry

from contracts.facts import Bloc, Fact
from contracts.facts.catalogue import Competence, Fiche
from contracts.problems import Unavailable
from services.edge.keys import keys_at
from services.edge.metrics import Metrics
from services.edge.outer import Outer
from services.edge.problems import exception_handlers
from services.edge.tokens import Authenticator, caller_dependencies
from services.embedded.data_folder import DataFolder
from services.embedded.issuer import AUDIENCE, ISSUER, Issuer
from services.embedded.postgres import Postgres
from services.projections import app
from services.projections.positions import LOG, Positions
from tests.integration.filled_log import FilledLog, filled_log
from tests.unit.careers import erased, merged, person, recorded_at, uid, validated
from tests.unit.catalogues import partial, repealed, total, version, withdrawn

ROBOTS = version(
    "cqpm-robot",
    title="Chargé d'intégration en robotique",
    level=6,
    mq_code="2014 03 67 0300",
    rncp=Fiche(code="RNCP38622", registered_from=date(2024, 1, 1), registered_until=date(2028, 12, 31)),
    blocs=(Bloc(bloc_id="etude", title="Étudier", competences=(Competence(competence_id="c1", label="L"),)),),
)
HISTORY: list[Fact] = [
    ROBOTS,
    version("cqpi-agent", family="CQPI", branches=("plasturgie", "metallurgie"), level=3),
    version("cqpm-weld", 1, "weld", "common", title="Soudeur"),
    person(1),
    version("cqpm-weld", 2, "weld", "common", "control", title="Soudeur-contrôleur", effective_from=date(2019, 1, 1)),
    version("cqpm-soon", effective_from=date(2099, 1, 1)),
    version("cqpm-gone", family="CCPM"),
    withdrawn("cqpm-gone", date(2019, 1, 1), "cqpm-weld"),
    partial(1, ("cqpm-weld", ("weld",)), ("cqpi-agent", ("bloc",))),
    total(2, "cqpm-gone", "cqpm-weld"),
    repealed(2, date(2020, 1, 1)),
    person(2),
    validated(1, 1, 1, "weld", certification_id="cqpm-weld", usable_until=date(2023, 6, 1)),
    validated(2, 2, 2, "common", certification_id="cqpm-weld", usable_until=date(2023, 6, 1)),
    person(3),
    erased(3),
    merged(1, 2),
]
HEAD = len(HISTORY)
IDS = ["cqpi-agent", "cqpm-gone", "cqpm-robot", "cqpm-soon", "cqpm-weld"]


@contextlib.asynccontextmanager
async def client(log: FilledLog, data_folder: DataFolder) -> AsyncIterator[httpx.AsyncClient]:
    keys = keys_at(str(Issuer(data_folder).jwks()))
    application = Litestar(
        app.routes(),
        dependencies=dict(caller_dependencies),
        exception_handlers=exception_handlers,
        state=State({"authenticator": Authenticator(keys, issuer=ISSUER, audience=AUDIENCE)}),
        logging_config=None,
    )
    async with keys.kept_fresh(), app.reading(application.state, log.url):
        transport = httpx.ASGITransport(Outer(application, Metrics(CollectorRegistry())))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            yield http


@pytest_asyncio.fixture(scope="module")
async def http(postgres: Postgres, data_folder: DataFolder) -> AsyncIterator[httpx.AsyncClient]:
    """A registry where nothing happens any more."""
    await postgres.create_database("catalogue")
    async with filled_log(postgres.url("catalogue")) as log:
        await log.put(HISTORY)
        async with client(log, data_folder) as http:
            yield http


@pytest.fixture
def bearer(data_folder: DataFolder) -> Callable[..., dict[str, str]]:
    """The header of a token with some scopes."""
    issuer = Issuer(data_folder)

    def header(*scopes: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {issuer.token(scopes, [''], 'test', 60)}"}

    return header


async def ids(http: httpx.AsyncClient, query: str) -> list[str]:
    answer = await http.get(f"/v1/certifications?{query}")
    assert answer.status_code == 200, answer.text
    return [row["certification_id"] for row in answer.json()]


async def test_everybody_sees_every_certification_in_the_order_of_ids(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/certifications?at=2020-01-01")
    assert (answer.status_code, answer.headers["Registry-Position"]) == (200, str(HEAD))
    assert "Link" not in answer.headers
    rows = answer.json()
    assert [(row["certification_id"], row["status"], row["version"]) for row in rows] == [
        ("cqpi-agent", "IN_FORCE", 1),
        ("cqpm-gone", "WITHDRAWN", 1),
        ("cqpm-robot", "IN_FORCE", 1),
        ("cqpm-soon", "UPCOMING", None),
        ("cqpm-weld", "IN_FORCE", 2),
    ]
    assert rows[2] == {
        "certification_id": "cqpm-robot",
        "status": "IN_FORCE",
        "version": 1,
        "family": "CQPM",
        "title": "Chargé d'intégration en robotique",
        "mq_code": "2014 03 67 0300",
        "level": 6,
        "effective_from": "2014-01-01",
        "branches": ["metallurgie"],
        "rncp": {
            "code": "RNCP38622",
            "registered_from": "2024-01-01",
            "registered_until": "2028-12-31",
            "routes": [],
            "bloc_codes": {},
        },
        "rome": [],
        "blocs": [{"bloc_id": "etude", "title": "Étudier"}],
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=INTEGRATION", ["cqpm-robot"]),
        ("q=etudier", ["cqpm-robot"]),
        ("q=rncp38622", ["cqpm-robot"]),
        ("q=0300", ["cqpm-robot"]),
        ("q=cqpm", IDS[1:]),
        ("q=controleur&at=2018-12-31", []),
        ("q=controleur&at=2019-01-01", ["cqpm-weld"]),
        ("q=%00", IDS),
        ("family=CQPI", ["cqpi-agent"]),
        ("level=6", ["cqpm-robot"]),
        ("branch=plasturgie", ["cqpi-agent"]),
        ("branch=metallurgie", IDS),
        ("branch=nowhere", []),
        ("status=UPCOMING", ["cqpm-soon"]),
        ("status=WITHDRAWN&at=2018-12-31", []),
        ("status=IN_FORCE&family=CQPM&q=soudeur", ["cqpm-weld"]),
        ("at=2000-01-01", IDS),
    ],
)
async def test_certifications_are_filtered_by_what_they_are_on_the_day(
    http: httpx.AsyncClient, query: str, found: list[str]
) -> None:
    assert await ids(http, query) == found


@pytest.mark.parametrize(
    "query",
    [
        "family=BLOC",
        "level=0",
        "level=9",
        "level=x",
        "branch=É",
        "at=2020",
        "status=OPEN",
        "limit=0",
        "limit=1001",
        "as_of=soon",
        "min_position=-1",
        f"q={'x' * 301}",
    ],
)
async def test_bad_questions_are_malformed(http: httpx.AsyncClient, query: str) -> None:
    answer = await http.get(f"/v1/certifications?{query}")
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed"), answer.text


@pytest.mark.parametrize(("path", "id_"), [("certifications", "certification_id"), ("equivalences", "equivalence_id")])
@pytest.mark.parametrize("limit", [1, 2, 3, 5])
async def test_pages_follow_one_another_by_their_links(
    http: httpx.AsyncClient, path: str, id_: str, limit: int
) -> None:
    url = f"/v1/{path}?at=2018-06-01&as_of={HEAD}"
    everything = (await http.get(url)).json()
    answer = await http.get(f"{url}&limit={limit}")
    rows = answer.json()
    while next_page := answer.links.get("next"):
        assert len(answer.json()) == limit
        answer = await http.get(next_page["url"])
        rows += answer.json()
    assert rows == everything
    assert [row[id_] for row in rows] == sorted(row[id_] for row in rows)


async def test_the_link_to_the_next_page_keeps_the_question(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/certifications?q=bl%C3%B4c+cqpm&family=CQPM&limit=1&after=cqpm-a")
    assert [row["certification_id"] for row in answer.json()] == ["cqpm-soon"]
    address = "/v1/certifications?q=bl%C3%B4c+cqpm&family=CQPM&limit=1&after=cqpm-soon"
    assert answer.headers["Link"] == f'<{address}>; rel="next"'
    answer = await http.get(address)
    assert ([row["certification_id"] for row in answer.json()], "Link" in answer.headers) == (["cqpm-weld"], False)


async def test_one_certification_with_its_versions(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/certifications/cqpm-weld?at=2018-12-31")
    assert (answer.status_code, answer.headers["Registry-Position"]) == (200, str(HEAD))
    told = answer.json()
    assert (told["version"], told["title"], [bloc["bloc_id"] for bloc in told["blocs"]]) == (
        1,
        "Soudeur",
        ["weld", "common"],
    )
    assert [(one["version"], one["position"]) for one in told["versions"]] == [(1, 3), (2, 5)]
    assert told["blocs"][0]["competences"] == [{"competence_id": "weld-x", "label": "X"}]


async def test_a_version_is_told_as_published(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/certifications/cqpm-robot/versions/1")
    assert answer.status_code == 200
    assert answer.json() == msgspec.json.decode(msgspec.json.encode(ROBOTS))


@pytest.mark.parametrize(
    "path",
    [
        "nothing",
        "’",
        "%00",
        "cqpm-weld/versions/0",
        "cqpm-weld/versions/3",
        "cqpm-weld/versions/-1",
        "nothing/versions/1",
        "cqpm-weld?as_of=2",
        "cqpm-weld/versions/2?as_of=4",
    ],
)
async def test_what_is_not_published_is_not_found_at_a_position(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(f"/v1/certifications/{path}")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
    assert answer.headers["Registry-Position"] == path.partition("as_of=")[2] or str(HEAD)


async def test_everybody_may_ask_what_was_known_then(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/certifications?as_of=3")
    assert [row["certification_id"] for row in answer.json()] == ["cqpi-agent", "cqpm-robot", "cqpm-weld"]
    assert answer.headers["Registry-Position"] == "3"
    assert (await http.get("/v1/certifications?as_of=0")).json() == []
    time = recorded_at(4).isoformat().replace("+00:00", "Z")
    answer = await http.get(f"/v1/certifications/cqpm-weld?as_of={time}&at=2020-01-01")
    assert (answer.headers["Registry-Position"], answer.json()["version"]) == ("4", 1)


async def test_as_of_a_moment_the_day_is_the_one_of_that_moment(http: httpx.AsyncClient) -> None:
    """All of this was recorded in January 2018."""
    for as_of in (str(HEAD), recorded_at(HEAD).isoformat().replace("+00:00", "Z")):
        answer = await http.get(f"/v1/certifications/cqpm-weld?as_of={as_of}")
        assert (answer.json()["version"], len(answer.json()["versions"])) == (1, 2)
        [row] = (await http.get(f"/v1/certifications?q=gone&as_of={as_of}")).json()
        assert (row["status"], row["withdrawal"]["effective_from"]) == ("IN_FORCE", "2019-01-01")
    assert (await http.get("/v1/certifications/cqpm-weld")).json()["version"] == 2


async def test_equivalences_with_their_repeals(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/equivalences?at=2020-01-01")
    assert (answer.status_code, answer.headers["Registry-Position"]) == (200, str(HEAD))
    by_id = {row["equivalence_id"]: row for row in answer.json()}
    partially, totally = by_id[uid("equivalence", 1)], by_id[uid("equivalence", 2)]
    assert (partially["status"], partially["source"]) == (
        "IN_FORCE",
        {"certification_id": "cqpm-weld", "bloc_ids": ["weld"]},
    )
    assert (totally["status"], totally["repeal"]) == ("REPEALED", {"effective_from": "2020-01-01", "position": 11})
    for query in ("status=REPEALED", "source=cqpm-gone", "target=cqpm-weld"):
        found = (await http.get(f"/v1/equivalences?at=2020-01-01&{query}")).json()
        assert found == [totally]
    [before] = (await http.get("/v1/equivalences?as_of=10&source=cqpm-gone&at=2020-01-01")).json()
    assert (before["status"], "repeal" in before) == ("IN_FORCE", False)


def pathways(of: int) -> str:
    return f"/v1/persons/{uid('person', of)}/pathways"


async def test_pathways_need_the_scope(http: httpx.AsyncClient, bearer: Any) -> None:
    assert (await http.get(pathways(1))).status_code == 401
    assert (await http.get(pathways(1), headers=bearer("log:read"))).status_code == 403


@pytest.mark.parametrize("of", [1, 2])
async def test_pathways_of_a_person_under_both_ids(http: httpx.AsyncClient, bearer: Any, of: int) -> None:
    answer = await http.get(f"{pathways(of)}?at=2020-01-01", headers=bearer("persons:read"))
    assert answer.status_code == 200
    assert (answer.headers["Registry-Position"], answer.headers["ETag"]) == (str(HEAD), f'"{HEAD}-2020-01-01"')
    assert answer.json() == [
        {"certification_id": "cqpi-agent", "version": 1, "held": [], "equivalent": ["bloc"], "missing": []},
        {"certification_id": "cqpm-robot", "version": 1, "held": [], "equivalent": [], "missing": ["etude"]},
        {
            "certification_id": "cqpm-weld",
            "version": 2,
            "held": ["weld", "common"],
            "equivalent": [],
            "missing": ["control"],
        },
    ]


async def test_pathways_as_known_then(http: httpx.AsyncClient, bearer: Any) -> None:
    """Before the merge, and before the blocs; on the day of that moment, which was before they were validated."""
    answer = await http.get(f"{pathways(2)}?as_of={HEAD - 1}&at=2018-06-01", headers=bearer("persons:read"))
    weld = next(row for row in answer.json() if row["certification_id"] == "cqpm-weld")
    assert (answer.headers["Registry-Position"], weld["version"], weld["held"]) == (str(HEAD - 1), 1, ["common"])
    answer = await http.get(f"{pathways(2)}?as_of=12&at=2018-06-01", headers=bearer("persons:read"))
    assert all(row["held"] == [] for row in answer.json())
    answer = await http.get(f"{pathways(1)}?as_of={HEAD}", headers=bearer("persons:read"))
    assert all(row["held"] == [] for row in answer.json())
    assert "cqpm-gone" in [row["certification_id"] for row in answer.json()]


@pytest.mark.parametrize(
    ("path", "status", "position"),
    [
        (pathways(3), 410, HEAD),
        (f"{pathways(3)}?as_of=15", 410, HEAD),
        (pathways(9), 404, HEAD),
        (f"{pathways(2)}?as_of=11", 404, 11),
        ("/v1/persons/%00/pathways", 404, HEAD),
        (pathways(1).upper().replace("V1/PERSONS", "v1/persons").replace("PATHWAYS", "pathways"), 404, HEAD),
    ],
)
async def test_who_is_erased_or_unknown_has_no_pathways(
    http: httpx.AsyncClient, bearer: Any, path: str, status: int, position: int
) -> None:
    answer = await http.get(path, headers=bearer("persons:read"))
    assert (answer.status_code, answer.headers["Registry-Position"]) == (status, str(position))


@pytest_asyncio.fixture
async def log(database_url: str) -> AsyncIterator[FilledLog]:
    async with filled_log(database_url) as filled:
        await filled.put(HISTORY)
        yield filled


async def test_what_has_just_been_recorded_is_known_and_the_rest_is_not_sent_again(
    log: FilledLog, data_folder: DataFolder, bearer: Any
) -> None:
    async with client(log, data_folder) as http:
        before = await http.get("/v1/certifications?at=2020-01-01")
        known = {"If-None-Match": before.headers["ETag"]}
        await log.put([person(4)])
        answer = await http.get("/v1/certifications?at=2020-01-01", headers=known)
        assert (answer.status_code, answer.headers["Registry-Position"]) == (304, str(HEAD + 1))
        await log.put([version("cqpm-new", 1, "weld")])
        answer = await http.get("/v1/certifications?at=2020-01-01", headers=known)
        assert (answer.status_code, answer.headers["Registry-Position"]) == (200, str(HEAD + 2))
        assert len(answer.json()) == len(before.json()) + 1
        answer = await http.get(f"{pathways(1)}?at=2020-01-01", headers=bearer("persons:read"))
        assert {"certification_id": "cqpm-new", "version": 1, "held": ["weld"], "equivalent": [], "missing": []} in (
            answer.json()
        )


@pytest.mark.parametrize("query", [f"min_position={HEAD + 1}", f"as_of={HEAD + 1}"])
async def test_a_caller_waits_for_its_own_write(log: FilledLog, data_folder: DataFolder, query: str) -> None:
    async with client(log, data_folder) as http:
        waiting = asyncio.create_task(http.get(f"/v1/certifications/cqpm-new?{query}"))
        await asyncio.wait([waiting], timeout=0.1)
        assert not waiting.done()
        await log.put([version("cqpm-new")])
        answer = await waiting
        assert (answer.status_code, answer.headers["Registry-Position"]) == (200, str(HEAD + 1))


async def test_a_position_that_the_log_does_not_reach_is_unavailable(log: FilledLog) -> None:
    positions = Positions(log.pool, log.reader, log.news)
    assert await positions.position(LOG) == HEAD
    with pytest.raises(Unavailable):
        await positions.reached(LOG, HEAD + 1, wait_s=0.05)


async def test_the_document_of_the_interface_names_what_is_answered(http: httpx.AsyncClient) -> None:
    document = (await http.get("/schema/openapi.json")).json()
    names = {name.rsplit("_", 1)[-1] for name in document["components"]["schemas"]}
    assert {"CertificationRow", "CertificationDetail", "PublishCertification", "EquivalenceRow", "Pathway"} <= names
    parameters = document["paths"]["/v1/certifications"]["get"]["parameters"]
    assert [one["name"] for one in parameters] == [
        *("family", "level", "branch", "q", "status", "at", "as_of", "min_position", "after", "limit")
    ]
