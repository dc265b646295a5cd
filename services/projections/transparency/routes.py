"""GET /log/…: the tiles of the transparency log, for any client of c2sp.org/tlog-tiles; and proofs made of them."""

import base64
from hashlib import sha256
from typing import Annotated

from litestar import Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, HeaderParameter, QueryParameter
from msgspec import Struct

from contracts.facts import PersonRectified, PersonRegistered
from contracts.problems import Malformed, NotFound
from services.edge.operations import SHOWS_IDENTITY, problems
from services.edge.tokens import Caller, Requires
from services.log.reader import Entry
from services.projections.transparency.checkpoints import KeptCheckpoint
from services.projections.transparency.coverage import WAIT_S_MAX, wait_s_of
from services.projections.transparency.published import Published
from services.projections.transparency.tiles import parse_tile

TEXT = "text/plain"
"""Litestar adds the charset, UTF-8."""
OCTETS = "application/octet-stream"
IMMUTABLE = "max-age=31536000, immutable"
CHECKPOINT_MAX_AGE_S = 1
SIZE_MAX = 2**63 - 1
CHECKPOINTS, CHECKPOINTS_MAX = 100, 1_000

After = Annotated[int, QueryParameter(ge=0, le=SIZE_MAX, description="Only those of larger trees.")]
Limit = Annotated[int, QueryParameter(ge=1, le=CHECKPOINTS_MAX, description="At most so many.")]
FromSize = Annotated[int, QueryParameter(name="from", ge=0, le=SIZE_MAX, description="The size of the older tree.")]
ToSize = Annotated[
    int | None,
    QueryParameter(name="to", ge=0, le=SIZE_MAX, description="The size of the newer tree; default the checkpoint's."),
]
WithOpening = Annotated[
    bool,
    QueryParameter(
        description="Add `extra`: what opens the fact's `identity_commitment`, 32 bytes of salt and then the identity"
        " as JSON; the commitment is HMAC-SHA-256 of the identity under the salt. Needs persons:read besides. 410 once"
        " the identity is erased, 404 for one that was rectified since.",
    ),
]
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
    opt=problems(404),
    responses={200: ResponseSpec(str, description="A signed note", media_type=TEXT, generate_examples=False)},
)
async def get_checkpoint(*, published: NamedDependency[Published]) -> Response[bytes]:
    """How many entries the log has and the root over them, signed: <https://c2sp.org/tlog-checkpoint>."""
    note = (await published.checkpoint()).note
    tag = sha256(note).hexdigest()[:32]  # of one size there is another note once a witness has cosigned it
    headers = {"ETag": f'"{tag}"', "Cache-Control": f"public, max-age={CHECKPOINT_MAX_AGE_S}"}
    return Response(note, media_type=TEXT, headers=headers)


class KeptCheckpoints(Struct, frozen=True):
    """Checkpoints, of smaller trees first."""

    checkpoints: list[KeptCheckpoint]


@get(
    "/v1/log/checkpoints",
    operation_id="listCheckpoints",
    summary="Every checkpoint that was ever signed",
    tags=["Log"],
    dependencies=provided,
)
async def get_checkpoints(
    *, published: NamedDependency[Published], after: After = 0, limit: Limit = CHECKPOINTS
) -> Response[KeptCheckpoints]:
    """None is ever removed, nor signed for a tree that did not grow. A newer one may wait for cosignatures while
    /log/checkpoint is still older: only those that it was shown for have them."""
    content = KeptCheckpoints(await published.checkpoints(after, limit))
    return Response(content, headers={"Cache-Control": f"public, max-age={CHECKPOINT_MAX_AGE_S}"})


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
    opt={SHOWS_IDENTITY: "opening"},
    dependencies=provided,
    responses={
        200: ResponseSpec(str, description="A c2sp.org/tlog-proof@v1", media_type=TEXT, generate_examples=False)
    },
)
async def get_entry_proof(
    *,
    published: NamedDependency[Published],
    caller: NamedDependency[Caller],
    state: State,
    position: FromPath[int],
    opening: WithOpening = False,
    prefer: Prefer = None,
) -> Response[bytes]:
    """Inclusion in the current checkpoint, which is part of the file: <https://c2sp.org/tlog-proof>. 404 while a
    recorded entry is in no checkpoint yet, about a second."""
    headers = {"Cache-Control": "no-store" if opening else "private, no-cache"}
    if opening:
        caller.require("persons:read")
    if wait_s := wait_s_of(prefer):
        headers["Preference-Applied"] = f"wait={wait_s}"
        await state["coverage"].reached(position, wait_s)
    opened = await _opening(state, position) if opening else None
    return Response(await published.proof(position, opened), media_type=TEXT, headers=headers)


class ConsistencyProof(Struct, frozen=True, rename={"from_size": "from", "to_size": "to"}):
    """Proof that the tree of size `to` began as that of size `from`: RFC 6962, section 2.1.2; hashes in base64.

    Empty when the sizes are equal, and from size 0.
    """

    from_size: int
    to_size: int
    hashes: list[str]


@get(
    "/v1/log/consistency",
    operation_id="getConsistency",
    summary="Proof that the log only grew from one size to another",
    tags=["Log"],
    opt=problems(404),
    dependencies=provided,
)
async def get_consistency(
    *, published: NamedDependency[Published], from_size: FromSize, to_size: ToSize = None
) -> Response[ConsistencyProof]:
    """Between any two sizes, whether a checkpoint was signed for them or not. Check it with checkpoints of your own:
    it proves nothing by itself. 404 while the current checkpoint is smaller than a size."""
    if to_size is not None and from_size > to_size:
        detail = f"from is {from_size}, more than to, {to_size}."
        raise Malformed(detail, errors=[{"detail": detail, "parameter": "from"}])
    proof = await published.consistency(from_size, to_size)
    hashes = [base64.b64encode(part).decode() for part in proof.hashes]
    cache = f"max-age={CHECKPOINT_MAX_AGE_S}" if to_size is None else IMMUTABLE
    content = ConsistencyProof(proof.from_size, proof.to_size, hashes)
    return Response(content, headers={"Cache-Control": f"public, {cache}"})


async def _opening(state: State, position: int) -> bytes:
    """What opens the commitment of the fact at a position. NotFound for a fact without one, or that no longer has one;
    Erased."""
    entry: Entry = await state["entries"].entry(position)
    fact = entry.event().data
    if not isinstance(fact, PersonRegistered | PersonRectified):
        raise NotFound(f"The fact at position {position} holds no commitment.", position=position)
    opened: bytes = await state["opening"](fact.person_id, bytes.fromhex(fact.identity_commitment))
    return opened


async def _tile(published: Published, level: str, place: str, *, cache: str) -> Response[bytes]:
    tile = parse_tile(level, place.removeprefix("/"))
    if tile is None:
        raise NotFound("A tile's address is /log/tile/<level>/<number>, or behind that .p/<width>; see /docs.")
    content = await published.tile(tile)
    headers = {"ETag": f'"{tile.width}"', "Cache-Control": f"{cache}, {IMMUTABLE}"}
    return Response(content, media_type=OCTETS, headers=headers)
