"""Go's checksum-database code replays our log and accepts it, and refuses every history that is not the signed one."""

from collections.abc import Callable
from pathlib import Path

import pytest
import pytest_asyncio

from services.projections.transparency.note import Signer, new_key, with_line
from services.projections.transparency.tiles import bundle, unbundle
from tests.transparency.cosigned import Cosigner
from tests.transparency.independent import Auditor
from tests.transparency.published_log import PublishedLog, entries

SIZE, OLD_SIZE = 600, 300


@pytest.fixture
def auditor(independent: Path) -> Auditor:
    return Auditor(independent)


@pytest_asyncio.fixture
async def old(log: PublishedLog, tmp_path: Path) -> Path:
    """The file of an old checkpoint, of a log of 600 entries that is published."""
    await log.put(entries(1, OLD_SIZE))
    await log.publish()
    kept = tmp_path / "old"
    kept.write_bytes((log.folder / "checkpoint").read_bytes())
    await log.put(entries(OLD_SIZE + 1, SIZE))
    await log.publish()
    return kept


async def test_our_log_is_replayed_and_accepted(log: PublishedLog, auditor: Auditor, old: Path) -> None:
    accepted = auditor.audit(log.folder, log.signer.vkey, old)
    assert accepted.passed, accepted.said
    assert accepted.said == "600 entries replayed, consistent with size 300\n"


async def test_a_cosigned_checkpoint_is_accepted_as_well(log: PublishedLog, auditor: Auditor, old: Path) -> None:
    note = (log.folder / "checkpoint").read_text()
    line = Cosigner("witness.example/1", 1).line(log.checkpoint().text())
    await log.publisher().cosigned(with_line(note, line))
    assert line in (log.folder / "checkpoint").read_text()
    accepted = auditor.audit(log.folder, log.signer.vkey, old)
    assert accepted.passed, accepted.said


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 512, 1_000])
async def test_logs_of_every_shape_are_accepted(log: PublishedLog, auditor: Auditor, size: int) -> None:
    await log.put(entries(1, size))
    await log.publish()
    accepted = auditor.audit(log.folder, log.signer.vkey)
    assert accepted.passed, accepted.said


def altered(contents: list[bytes]) -> None:
    contents[7] = contents[7].replace(b"8", b"9")


def swapped(contents: list[bytes]) -> None:
    contents[7], contents[8] = contents[8], contents[7]


def dropped(contents: list[bytes]) -> None:
    del contents[7]


def doubled(contents: list[bytes]) -> None:
    contents.insert(7, contents[7])


Tampering = Callable[[list[bytes]], None]


@pytest.mark.parametrize("tamper", [altered, swapped, dropped, doubled])
async def test_tampered_entries_are_refused(log: PublishedLog, auditor: Auditor, old: Path, tamper: Tampering) -> None:
    path = log.folder / "tile/entries/000"
    contents = unbundle(path.read_bytes())
    tamper(contents)
    path.write_bytes(bundle(contents))
    refused = auditor.audit(log.folder, log.signer.vkey, old)
    assert not refused.passed
    assert "bundle 0" in refused.said or "another tree" in refused.said or "not the one that is signed" in refused.said


@pytest.mark.parametrize("tamper", [altered, swapped, dropped, doubled])
async def test_a_rewritten_history_is_refused_even_with_a_good_signature(
    log: PublishedLog, auditor: Auditor, old: Path, tamper: Tampering
) -> None:
    contents = entries(1, SIZE)
    tamper(contents)
    await log.restore(0)
    await log.put(contents)
    other = PublishedLog(log.pool, log.news, log.signer, log.folder.parent / "other")  # a guard that knows nothing
    await other.publish()
    assert auditor.audit(other.folder, log.signer.vkey).passed  # alone it is a log like any other
    refused = auditor.audit(other.folder, log.signer.vkey, old)
    assert not refused.passed
    assert "did not begin as that of size 300" in refused.said


def test_a_rolled_back_log_is_refused(log: PublishedLog, auditor: Auditor, old: Path) -> None:
    newest = log.folder / "checkpoint"
    kept = newest.read_bytes()
    newest.write_bytes(old.read_bytes())
    old.write_bytes(kept)
    assert not auditor.audit(log.folder, log.signer.vkey, old).passed


async def test_altered_tiles_are_refused(log: PublishedLog, auditor: Auditor, old: Path) -> None:
    path = log.folder / "tile/0/001"
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    assert not auditor.audit(log.folder, log.signer.vkey, old).passed


async def test_only_the_logs_own_key_is_believed(log: PublishedLog, auditor: Auditor, old: Path) -> None:
    refused = auditor.audit(log.folder, Signer(new_key("log.example/test")).vkey)
    assert not refused.passed
    path = log.folder / "checkpoint"
    path.write_text(path.read_text().replace("\n600\n", "\n599\n"))
    assert not auditor.audit(log.folder, log.signer.vkey).passed
