"""The tree on tiles equals the tree of RFC 6962, and its proofs prove nothing else."""

from collections.abc import Callable

import pytest
from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st

from services.projections.transparency.tiles import (
    ENTRIES,
    Tile,
    beginning,
    bundle,
    parse_tile,
    tile_at,
    tiles_of,
    unbundle,
)
from services.projections.transparency.tree import (
    EMPTY_ROOT,
    Edge,
    ProofRefused,
    Tree,
    check_consistency,
    check_inclusion,
    leaf_hash,
)
from tests.transparency import naive

sizes = st.integers(1, 700) | st.sampled_from([1, 2, 255, 256, 257, 511, 512, 513])


def entries(size: int) -> list[bytes]:
    return [b"entry %d" % number for number in range(size)]


def grown(size: int) -> tuple[Edge, dict[Tile, bytes]]:
    """The edge of a tree, and its tiles: the full ones and those of the edge."""
    edge, tiles = Edge(), {}
    for entry in entries(size):
        tiles.update(edge.append(leaf_hash(entry)))
    tiles.update(edge.partials())
    return edge, tiles


def read_from(tiles: dict[Tile, bytes]) -> Callable[[Tile], bytes]:
    return lambda tile: tiles[tile]


@settings(max_examples=40)
@for_any(size=sizes, data=st.data())
def test_roots_and_proofs_are_those_of_the_specification(size: int, data: st.DataObject) -> None:
    edge, tiles = grown(size)
    assert set(tiles) == set(tiles_of(size))
    tree, leaves = Tree(size, read_from(tiles)), entries(size)
    assert edge.root() == tree.root() == naive.root(leaves)
    assert Edge.read(size, read_from(tiles)).root() == edge.root()
    index, old_size = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    assert tree.leaf(index) == leaf_hash(leaves[index])
    assert tree.inclusion(index) == naive.inclusion(index, leaves)
    assert tree.consistency(old_size) == naive.consistency(old_size, leaves)
    check_inclusion(leaf_hash(leaves[index]), index, size, edge.root(), tree.inclusion(index))
    check_consistency(old_size, naive.root(leaves[:old_size]), size, edge.root(), tree.consistency(old_size))


def test_an_edge_read_from_tiles_grows_on_as_the_one_that_wrote_them() -> None:
    for size in (0, 1, 255, 256, 257, 512, 600):
        edge, tiles = grown(size)
        again = Edge.read(size, read_from(tiles))
        for entry in entries(300):
            assert again.append(leaf_hash(entry)) == edge.append(leaf_hash(entry))
        assert (again.root(), again.partials()) == (edge.root(), edge.partials())


@settings(max_examples=60)
@for_any(size=st.integers(2, 40), data=st.data())
def test_a_proof_proves_nothing_else(size: int, data: st.DataObject) -> None:
    leaves = entries(size)
    root, index = naive.root(leaves), data.draw(st.integers(0, size - 1))
    proof, leaf = naive.inclusion(index, leaves), leaf_hash(leaves[index])
    other = data.draw(st.integers(0, size - 1).filter(lambda number: number != index))
    for wrong in (
        lambda: check_inclusion(leaf_hash(b"other"), index, size, root, proof),
        lambda: check_inclusion(leaf, other, size, root, proof),
        lambda: check_inclusion(leaf, size, size, root, proof),
        lambda: check_inclusion(leaf, index, size, root, proof[:-1]),
        lambda: check_inclusion(leaf, index, size, root, [*proof, root]),
        lambda: check_inclusion(leaf, index, size, root, [bytes(32), *proof[1:]]),
    ):
        with pytest.raises(ProofRefused):
            wrong()


@settings(max_examples=60)
@for_any(size=st.integers(2, 40), data=st.data())
def test_a_tree_that_began_otherwise_is_not_consistent(size: int, data: st.DataObject) -> None:
    leaves, old_size = entries(size), data.draw(st.integers(1, size - 1))
    root, old_root = naive.root(leaves), naive.root(leaves[:old_size])
    proof = naive.consistency(old_size, leaves)
    for wrong in (
        lambda: check_consistency(old_size, bytes(32), size, root, proof),
        lambda: check_consistency(old_size, old_root, size, bytes(32), proof),
        lambda: check_consistency(old_size, old_root, size, root, proof[:-1]),
        lambda: check_consistency(old_size, old_root, size, root, [*proof, root]),
        lambda: check_consistency(size, root, old_size, old_root, proof),
        lambda: check_consistency(size, old_root, size, root, []),
        lambda: check_consistency(0, root, size, root, []),
    ):
        with pytest.raises(ProofRefused):
            wrong()


def test_the_empty_tree_is_consistent_with_every_tree() -> None:
    assert Edge().root() == EMPTY_ROOT == naive.root([])
    assert Tree(0, read_from({})).root() == EMPTY_ROOT
    check_consistency(0, EMPTY_ROOT, 5, naive.root(entries(5)), Tree(5, read_from({})).consistency(0))


def test_a_tree_has_no_proof_of_what_it_has_not() -> None:
    tree = Tree(5, read_from(grown(5)[1]))
    for wrong in (lambda: tree.inclusion(5), lambda: tree.inclusion(-1), lambda: tree.consistency(6)):
        with pytest.raises(ValueError, match="size 5"):
            wrong()
    with pytest.raises(ValueError, match="has 3 bytes"):
        Tree(5, lambda _: b"cut").root()


def test_the_widths_that_the_specification_gives_as_its_example() -> None:
    tiles = list(tiles_of(70_000))
    full = [sum(tile.level == level and tile.width == 256 for tile in tiles) for level in range(3)]
    assert full == [273, 1, 0]
    partial = [tile.path for tile in tiles if tile.width < 256]
    assert partial == ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]
    assert list(tiles_of(0)) == []
    with pytest.raises(ValueError, match="no tile 274"):
        tile_at(0, 274, 70_000)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 5), "tile/0/005"),
        (Tile(63, 0, 255), "tile/63/000.p/255"),
        (Tile(1, 1_234_067), "tile/1/x001/x234/067"),
        (Tile(ENTRIES, 1_000, 1), "tile/entries/x001/000.p/1"),
        (Tile(ENTRIES, 999), "tile/entries/999"),
    ],
)
def test_a_tile_has_one_path(tile: Tile, path: str) -> None:
    assert tile.path == path
    _, level, place = path.split("/", 2)
    assert parse_tile(level, place) == tile


@pytest.mark.parametrize(
    "path",
    [
        *("0/5", "0/0005", "0/05", "0/1000", "0/x000/005", "0/001/005", "00/005", "64/000", "-1/005", "+1/005"),
        *("x/005", "0/005.p", "0/005.p/0", "0/005.p/256", "0/005.p/01", "0/005.p/-1", "0/005/", "0//005"),
        *("0/../005", "0/x001/../005", "0/005.p/1/2", "0/٠٠٥", "entries/5", "entries/../../checkpoint", "0/%2e%2e"),
        "0/x999/x999/x999/x999/x999/x999/x999/999",
    ],
)
def test_what_is_no_tile_has_none(path: str) -> None:
    assert parse_tile(*path.split("/", 1)) is None  # type: ignore[call-arg]


@for_any(st.lists(st.binary(max_size=300), min_size=1, max_size=20), st.data())
def test_a_bundle_holds_its_entries(contents: list[bytes], data: st.DataObject) -> None:
    packed = bundle(contents)
    assert unbundle(packed) == contents
    width = data.draw(st.integers(1, len(contents)))
    assert beginning(Tile(ENTRIES, 0, width), packed) == bundle(contents[:width])
    cut = packed[: data.draw(st.integers(1, len(packed) - 1))]
    starts = {len(bundle(contents[:count])) for count in range(len(contents))}
    if len(cut) not in starts:
        with pytest.raises(ValueError, match="cut off"):
            unbundle(cut)


def test_the_longest_entry_has_65_535_bytes() -> None:
    assert unbundle(bundle([bytes(65_535)])) == [bytes(65_535)]
    with pytest.raises(OverflowError):
        bundle([bytes(65_536)])


def test_a_partial_tile_of_hashes_is_the_beginning_of_the_full_one() -> None:
    assert beginning(Tile(0, 0, 2), bytes(range(256)) * 32) == bytes(range(64))
