"""An independent client of tlog-tiles accepts our log, and refuses what has been tampered with."""

import base64
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import pytest_asyncio
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey, VkeySet
from tlog_scales.tiles import leaf_hash
from tlog_scales.tlog import Checkpoint, ConsistencyProofInvalid, InclusionProof, InclusionProofInvalid

from services.projections.transparency.published import Published
from services.projections.transparency.tiles import bundle, unbundle
from tests.transparency.independent import Auditor
from tests.transparency.published_log import PublishedLog, entries

GOLDEN_SIZE = 70_000
OLD_SIZE = 66_000


class Client:
    """What an auditor does who has nothing but the files, the verifier key and tlog-scales."""

    def __init__(self, folder: Path, vkey: str) -> None:
        self.reader = TilesReader(LocalBackend(folder))
        self.vkey = Vkey.from_string(vkey)

    def checkpoint(self) -> Checkpoint:
        """The checkpoint, once its signature has been verified."""
        checkpoint = self.reader.get_checkpoint()
        assert checkpoint.origin == self.vkey.name
        assert len(VkeySet(self.vkey).verify(checkpoint.signatures, checkpoint)) == 1
        return checkpoint

    def check(self, indexes: range, old: Checkpoint | None = None) -> Checkpoint:
        """Check the root, entries and consistency with an older checkpoint."""
        checkpoint = self.checkpoint()
        assert self.reader.calculate_root_hash() == checkpoint.root_hash
        for index in indexes:
            proof = self.reader.get_inclusion_proof(index, checkpoint.size)
            proof.check(leaf_hash(self.reader.get_entry(index)), checkpoint.root_hash)
        if old is not None:
            proof = self.reader.get_consistency_proof(old.size, checkpoint.size)
            proof.check(old.root_hash, checkpoint.root_hash)
        return checkpoint


@pytest_asyncio.fixture
async def old(log: PublishedLog) -> Checkpoint:
    """An old checkpoint of a log of 600 entries that is published."""
    await log.put(entries(1, 300))
    await log.publish()
    old = Client(log.folder, log.signer.vkey).checkpoint()
    await log.put(entries(301, 600))
    await log.publish()
    return old


async def test_the_golden_log_of_70_000_entries(log: PublishedLog, independent: Path, tmp_path: Path) -> None:
    client = Client(log.folder, log.signer.vkey)
    await log.put(entries(1, OLD_SIZE))
    await log.publish(entries_max=OLD_SIZE)
    old = client.checkpoint()
    old_file = shutil.copy(log.folder / "checkpoint", tmp_path / "old")
    await log.put(entries(OLD_SIZE + 1, GOLDEN_SIZE))
    await log.publish()
    assert client.check(range(0, GOLDEN_SIZE, 977), old).size == GOLDEN_SIZE
    replayed = Auditor(independent).audit(log.folder, log.signer.vkey, old_file)
    assert replayed.said == f"{GOLDEN_SIZE} entries replayed, consistent with size {OLD_SIZE}\n"
    assert client.reader.get_entry(GOLDEN_SIZE - 1) == entries(GOLDEN_SIZE, GOLDEN_SIZE)[0]
    files = log.files()
    full = [sum(path.startswith(f"tile/{level}/") and ".p/" not in path for path in files) for level in (0, 1, 2)]
    assert full == [273, 1, 0]
    assert {"tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1", "tile/entries/273.p/112"} <= files.keys()
    assert sum(path.startswith("tile/entries/") and ".p/" not in path for path in files) == 273


async def test_a_small_log_is_accepted(log: PublishedLog, old: Checkpoint) -> None:
    client = Client(log.folder, log.signer.vkey)
    assert client.check(range(600), old).size == 600
    for index, entry in enumerate(entries(1, 600)):
        assert client.reader.get_entry(index) == entry


async def test_our_proofs_are_accepted(log: PublishedLog, old: Checkpoint) -> None:
    published = Published(log.folder)
    for position in (1, 256, 257, 600):
        head, note = (await published.proof(position)).decode().split("\n\n", 1)
        checkpoint = Checkpoint.from_text(note)
        hashes = [base64.b64decode(line) for line in head.split("\n")[2:]]
        proof = InclusionProof(position - 1, checkpoint.size, hashes)
        proof.check(leaf_hash(entries(position, position)[0]), checkpoint.root_hash)


def altered(contents: list[bytes]) -> None:
    contents[7] = contents[7].replace(b"8", b"9")


def swapped(contents: list[bytes]) -> None:
    contents[7], contents[8] = contents[8], contents[7]


def dropped(contents: list[bytes]) -> None:
    del contents[7]


Tampering = Callable[[list[bytes]], None]


@pytest.mark.parametrize("tamper", [altered, swapped, dropped])
async def test_tampered_entries_are_refused(log: PublishedLog, old: Checkpoint, tamper: Tampering) -> None:
    path = log.folder / "tile/entries/000"
    contents = unbundle(path.read_bytes())
    tamper(contents)
    path.write_bytes(bundle(contents))
    with pytest.raises(InclusionProofInvalid):
        Client(log.folder, log.signer.vkey).check(range(600), old)


@pytest.mark.parametrize("tamper", [altered, swapped, dropped])
async def test_a_rewritten_history_is_refused_even_with_a_good_signature(
    log: PublishedLog, old: Checkpoint, tamper: Tampering
) -> None:
    contents = entries(1, 600)
    tamper(contents)
    await log.restore(0)
    await log.put(contents)
    other = PublishedLog(log.pool, log.news, log.signer, log.folder.parent / "other")  # a guard that knows nothing
    await other.publish()
    client = Client(other.folder, log.signer.vkey)
    client.check(range(len(contents)))
    with pytest.raises(ConsistencyProofInvalid):
        client.check(range(0), old)


async def test_another_signature_is_refused(log: PublishedLog, old: Checkpoint) -> None:
    path = log.folder / "checkpoint"
    path.write_text(path.read_text().replace("\n600\n", "\n599\n"))
    checkpoint = TilesReader(LocalBackend(log.folder)).get_checkpoint()
    assert not VkeySet(Vkey.from_string(log.signer.vkey)).verify(checkpoint.signatures, checkpoint)
