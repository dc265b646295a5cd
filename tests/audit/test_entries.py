"""Entries that are not the ones that were hashed and signed, and tiles that do not add up."""

from collections.abc import Callable
from pathlib import Path

import pytest

from services.projections.transparency.note import Checkpoint
from services.projections.transparency.tiles import ENTRIES, TILE_WIDTH, Tile, tile_at
from services.projections.transparency.tree import EMPTY_ROOT
from tests.audit.history import Published, audited, check_of, entries_of, found, objectives, states

ENTRY_COUNT = 2 * TILE_WIDTH + 44
LOG = entries_of(objectives(ENTRY_COUNT))
BUNDLES = pytest.mark.parametrize("number", [0, 1, 2])


@pytest.fixture
def log(tmp_path: Path) -> Published:
    return Published(tmp_path / "log", LOG)


def altered(entries: list[bytes]) -> list[bytes]:
    return [*entries[:5], entries[5].replace(b'"year":20', b'"year":19'), *entries[6:]]


def swapped(entries: list[bytes]) -> list[bytes]:
    return [entries[1], entries[0], *entries[2:]]


def dropped(entries: list[bytes]) -> list[bytes]:
    return [*entries[:7], *entries[8:]]


def added(entries: list[bytes]) -> list[bytes]:
    return [*entries, entries[0].replace(b'"year":20', b'"year":19')]


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, ENTRY_COUNT])
def test_an_honest_log_of_any_size_holds(tmp_path: Path, size: int) -> None:
    report = audited(Published(tmp_path / "log", LOG[:size]).folder, entries=True)
    assert (report.verdict, found(report)) == ("HELD", [])
    assert check_of(report, "entries").covered == (f"positions 1 to {size}" if size else "")
    assert states(report)["rules"] == "HELD"
    assert states(report)["counts"] == "SKIPPED"


@BUNDLES
@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (altered, {"entry-altered": [6]}),
        (swapped, {"entry-moved": [1, 2]}),
        (dropped, {"entry-missing": [8]}),
        (added, {"entry-foreign": [1]}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bundle_with_other_entries_is_found(
    log: Published, number: int, change: Callable[[list[bytes]], list[bytes]], kinds: dict[str, list[int]]
) -> None:
    log.serve(number, change)
    report = audited(log.folder, entries=True)
    after = TILE_WIDTH * number
    of_hashes = [(what, position) for name, what, position in found(report) if name == "entries"]
    assert of_hashes == [(what, after + place) for what, places in kinds.items() for place in places]
    assert report.verdict == "BROKEN"
    assert states(report)["rules"] in ("HELD", "UNCHECKED"), "what is left still breaks no rule"


def test_what_is_altered_is_looked_at_as_it_is_served(log: Published) -> None:
    log.serve(1, lambda entries: [entries[0].replace(b'"urn:test"', b'"urn:t\\u0065st"'), *entries[1:]])
    report = audited(log.folder, entries=True)
    assert found(report) == [("entries", "entry-altered", 257), ("form", "not-canonical", 257)]


def test_a_bundle_that_is_cut_off_is_found(log: Published) -> None:
    tile = tile_at(ENTRIES, 1, log.size)
    log.write(tile, log.read(tile)[:-1])
    report = audited(log.folder, entries=True)
    assert ("entries", "bundle-damaged", 257) in found(report)
    assert states(report)["rules"] == "UNCHECKED"


def test_an_entry_altered_in_its_tile_too_does_not_add_up_to_the_signed_root(tmp_path: Path) -> None:
    other = [*LOG[:5], altered(LOG)[5], *LOG[6:]]
    log, lie = Published(tmp_path / "log", LOG), Published(tmp_path / "lie", other)
    for level in (0, ENTRIES):
        log.write(Tile(level, 0), lie.read(Tile(level, 0)))
    report = audited(log.folder, entries=True)
    assert found(report) == [("entries", "tile-differs", None), ("entries", "root-differs", None)]


def test_a_tile_above_that_lies_is_found(log: Published) -> None:
    tile = tile_at(1, 0, log.size)
    log.write(tile, bytes(len(log.read(tile))))
    report = audited(log.folder, entries=True)
    assert found(report) == [("tiles", "tiles-not-signed", None), ("entries", "tile-differs", None)]


def test_a_tile_of_hashes_that_is_cut_off_is_found(log: Published) -> None:
    log.write(Tile(0, 1), log.read(Tile(0, 1))[:-32])
    report = audited(log.folder, entries=True)
    assert ("entries", "tile-damaged", None) in found(report)


def test_a_root_that_is_not_the_tiles_is_found_without_the_entries(log: Published) -> None:
    log.sign(Checkpoint(log.signer.name, log.size, EMPTY_ROOT))
    report = audited(log.folder)
    assert found(report) == [("tiles", "tiles-not-signed", None)]


def test_a_partial_bundle_that_is_gone_is_taken_from_the_full_one(log: Published, tmp_path: Path) -> None:
    older = log.note
    log.grow(entries_of(objectives(3 * TILE_WIDTH + 1))[ENTRY_COUNT:])
    (log.folder / "checkpoint").write_text(older)
    for level in (0, ENTRIES):
        (log.folder / tile_at(level, 2, ENTRY_COUNT).path).unlink()
    assert audited(log.folder, entries=True).verdict == "HELD"


@pytest.mark.parametrize("level", [0, ENTRIES])
def test_what_is_withheld_is_no_lie_but_keeps_all_from_holding(log: Published, level: int) -> None:
    (log.folder / Tile(level, 1).path).unlink()
    report = audited(log.folder, entries=True)
    assert (report.verdict, found(report)) == ("UNCHECKED", [])
    assert check_of(report, "entries").left_out == [f"{Tile(level, 1).path} is not in the folder"]
    assert check_of(report, "entries").covered == "positions 1 to 256"
    assert states(report)["rules"] == "UNCHECKED"
