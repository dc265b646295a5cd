"""Every entry against the hashes: of its level 0 tile, and through all tiles above it of the signed root."""

from collections.abc import Iterator
from typing import NamedTuple

from services.audit.findings import Check
from services.audit.requests import ahead
from services.audit.sources import Files, read_tile
from services.projections.transparency.note import Checkpoint
from services.projections.transparency.tiles import ENTRIES, HASH_BYTES, TILE_WIDTH, Tile, tile_at, unbundle
from services.projections.transparency.tree import Edge, leaf_hash, split

Placed = tuple[int, bytes]
"""A position and its entry."""


class _Pair(NamedTuple):
    """An entry bundle, and the tile of its entries' hashes."""

    bundle: bytes
    hashes: bytes


class Entries:
    """The log's entries in order, each bundle as soon as it has been compared with its hashes."""

    def __init__(self, files: Files, checkpoint: Checkpoint, check: Check) -> None:
        self._files = files
        self._checkpoint = checkpoint
        self._check = check
        self._edge = Edge()

    def bundles(self) -> Iterator[list[Placed]]:
        """The entries of one bundle after the other; an altered one as it is served, a missing one not at all.

        Raises CouldNotCheck for what is withheld. When it has ended, all tiles and the root have been compared too.
        """
        size, check = self._checkpoint.size, self._check
        for number, pair in ahead(self._pair, range(-(-size // TILE_WIDTH))):
            after, width = TILE_WIDTH * number, tile_at(0, number, size).width
            hashes = split(pair.hashes)
            if len(pair.hashes) != HASH_BYTES * width:
                check.find("tile-damaged", f"{tile_at(0, number, size).path} does not hold {width} hashes.")
                hashes = []
            for leaf in hashes:
                for tile, content in self._edge.append(leaf):
                    self._compare(tile, content)
            try:
                entries = unbundle(pair.bundle)
            except ValueError as error:
                path = tile_at(ENTRIES, number, size).path
                check.find("bundle-damaged", f"{path} holds no entries: {error}.", position=after + 1)
                continue
            yield list(self._compared(after, entries, hashes))
            check.covered = f"positions 1 to {after + width}"
        if self._edge.size != size:
            return
        for tile, content in self._edge.partials():
            self._compare(tile, content)
        if self._edge.root() != self._checkpoint.root:
            check.find(
                "root-differs",
                f"The hashes of all {size} entries add up to another root than the signed one.",
                root=self._edge.root().hex(),
                root_signed=self._checkpoint.root.hex(),
            )

    def _pair(self, number: int) -> _Pair:
        size = self._checkpoint.size
        return _Pair(*(read_tile(self._files, tile_at(level, number, size)) for level in (ENTRIES, 0)))

    def _compare(self, tile: Tile, content: bytes) -> None:
        """A tile above level 0, which proofs are made of, holds what those below it add up to."""
        if tile.level and read_tile(self._files, tile) != content:
            self._check.find("tile-differs", f"{tile.path} is not what the tiles below it add up to.", path=tile.path)

    def _compared(self, after: int, entries: list[bytes], hashes: list[bytes]) -> Iterator[Placed]:
        """The entries at the positions where their hashes are; those of no hash where they were served."""
        served = [leaf_hash(entry) for entry in entries]
        if served == hashes:
            yield from enumerate(entries, after + 1)
            return
        check, whole = self._check, len(served) == len(hashes)
        place = {leaf: index for index, leaf in enumerate(served)}
        for index, leaf in enumerate(hashes):
            position, at = after + index + 1, place.get(leaf)
            if at is not None:
                if whole and served[index] != leaf:
                    check.find(
                        "entry-moved",
                        f"Where position {position} belongs, position {_of(hashes, served[index], after)} is served.",
                        position=position,
                    )
                yield position, entries[at]
            elif whole:
                check.find(
                    "entry-altered",
                    f"The entry served for position {position} is not the one that was hashed.",
                    position=position,
                    hash=served[index].hex(),
                    hash_in_tile=leaf.hex(),
                )
                yield position, entries[index]
            else:
                check.find("entry-missing", f"The entry of position {position} is not served.", position=position)
        for at, leaf in () if whole else enumerate(served):
            if leaf not in hashes:
                said = f"Among those from position {after + 1} on, an entry is served that was never hashed."
                check.find("entry-foreign", said, position=after + 1, index=at, hash=leaf.hex())


def _of(hashes: list[bytes], leaf: bytes, after: int) -> str:
    return str(after + hashes.index(leaf) + 1) if leaf in hashes else "of no known place"
