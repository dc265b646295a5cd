"""A log in a real database whose entries are any bytes, a folder that it is published into, and what checks that."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import asyncpg

from services.log.listener import Listener
from services.projections.transparency.disk import Disk
from services.projections.transparency.guard import Guard
from services.projections.transparency.note import Checkpoint, Signer, Verifier, open_checkpoint
from services.projections.transparency.policy import NO_POLICY, Policy
from services.projections.transparency.publisher import ENTRIES_MAX, Publisher
from services.projections.transparency.tiles import ENTRIES, Tile, parse_tile, tile_at, tiles_of, unbundle
from services.projections.transparency.tree import Tree, leaf_hash, split
from tests.tampering import tamper
from tests.transparency import naive

_PUT = """
INSERT INTO log.event (position, type, recorded_at, entry)
SELECT $1 + ordinal, $3, now(), entry FROM unnest($2::bytea[]) WITH ORDINALITY e(entry, ordinal)
"""


def entries(first: int, last: int, history: str = "") -> list[bytes]:
    """The entries of some positions: short and long ones, other ones in another history."""
    return [b'{"sequence":"%019d"%s}' % (at, history.encode() * (at % 3 + 1)) for at in range(first, last + 1)]


class PublishedLog:
    """guard_path: beside the folder, since it is no part of what is published."""

    def __init__(self, pool: asyncpg.Pool, news: Listener, signer: Signer, place: Path) -> None:
        self.pool = pool
        self.news = news
        self.signer = signer
        self.folder = place / "tiles"
        self.guard_path = place / "guard"

    async def put(self, contents: Sequence[bytes]) -> int:
        """Append entries; the new head."""
        head = await self.pool.fetchval("SELECT coalesce(max(position), 0) FROM log.event")
        await self.pool.execute("INSERT INTO log.type (name) VALUES ('test') ON CONFLICT DO NOTHING")
        number = await self.pool.fetchval("SELECT id FROM log.type WHERE name = 'test'")
        await self.pool.execute(_PUT, head, contents, number)
        return int(head) + len(contents)

    async def restore(self, head: int) -> None:
        """Forget what came behind a position, as a backup does."""
        await tamper(self.pool, "DELETE FROM log.event WHERE position > $1", head)

    def unpublish(self) -> None:
        """Forget all that was published and signed: the folder and the guard, as far as they are there."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.guard_path.unlink(missing_ok=True)

    def publisher(
        self,
        disk: Disk | None = None,
        guard: Guard | None = None,
        entries_max: int = 512,
        policy: Policy = NO_POLICY,
    ) -> Publisher:
        disk, guard = disk or Disk(self.folder), guard or self.guard()
        return Publisher(self.pool, self.news, disk, guard, policy=policy, entries_max=entries_max)

    def guard(self, disk: Disk | None = None) -> Guard:
        return Guard(self.guard_path, self.signer, disk)

    async def publish(self, entries_max: int = ENTRIES_MAX) -> None:
        """Publish all there is."""
        publisher = self.publisher(entries_max=entries_max)
        while await publisher.step():
            pass

    def checkpoint(self) -> Checkpoint:
        note = (self.folder / "checkpoint").read_text()
        return open_checkpoint(note, Verifier(self.signer.vkey))

    def files(self) -> dict[str, bytes]:
        """Everything in the folder, by path below it."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file()
        }

    def read(self, tile: Tile) -> bytes:
        return (self.folder / tile.path).read_bytes()

    def check(self, contents: Sequence[bytes]) -> None:
        """What is published is a whole tree of the first of these entries, by the slow model."""
        checkpoint = self.checkpoint()
        size = checkpoint.size
        assert size <= len(contents)
        assert checkpoint.root == naive.root(contents[:size]) == Tree(size, self.read).root()
        for tile in tiles_of(size):
            hashes = split(self.read(tile))
            assert len(hashes) == tile.width
        published: list[bytes] = []
        for number in range(-(-size // 256)):
            there = unbundle(self.read(tile_at(ENTRIES, number, size)))
            assert [leaf_hash(entry) for entry in there] == split(self.read(tile_at(0, number, size)))
            published += there
        assert published == list(contents[:size])


def of_tiles(files: dict[str, bytes]) -> dict[str, bytes]:
    """Those of the files that are tiles; each of the others is the checkpoint, or was being written."""
    tiles = {}
    for path, content in files.items():
        parts = path.split("/", 2)
        if parts[0] == "tile" and not path.rpartition("/")[2].startswith("."):
            assert parse_tile(parts[1], parts[2]) is not None, path
            tiles[path] = content
        else:
            assert parts[0] in ("checkpoint", "checkpoints") or path.endswith(".new"), path
    return tiles


def digest(files: dict[str, bytes]) -> str:
    """One value for many files."""
    lines = (f"{path} {hashlib.sha256(content).hexdigest()}" for path, content in sorted(files.items()))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
