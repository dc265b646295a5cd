"""The transparency log over HTTP: who may read what, what may be kept for ever, and proofs that can be waited for."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
import pytest_asyncio
from litestar import Litestar
from litestar.datastructures import State
from prometheus_client import CollectorRegistry

from services.edge.keys import keys_at
from services.edge.metrics import Metrics
from services.edge.outer import Outer
from services.edge.problems import exception_handlers
from services.edge.tokens import Authenticator, caller_dependencies
from services.embedded.data_folder import DataFolder
from services.embedded.issuer import AUDIENCE, ISSUER, Issuer
from services.projections import app
from services.projections.transparency.note import Verifier, open_checkpoint
from services.projections.transparency.routes import wait_s_of
from services.projections.transparency.tiles import Tile, beginning, unbundle
from services.projections.transparency.tree import check_inclusion, leaf_hash, split
from tests.integration.filled_log import FilledLog
from tests.transparency.published_log import PublishedLog, entries

SIZE = 300


@contextlib.asynccontextmanager
async def serving(url: str, tiles: str | None, data_folder: DataFolder) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the read side's routes, behind the edge."""
    keys = keys_at(str(Issuer(data_folder).jwks()))
    authenticator = Authenticator(keys, issuer=ISSUER, audience=AUDIENCE)
    application = Litestar(
        app.routes(),
        dependencies=dict(caller_dependencies),
        exception_handlers=exception_handlers,
        state=State({"authenticator": authenticator, "drain": asyncio.Event()}),
        logging_config=None,
    )
    outer = Outer(application, Metrics(CollectorRegistry()))
    reading = app.reading(application.state, url, registry=CollectorRegistry(), tiles=tiles)
    async with keys.kept_fresh(), reading:
        transport = httpx.ASGITransport(outer)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            yield http


@pytest_asyncio.fixture
async def http(
    log: PublishedLog, database: FilledLog, data_folder: DataFolder, bearer: Callable[..., dict[str, str]]
) -> AsyncIterator[httpx.AsyncClient]:
    """A client that may read the log, of a log of 300 entries that is published."""
    await log.put(entries(1, SIZE))
    await log.publish()
    async with serving(database.url, str(log.folder), data_folder) as client:
        client.headers.update(bearer("log:read"))
        yield client


async def test_anyone_reads_the_checkpoint(log: PublishedLog, http: httpx.AsyncClient) -> None:
    del http.headers["Authorization"]
    answer = await http.get("/log/checkpoint")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert answer.headers["Cache-Control"] == "public, max-age=1"
    assert open_checkpoint(answer.text, Verifier(log.signer.vkey)) == log.checkpoint()
    again = await http.get("/log/checkpoint", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"])
async def test_anyone_reads_tiles_and_keeps_them_for_ever(
    log: PublishedLog, http: httpx.AsyncClient, path: str
) -> None:
    del http.headers["Authorization"]
    answer = await http.get(f"/log/{path}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/octet-stream")
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.content == (log.folder / path).read_bytes()


@pytest.mark.parametrize("path", ["tile/entries/000", "tile/entries/001.p/44"])
async def test_entries_need_the_scope(
    log: PublishedLog, http: httpx.AsyncClient, bearer: Callable[..., dict[str, str]], path: str
) -> None:
    answer = await http.get(f"/log/{path}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/octet-stream")
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer.content == (log.folder / path).read_bytes()
    assert (await http.get(f"/log/{path}", headers=bearer("persons:read"))).status_code == 403
    del http.headers["Authorization"]
    assert (await http.get(f"/log/{path}")).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        *("tile/0/002", "tile/0/001", "tile/0/001.p/45", "tile/2/000", "tile/64/000", "tile/0/1", "tile/00/000"),
        *("tile/0/000.p/0", "tile/0/000.p/256", "tile/entries/002", "tile/entries/001.p/045", "tile/0", "tile"),
        *("tile/0/%2e%2e/%2e%2e/checkpoint", "tile/0/..%2f..%2fcheckpoint", "tile/%2e%2e/checkpoint"),
        *("tile/0/..\\..\\guard", "tile/0/000%00", "tile/0/x000/000", "../guard", "guard"),
    ],
)
async def test_there_is_nothing_else(http: httpx.AsyncClient, path: str) -> None:
    url = httpx.URL(f"http://test/log/{path}")
    answer = await http.get(url)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_partial_tile_that_was_removed_is_made_of_the_full_one(
    log: PublishedLog, http: httpx.AsyncClient
) -> None:
    contents = entries(1, 800)
    await log.put(contents[SIZE:])
    await log.publish()
    assert not (log.folder / "tile/0/001.p").exists()
    hashes = await http.get("/log/tile/0/001.p/44")
    assert split(hashes.content) == [leaf_hash(entry) for entry in contents[256:300]]
    assert hashes.content == beginning(Tile(0, 1, 44), (log.folder / "tile/0/001").read_bytes())
    assert unbundle((await http.get("/log/tile/entries/001.p/44")).content) == contents[256:300]


@pytest.mark.parametrize("position", [1, 256, 257, 300])
async def test_an_entry_is_proved(log: PublishedLog, http: httpx.AsyncClient, position: int) -> None:
    answer = await http.get(f"/v1/log/entries/{position}/proof")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    head, note = answer.text.split("\n\n", 1)
    first, index, *hashes = head.split("\n")
    assert (first, index) == ("c2sp.org/tlog-proof@v1", f"index {position - 1}")
    checkpoint = open_checkpoint(note, Verifier(log.signer.vkey))
    proof = [base64.b64decode(line) for line in hashes]
    entry = (await http.get(f"/v1/log/entries/{position}")).content
    check_inclusion(leaf_hash(entry), position - 1, checkpoint.size, checkpoint.root, proof)


@pytest.mark.parametrize("position", [0, SIZE + 1, 2**63, 2**70])
async def test_what_is_in_no_checkpoint_has_no_proof(http: httpx.AsyncClient, position: int) -> None:
    answer = await http.get(f"/v1/log/entries/{position}/proof")
    assert (answer.status_code, answer.json()["size"]) == (404, SIZE)


async def test_a_proof_needs_the_scope(http: httpx.AsyncClient, bearer: Callable[..., dict[str, str]]) -> None:
    path = "/v1/log/entries/1/proof"
    assert (await http.get(path, headers=bearer("persons:read"))).status_code == 403
    del http.headers["Authorization"]
    assert (await http.get(path)).status_code == 401


async def test_a_proof_is_waited_for(log: PublishedLog, http: httpx.AsyncClient) -> None:
    asked = http.get(f"/v1/log/entries/{SIZE + 1}/proof", headers={"Prefer": "wait=30"})
    waiting = asyncio.create_task(asked)
    await asyncio.wait((waiting,), timeout=0.05)
    assert not waiting.done()
    await log.put(entries(SIZE + 1, SIZE + 1))
    await log.publish()
    answer = await asyncio.wait_for(waiting, 0.8)  # woken, not polled
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, "wait=10")


@pytest.mark.parametrize(
    ("prefer", "wait_s"),
    [
        (None, 0),
        ("wait=3", 3),
        ("respond-async, wait=100", 10),
        ('Wait = "5"; x=1', 5),
        ("return=minimal", 0),
        ("await=3", 0),
        ("wait=-1", 0),
        ("wait=x", 0),
        ("wait=٣", 0),
    ],
)
def test_what_is_preferred(prefer: str | None, wait_s: int) -> None:
    assert wait_s_of(prefer) == wait_s


async def test_where_nothing_is_published_there_is_nothing(
    database: FilledLog, data_folder: DataFolder, bearer: Callable[..., dict[str, str]]
) -> None:
    async with serving(database.url, None, data_folder) as client:
        client.headers.update(bearer("log:read"))
        for path in ("/log/checkpoint", "/log/tile/0/000", "/log/tile/entries/000", "/v1/log/entries/1/proof"):
            assert (await client.get(path)).status_code == 404
