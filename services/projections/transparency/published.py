"""What has been published, to serve and to prove: read from the folder of the tiles, never from the database."""

import asyncio
import base64
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from contracts.problems import NotFound
from services.projections.transparency.checkpoints import Checkpoints, KeptCheckpoint
from services.projections.transparency.disk import Disk
from services.projections.transparency.note import Checkpoint, parse_checkpoint, split_note
from services.projections.transparency.publisher import CHECKPOINT
from services.projections.transparency.tiles import TILE_WIDTH, Tile, beginning, tile_at
from services.projections.transparency.tree import Tree

_NOWHERE = "This installation publishes no transparency log."


class Signed(NamedTuple):
    """A checkpoint, and the note that it came in."""

    checkpoint: Checkpoint
    note: bytes


class Consistency(NamedTuple):
    """Proof that the tree of size `to_size` began as that of size `from_size`."""

    from_size: int
    to_size: int
    hashes: Sequence[bytes]


class Published:
    """The files that a publisher has written. folder: None where this installation has none."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @property
    def anywhere(self) -> bool:
        """Whether this installation publishes its log at all."""
        return self._folder is not None

    def size(self) -> int:
        """The size of the current checkpoint; NotFound before the first."""
        return self._checkpoint().checkpoint.size

    async def checkpoint(self) -> Signed:
        """The current checkpoint; NotFound before the first."""
        return await asyncio.to_thread(self._checkpoint)

    async def signed(self) -> Signed:
        """The newest checkpoint that was signed, if it is not served yet, too; NotFound before the first."""
        return await asyncio.to_thread(self.newest)

    def newest(self) -> Signed:
        """The same, in this thread."""
        if self._folder is None or (note := Checkpoints(Disk(self._folder)).newest()) is None:
            return self._checkpoint()
        return Signed(parse_checkpoint(split_note(note)[0]), note.encode())

    async def tile(self, tile: Tile) -> bytes:
        """The content of a tile or an entry bundle; NotFound unless it has been published."""
        return await asyncio.to_thread(self.content, tile)

    async def proof(self, position: int, opening: bytes | None = None) -> bytes:
        """Proof that the entry at a position is in the current checkpoint (c2sp.org/tlog-proof@v1).

        opening: what goes with it as its extra data. NotFound while the entry is not in the checkpoint.
        """
        return await asyncio.to_thread(self._proof, position, opening)

    async def consistency(self, from_size: int, to_size: int | None = None) -> Consistency:
        """Proof that the tree of a size (None: of the current checkpoint) began as that of a smaller one, or the same.

        RFC 6962, section 2.1.2. NotFound for sizes beyond the current checkpoint's.
        """
        return await asyncio.to_thread(self._consistency, from_size, to_size)

    async def growth(self, from_size: int, to_size: int, *, size: int) -> list[bytes]:
        """The same proof in a tree of `size` whose tiles are there, whether its checkpoint is served already or not."""
        return await asyncio.to_thread(self._growth, from_size, to_size, size)

    async def checkpoints(self, after: int, limit: int) -> list[KeptCheckpoint]:
        """Every checkpoint that was signed for a tree larger than that, in order, at most so many."""
        if self._folder is None:
            raise NotFound(_NOWHERE)
        return await asyncio.to_thread(Checkpoints(Disk(self._folder)).after, after, limit)

    def _checkpoint(self) -> Signed:
        note = self._read(CHECKPOINT)
        return Signed(parse_checkpoint(split_note(note.decode())[0]), note)

    def content(self, tile: Tile) -> bytes:
        """As `tile`, in the calling thread."""
        try:
            return self._read(tile.path)
        except NotFound:
            if tile.width == TILE_WIDTH:
                raise
            # Partial tiles are removed a while after they are full; for who comes late they are made of the full one.
            return beginning(tile, self._read(tile.full().path))

    def _proof(self, position: int, opening: bytes | None) -> bytes:
        checkpoint, note = self._checkpoint()
        if not 1 <= position <= checkpoint.size:
            detail = f"Position {position} is not in the current checkpoint, of size {checkpoint.size}."
            raise NotFound(detail, position=position, size=checkpoint.size)
        index = position - 1
        hashes = Tree(checkpoint.size, self.content).inclusion(index)
        extra = [] if opening is None else [f"extra {_base64(opening)}"]
        lines = ["c2sp.org/tlog-proof@v1", *extra, f"index {index}", *map(_base64, hashes)]
        return "".join(f"{line}\n" for line in [*lines, ""]).encode() + note

    def _consistency(self, from_size: int, to_size: int | None) -> Consistency:
        size = self.size()
        to_size = size if to_size is None else to_size
        if max(from_size, to_size) > size:
            asked = max(from_size, to_size)
            raise NotFound(f"The current checkpoint is of size {size}, not yet {asked}.", asked=asked, size=size)
        return Consistency(from_size, to_size, self._growth(from_size, to_size, size))

    def _growth(self, from_size: int, to_size: int, size: int) -> list[bytes]:
        def tile_then(tile: Tile) -> bytes:
            """A tile as it was at that size, for which perhaps no checkpoint was signed."""
            return beginning(tile, self.content(tile_at(tile.level, tile.number, size)))

        return Tree(to_size, tile_then).consistency(from_size)

    def _read(self, path: str) -> bytes:
        if self._folder is None:
            raise NotFound(_NOWHERE)
        try:
            return (self._folder / path).read_bytes()
        except FileNotFoundError:
            raise NotFound("This has not been published.") from None


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
