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
from services.projections.transparency.coverage import Coverage, wait_s_of
from services.projections.transparency.note import Verifier, open_checkpoint, with_line
from services.projections.transparency.published import Published
from services.projections.transparency.tiles import Tile, beginning, unbundle
from services.projections.transparency.tree import ProofRefused, check_consistency, check_inclusion, leaf_hash, split
from tests.integration.filled_log import FilledLog, until
from tests.transparency import naive
from tests.transparency.cosigned import Cosigner
from tests.transparency.published_log import PublishedLog, entries

SIZE = 300


@contextlib.asynccontextmanager
async def serving(
    url: str, tiles: str | None, data_folder: DataFolder, registry: CollectorRegistry | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the read side's routes, behind the edge. registry: has its metrics."""
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
    reading = app.reading(application.state, url, registry=registry or CollectorRegistry(), tiles=tiles)
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


async def test_a_cosigned_checkpoint_is_another_answer(log: PublishedLog, http: httpx.AsyncClient) -> None:
    before = await http.get("/log/checkpoint")
    line = Cosigner("witness.example/1", 1).line(log.checkpoint().text())
    await log.publisher().cosigned(with_line(before.text, line))
    after = await http.get("/log/checkpoint", headers={"If-None-Match": before.headers["ETag"]})
    assert after.text == f"{before.text}{line}\n"
    proof = await http.get("/v1/log/entries/1/proof")
    assert proof.text.endswith(f"{after.text}")


async def test_anyone_reads_every_checkpoint_that_was_signed(log: PublishedLog, http: httpx.AsyncClient) -> None:
    del http.headers["Authorization"]
    await log.put(entries(SIZE + 1, 700))
    await log.publish()
    answer = await http.get("/v1/log/checkpoints")
    assert answer.headers["Cache-Control"] == "public, max-age=1"
    kept = answer.json()["checkpoints"]
    assert [one["size"] for one in kept] == [SIZE, 700]
    assert kept[1]["checkpoint"] == (await http.get("/log/checkpoint")).text
    opened = open_checkpoint(kept[0]["checkpoint"], Verifier(log.signer.vkey))
    assert opened.root == naive.root(entries(1, SIZE))
    assert (await http.get("/v1/log/checkpoints?after=300&limit=5")).json()["checkpoints"] == kept[1:]
    assert (await http.get("/v1/log/checkpoints?limit=1")).json()["checkpoints"] == kept[:1]
    assert (await http.get("/v1/log/checkpoints?after=700")).json()["checkpoints"] == []


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=1001", f"after={2**63}"])
async def test_what_is_no_range_of_checkpoints_is_refused(http: httpx.AsyncClient, query: str) -> None:
    assert (await http.get(f"/v1/log/checkpoints?{query}")).status_code == 400


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


async def proof_of_growth(http: httpx.AsyncClient, **sizes: int) -> list[bytes]:
    answer = await http.get("/v1/log/consistency", params={name.removesuffix("_"): n for name, n in sizes.items()})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["from"] == sizes["from_"]
    assert said["to"] == sizes.get("to", SIZE)
    return [base64.b64decode(line) for line in said["hashes"]]


async def test_anyone_is_proved_that_the_log_only_grew_between_any_two_sizes(
    log: PublishedLog, http: httpx.AsyncClient
) -> None:
    """Most of these sizes never had a checkpoint, and the partial tiles of none are there."""
    del http.headers["Authorization"]
    contents = entries(1, SIZE)
    sizes = (0, 1, 2, 3, 7, 255, 256, 257, 299, 300)
    roots = {size: naive.root(contents[:size]) for size in sizes}
    for older in sizes:
        for newer in (size for size in sizes if size >= older):
            proof = await proof_of_growth(http, from_=older, to=newer)
            check_consistency(older, roots[older], newer, roots[newer], proof)
            if older not in (0, newer):
                with pytest.raises(ProofRefused):
                    check_consistency(older, roots[older], newer, roots[0], proof)


async def test_growth_is_proved_up_to_the_checkpoint_unless_another_size_is_named(
    log: PublishedLog, http: httpx.AsyncClient
) -> None:
    root = naive.root(entries(1, 100))
    check_consistency(100, root, SIZE, log.checkpoint().root, await proof_of_growth(http, from_=100))
    open_ended = await http.get("/v1/log/consistency?from=100")
    assert open_ended.headers["Cache-Control"] == "public, max-age=1"
    closed = await http.get("/v1/log/consistency?from=100&to=200")
    assert closed.headers["Cache-Control"] == "public, max-age=31536000, immutable"


async def test_growth_is_proved_after_older_partial_tiles_are_gone(log: PublishedLog, http: httpx.AsyncClient) -> None:
    contents = entries(1, 1_000)
    await log.put(contents[SIZE:])
    await log.publish()
    proof = await proof_of_growth(http, from_=290, to=777)
    check_consistency(290, naive.root(contents[:290]), 777, naive.root(contents[:777]), proof)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("from=x", 400),
        ("from=-1", 400),
        ("from=1&to=-1", 400),
        ("from=2&to=1", 400),
        (f"from={2**63}", 400),
        (f"from=0&to={SIZE + 1}", 404),
        (f"from={SIZE + 1}", 404),
    ],
)
async def test_what_is_no_range_of_sizes_is_refused(http: httpx.AsyncClient, query: str, status: int) -> None:
    answer = await http.get(f"/v1/log/consistency?{query}")
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    if status == 404:
        assert (answer.json()["asked"], answer.json()["size"]) == (SIZE + 1, SIZE)


@pytest.fixture
def coverage(log: PublishedLog) -> Coverage:
    return Coverage(Published(log.folder), log.news, asyncio.Event())


async def test_a_receipt_tells_of_the_checkpoint_that_covers_it(log: PublishedLog, coverage: Coverage) -> None:
    waiting = [asyncio.create_task(coverage.receipt_headers("wait=30", position)) for position in (1, 2, 3, 3)]
    await asyncio.wait(waiting, timeout=0.05)
    await log.put(entries(1, 2))
    await log.publish()
    told = await asyncio.wait_for(waiting[1], 5)
    link = '</v1/log/entries/2/proof>; rel="https://c2sp.org/tlog-proof"; type="text/plain"'
    assert told == {"Preference-Applied": "wait=10", "Link": link}
    assert (await asyncio.wait_for(waiting[0], 5))["Preference-Applied"] == "wait=10"
    assert not any(task.done() for task in waiting[2:])
    await log.put(entries(3, 3))
    await log.publish()
    assert all(await asyncio.wait_for(asyncio.gather(*waiting), 5))
    assert await coverage.reached(3, 0)


async def test_a_receipt_that_no_checkpoint_covers_in_time_tells_nothing(log: PublishedLog, coverage: Coverage) -> None:
    assert await coverage.receipt_headers("return=minimal", 1) == {}
    assert not await coverage.reached(1, 0.05)
    await log.put(entries(1, 1))
    await log.publish()
    assert await coverage.reached(1, 5)
    assert not await coverage.reached(2, 0.05)


async def test_nobody_waits_for_a_registry_that_stops_or_never_publishes(log: PublishedLog) -> None:
    assert not await asyncio.wait_for(Coverage(Published(None), log.news, asyncio.Event()).reached(1, 60), 1)
    drain = asyncio.Event()
    waiting = asyncio.create_task(Coverage(Published(log.folder), log.news, drain).reached(1, 60))
    await asyncio.wait((waiting,), timeout=0.05)
    drain.set()
    assert not await asyncio.wait_for(waiting, 5)


async def test_what_is_served_and_what_waits_is_shown_to_operators(
    log: PublishedLog, database: FilledLog, data_folder: DataFolder
) -> None:
    registry, prefix = CollectorRegistry(), "certibranche_transparency"
    await log.put(entries(1, 5))
    async with serving(database.url, str(log.folder), data_folder, registry):
        assert registry.get_sample_value(f"{prefix}_served_size") == 0
        await log.publish()
        await log.put(entries(6, 8))

        async def waiting() -> bool:
            return registry.get_sample_value(f"{prefix}_waiting_entries") == 3

        await until(waiting)
        assert registry.get_sample_value(f"{prefix}_served_size") == 5
    assert registry.get_sample_value(f"{prefix}_served_size") is None


async def test_where_nothing_is_published_there_is_nothing(
    database: FilledLog, data_folder: DataFolder, bearer: Callable[..., dict[str, str]]
) -> None:
    async with serving(database.url, None, data_folder) as client:
        client.headers.update(bearer("log:read"))
        for path in ("/log/checkpoint", "/log/tile/0/000", "/log/tile/entries/000", "/v1/log/consistency?from=0"):
            assert (await client.get(path)).status_code == 404
        for path in ("/v1/log/entries/1/proof", "/v1/log/checkpoints"):
            assert (await client.get(path)).status_code == 404
