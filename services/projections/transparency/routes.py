"""GET /log/…: the tiles of the transparency log, for any client of c2sp.org/tlog-tiles; and the proof of one entry."""

import asyncio
import re
from typing import Annotated

from litestar import Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, HeaderParameter

from contracts.problems import NotFound
from services.edge.tokens import Requires
from services.log.listener import Listener
from services.projections.transparency.published import Published
from services.projections.transparency.tiles import parse_tile

TEXT = "text/plain"
"""Litestar adds the charset, UTF-8."""
OCTETS = "application/octet-stream"
IMMUTABLE = "max-age=31536000, immutable"
CHECKPOINT_MAX_AGE_S = 1
WAIT_S_MAX = 10

_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?([0-9]{1,9})\"?\s*(?=$|[,;])", re.IGNORECASE)

Prefer = Annotated[
    str | None,
    HeaderParameter(
        name="Prefer",
        description=f"`wait=N` (RFC 7240): wait for a checkpoint with this entry, {WAIT_S_MAX} seconds at most.",
    ),
]


async def provide_published(state: State) -> Published:
    """What has been published, from the application's state."""
    published: Published = state["published"]
    return published


provided = {"published": Provide(provide_published)}


@get(
    "/log/checkpoint",
    operation_id="getCheckpoint",
    summary="The transparency log's signed checkpoint",
    tags=["Log"],
    dependencies=provided,
    responses={200: ResponseSpec(str, description="A signed note", media_type=TEXT, generate_examples=False)},
)
async def get_checkpoint(*, published: NamedDependency[Published]) -> Response[bytes]:
    """How many entries the log has and the root over them, signed: <https://c2sp.org/tlog-checkpoint>."""
    checkpoint, note = await published.checkpoint()
    headers = {"ETag": f'"{checkpoint.size}"', "Cache-Control": f"public, max-age={CHECKPOINT_MAX_AGE_S}"}
    return Response(note, media_type=TEXT, headers=headers)


@get(
    "/log/tile/{level:str}/{place:path}",
    operation_id="getTile",
    summary="A tile of hashes",
    tags=["Log"],
    dependencies=provided,
    responses={200: ResponseSpec(bytes, description="Hashes of 32 bytes", media_type=OCTETS, generate_examples=False)},
)
async def get_tile(
    *, published: NamedDependency[Published], level: FromPath[str], place: FromPath[str]
) -> Response[bytes]:
    """256 hashes, or with `.p/<W>` the first W of them: <https://c2sp.org/tlog-tiles>. They never change."""
    return await _tile(published, level, place, cache="public")


@get(
    "/log/tile/entries/{place:path}",
    operation_id="getEntryBundle",
    summary="A bundle of entries",
    tags=["Log"],
    guards=[Requires("log:read")],
    dependencies=provided,
    responses={200: ResponseSpec(bytes, description="Entries", media_type=OCTETS, generate_examples=False)},
)
async def get_entry_bundle(*, published: NamedDependency[Published], place: FromPath[str]) -> Response[bytes]:
    """256 entries, each behind its length in two bytes; with `.p/<W>` the first W of them."""
    return await _tile(published, "entries", place, cache="private")


@get(
    "/v1/log/entries/{position:int}/proof",
    operation_id="getEntryProof",
    summary="Proof that an entry is in the log",
    tags=["Log"],
    guards=[Requires("log:read")],
    dependencies=provided,
    responses={
        200: ResponseSpec(str, description="A c2sp.org/tlog-proof@v1", media_type=TEXT, generate_examples=False)
    },
)
async def get_entry_proof(
    *,
    published: NamedDependency[Published],
    state: State,
    position: FromPath[int],
    prefer: Prefer = None,
) -> Response[bytes]:
    """Inclusion in the current checkpoint, which is part of the file: <https://c2sp.org/tlog-proof>. 404 while a
    recorded entry is in no checkpoint yet, about a second."""
    wait_s = wait_s_of(prefer)
    headers = {"Cache-Control": "private, no-cache"}
    if wait_s:
        headers["Preference-Applied"] = f"wait={wait_s}"
    proof = await proved(published, state["news"], state["drain"], position, wait_s=wait_s)
    return Response(proof, media_type=TEXT, headers=headers)


def wait_s_of(prefer: str | None) -> int:
    """The seconds that a Prefer header asks to wait, cut to what is allowed."""
    match = _WAIT.search(prefer or "")
    return min(int(match[1]), WAIT_S_MAX) if match else 0


async def proved(published: Published, news: Listener, drain: asyncio.Event, position: int, *, wait_s: float) -> bytes:
    """The proof, waited for; NotFound when it has not come in time, or the registry stops."""
    give_up_at = asyncio.get_running_loop().time() + wait_s
    while True:
        awaited = news.news
        try:
            return await published.proof(position)
        except NotFound:
            left_s = give_up_at - asyncio.get_running_loop().time()
            if left_s <= 0 or drain.is_set():
                raise
        await news.wait(awaited, min(left_s, 1.0))


async def _tile(published: Published, level: str, place: str, *, cache: str) -> Response[bytes]:
    tile = parse_tile(level, place.removeprefix("/"))
    if tile is None:
        raise NotFound("A tile's address is /log/tile/<level>/<number>, or behind that .p/<width>; see /docs.")
    content = await published.tile(tile)
    headers = {"ETag": f'"{tile.width}"', "Cache-Control": f"{cache}, {IMMUTABLE}"}
    return Response(content, media_type=OCTETS, headers=headers)
