"""The Merkle tree of RFC 6962 on tiles: a growing right edge, roots and proofs read from tiles, proofs checked."""

from collections.abc import Callable, Sequence
from hashlib import sha256

from services.projections.transparency.tiles import HASH_BYTES, TILE_WIDTH, Tile, tile_at

EMPTY_ROOT = sha256(b"").digest()


class ProofRefused(ValueError):
    """The proof does not prove it."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry. RFC 6962, section 2.1."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash over two subtrees."""
    return sha256(b"\x01" + left + right).digest()


def full_root(hashes: Sequence[bytes]) -> bytes:
    """The root over 1, 2, 4, 8 … subtrees of equal size."""
    while len(hashes) > 1:
        hashes = [node_hash(*hashes[at : at + 2]) for at in range(0, len(hashes), 2)]
    return hashes[0]


class Edge:
    """The right edge of a growing tree: of each level the hashes that do not make up a full tile yet."""

    def __init__(self, size: int = 0, levels: Sequence[Sequence[bytes]] = ()) -> None:
        self.size = size
        self._levels = [list(hashes) for hashes in levels]

    @classmethod
    def read(cls, size: int, read: Callable[[Tile], bytes]) -> "Edge":
        """The edge of a tree out of its partial tiles."""
        levels: list[list[bytes]] = []
        while count := size >> 8 * len(levels):
            number, width = divmod(count, TILE_WIDTH)
            levels.append(split(read(Tile(len(levels), number, width))) if width else [])
        return cls(size, levels)

    def append(self, leaf: bytes) -> list[tuple[Tile, bytes]]:
        """Grow by a leaf's hash; the tiles that are full now, with their content."""
        full: list[tuple[Tile, bytes]] = []
        self.size += 1
        grown, level = leaf, 0
        while True:
            if level == len(self._levels):
                self._levels.append([])
            hashes = self._levels[level]
            hashes.append(grown)
            if len(hashes) < TILE_WIDTH:
                return full
            full.append((Tile(level, (self.size >> 8 * (level + 1)) - 1), b"".join(hashes)))
            grown, self._levels[level] = full_root(hashes), []
            level += 1

    def partials(self) -> list[tuple[Tile, bytes]]:
        """The partial tiles of the tree as it is, with their content."""
        return [
            (Tile(level, self.size >> 8 * (level + 1), len(hashes)), b"".join(hashes))
            for level, hashes in enumerate(self._levels)
            if hashes
        ]

    def root(self) -> bytes:
        """The root of the tree as it is."""
        root: bytes | None = None
        for hashes in self._levels:  # from right to left
            end = len(hashes)
            while end:
                width = end & -end  # the last full subtree
                peak = full_root(hashes[end - width : end])
                root = peak if root is None else node_hash(peak, root)
                end -= width
        return EMPTY_ROOT if root is None else root


class Tree:
    """A tree of `size` leaves that lies in tiles. `read` gives a tile's content; each is read once."""

    def __init__(self, size: int, read: Callable[[Tile], bytes]) -> None:
        self.size = size
        self._read = read
        self._tiles: dict[Tile, list[bytes]] = {}

    def leaf(self, index: int) -> bytes:
        """The hash of the leaf. ValueError beyond the tree."""
        return self._hash(index, index + 1)

    def root(self) -> bytes:
        return self._hash(0, self.size) if self.size else EMPTY_ROOT

    def inclusion(self, index: int) -> list[bytes]:
        """Proof that the leaf is in the tree: hashes from the leaf up. RFC 6962, section 2.1.1."""
        if not 0 <= index < self.size:
            raise ValueError(f"a tree of size {self.size} has no leaf {index}")
        proof: list[bytes] = []
        start, end = 0, self.size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                proof.append(self._hash(middle, end))
                end = middle
            else:
                proof.append(self._hash(start, middle))
                start = middle
        return proof[::-1]

    def consistency(self, size: int) -> list[bytes]:
        """Proof that the tree began as its first `size` leaves: RFC 6962, section 2.1.2. Empty for 0 and for all."""
        if not 0 <= size <= self.size:
            raise ValueError(f"a tree of size {self.size} never had size {size} before")
        if size == 0:
            return []
        proof: list[bytes] = []
        start, end = 0, self.size
        while size != end:
            middle = start + _split(end - start)
            if size <= middle:
                proof.append(self._hash(middle, end))
                end = middle
            else:
                proof.append(self._hash(start, middle))
                start = middle
        return [*([self._hash(start, end)] if start else []), *reversed(proof)]

    def _hash(self, start: int, end: int) -> bytes:
        """The root over the leaves from `start` to before `end`: a subtree that occurs in the tree."""
        width = end - start
        if width & (width - 1):
            middle = start + _split(width)
            return node_hash(self._hash(start, middle), self._hash(middle, end))
        level = (width.bit_length() - 1) // 8
        number, first = divmod(start >> 8 * level, TILE_WIDTH)
        return full_root(self._tile(level, number)[first : first + (width >> 8 * level)])

    def _tile(self, level: int, number: int) -> list[bytes]:
        tile = tile_at(level, number, self.size)
        if tile not in self._tiles:
            content = self._read(tile)
            if len(content) != HASH_BYTES * tile.width:
                raise ValueError(f"{tile.path} has {len(content)} bytes")
            self._tiles[tile] = split(content)
        return self._tiles[tile]


def split(content: bytes) -> list[bytes]:
    """The hashes of a tile."""
    return [content[at : at + HASH_BYTES] for at in range(0, len(content), HASH_BYTES)]


def check_inclusion(leaf: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Raise ProofRefused unless it proves that the leaf is in the tree. RFC 9162, section 2.1.3.2."""
    if not 0 <= index < size:
        raise ProofRefused(f"a tree of size {size} has no leaf {index}")
    node, last, computed = index, size - 1, leaf
    for hashed in proof:
        if last == 0:
            raise ProofRefused("the proof is too long")
        if node & 1 or node == last:
            computed = node_hash(hashed, computed)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, hashed)
        node, last = node >> 1, last >> 1
    if last or computed != root:
        raise ProofRefused("the leaf is not in the tree")


def check_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Raise ProofRefused unless it proves that the tree began as the old one. RFC 9162, section 2.1.4.2."""
    if not 0 <= old_size <= size:
        raise ProofRefused(f"a tree of size {size} is no continuation of one of size {old_size}")
    if old_size in (0, size):
        same = old_root == (EMPTY_ROOT if old_size == 0 else root)
        if proof or not same:
            raise ProofRefused("the trees differ")
        return
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not path:
        raise ProofRefused("the proof is empty")
    node, last = old_size - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for hashed in path[1:]:
        if last == 0:
            raise ProofRefused("the proof is too long")
        if node & 1 or node == last:
            old, new = node_hash(hashed, old), node_hash(hashed, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, hashed)
        node, last = node >> 1, last >> 1
    if last or old != old_root or new != root:
        raise ProofRefused("the tree did not begin as the old one")


def _split(width: int) -> int:
    """The largest power of two below the width of a subtree."""
    return 1 << (width - 1).bit_length() - 1
