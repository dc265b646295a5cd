"""What has been published, to serve and to prove: read from the folder of the tiles, never from the database."""

import asyncio
import base64
from pathlib import Path
from typing import NamedTuple

from contracts.problems import NotFound
from services.projections.transparency.note import Checkpoint, parse_checkpoint
from services.projections.transparency.publisher import CHECKPOINT
from services.projections.transparency.tiles import TILE_WIDTH, Tile, beginning
from services.projections.transparency.tree import Tree


class Signed(NamedTuple):
    """A checkpoint, and the note that it came in."""

    checkpoint: Checkpoint
    note: bytes


class Published:
    """The files that a publisher has written. folder: None where this installation has none."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    async def checkpoint(self) -> Signed:
        """The current checkpoint; NotFound before the first."""
        return await asyncio.to_thread(self._checkpoint)

    async def tile(self, tile: Tile) -> bytes:
        """The content of a tile or an entry bundle; NotFound unless it has been published."""
        return await asyncio.to_thread(self._tile, tile)

    async def proof(self, position: int) -> bytes:
        """Proof that the entry at a position is in the current checkpoint (c2sp.org/tlog-proof@v1).

        NotFound while it is not.
        """
        return await asyncio.to_thread(self._proof, position)

    def _checkpoint(self) -> Signed:
        note = self._read(CHECKPOINT)
        text = note.decode().rpartition("\n\n")[0]
        return Signed(parse_checkpoint(f"{text}\n"), note)

    def _tile(self, tile: Tile) -> bytes:
        try:
            return self._read(tile.path)
        except NotFound:
            if tile.width == TILE_WIDTH:
                raise
            # Partial tiles are removed a while after they are full; for who comes late they are made of the full one.
            return beginning(tile, self._read(tile.full().path))

    def _proof(self, position: int) -> bytes:
        checkpoint, note = self._checkpoint()
        if not 1 <= position <= checkpoint.size:
            detail = f"Position {position} is not in the current checkpoint, of size {checkpoint.size}."
            raise NotFound(detail, position=position, size=checkpoint.size)
        index = position - 1
        hashes = Tree(checkpoint.size, self._tile).inclusion(index)
        lines = ["c2sp.org/tlog-proof@v1", f"index {index}", *(base64.b64encode(part).decode() for part in hashes)]
        return "".join(f"{line}\n" for line in [*lines, ""]).encode() + note

    def _read(self, path: str) -> bytes:
        if self._folder is None:
            raise NotFound("This installation publishes no transparency log.")
        try:
            return (self._folder / path).read_bytes()
        except FileNotFoundError:
            raise NotFound("This has not been published.") from None
