"""An auditor as a contestant. Usage: python -m tests.bench.children.audit FOLDER PERSONS EVENTS_EACH SINGLES."""

import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import uvloop

from contracts.envelope import REGISTRY_SOURCE, Envelope, decode, encode
from services.audit.audit import Audit, opened
from services.audit.checks import Checks, Wanted, checks_for
from services.audit.counts import CountsFold
from services.audit.entries import Entries
from services.audit.form import Forms
from services.audit.rules import Rules
from services.audit.sources import Folder
from services.audit.spool import Read, Spool
from services.projections.transparency.disk import Disk
from services.projections.transparency.note import Checkpoint, Signer, Verifier, new_key, open_checkpoint
from services.projections.transparency.publisher import CHECKPOINT, Growth
from services.projections.transparency.tiles import TILE_WIDTH
from services.projections.transparency.tree import Edge, Tree
from tests.bench.child import answer
from tests.bench.generated import BEGAN, facts
from tests.bench.measure import Sample


class Auditor:
    """A log of generated facts in a folder of tiles, and each part of an audit of it."""

    def __init__(self, folder: Path, persons: int, events_each: int, singles: int) -> None:
        self._folder = folder
        self._signer = Signer(new_key("log.example/bench"))
        self._entries = list(_entries(persons, events_each, singles))
        self._events = [Read(decode(entry), entry, at) for at, entry in enumerate(self._entries, 1)]
        self._build(folder)

    async def tiles(self, seconds: float) -> Sample:
        """Tiles built and signed, each file safe on its disk: as the publisher does it."""
        return self._repeated(seconds, lambda: self._build(self._folder.with_name("again")))

    async def decoded(self, seconds: float) -> Sample:
        """Entries decoded and nothing else: what the rest stands beside."""
        return self._repeated(seconds, lambda: _each(decode, self._entries))

    async def hashed(self, seconds: float) -> Sample:
        """Bundles and tiles read, every entry hashed up to the root."""

        def work() -> None:
            checks = _checks()
            files = Folder(self._folder)
            for _ in Entries(files, self._checkpoint(), checks.entries).bundles():
                pass
            _held(checks)

        return self._repeated(seconds, work)

    async def formed(self, seconds: float) -> Sample:
        """Every entry parsed and written again."""

        def work() -> None:
            checks = _checks()
            forms = Forms(checks.form)
            for position, entry in enumerate(self._entries, 1):
                forms.event(position, entry)
            _held(checks)

        return self._repeated(seconds, work)

    async def judged(self, seconds: float) -> Sample:
        """Every fact decided again, boundaries out of the spool."""

        def work() -> None:
            spool = Spool()
            rules = Rules(spool)
            for first in range(0, len(self._events), TILE_WIDTH):
                bundle = self._events[first : first + TILE_WIDTH]
                for read in bundle:
                    for finding in rules.judge(read.position, read.event):
                        raise AssertionError(finding)
                spool.add(bundle)
                rules.keep()
            spool.close()

        return self._repeated(seconds, work)

    async def counted(self, seconds: float) -> Sample:
        """The counts folded again."""

        def work() -> None:
            counts = CountsFold()
            for read in self._events:
                counts.fold(read.position, read.event.data)

        return self._repeated(seconds, work)

    async def whole(self, seconds: float) -> Sample:
        """An audit of the folder, as the command makes it."""

        def work() -> None:
            audit = Audit(Wanted(vkey=self._signer.vkey, entries=True), str(self._folder), lambda *_: None)
            with opened(str(self._folder), None) as source:
                audit.run(source)
            assert audit.report.verdict == "HELD"

        return self._repeated(seconds, work)

    def _repeated(self, seconds: float, work: Callable[[], None]) -> Sample:
        """All entries, however long it takes: once, and again until the seconds are over."""
        times, began, cpu_began = 0, time.perf_counter(), time.process_time()
        while not times or time.perf_counter() - began < seconds:
            work()
            times += 1
        cpu_s = time.process_time() - cpu_began
        return Sample(operations=times * len(self._entries), seconds=time.perf_counter() - began, cpu_s=cpu_s)

    def _build(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        disk, growth = Disk(folder), Growth(Edge(), [])
        for entry in self._entries:
            for tile, content in growth.append(entry):
                disk.create(tile.path, content)
        for tile, content in growth.partials():
            disk.create(tile.path, content)
        disk.sync()
        root = Tree(growth.size, lambda tile: disk.read(tile.path)).root()
        note = self._signer.sign(Checkpoint(self._signer.name, growth.size, root).text())
        disk.replace(CHECKPOINT, note.encode())
        disk.sync()

    def _checkpoint(self) -> Checkpoint:
        return open_checkpoint((self._folder / CHECKPOINT).read_text(), Verifier(self._signer.vkey))


def _entries(persons: int, events_each: int, singles: int) -> Iterator[bytes]:
    for position, fact in enumerate(facts(persons, events_each, singles), 1):
        made_here = type(fact).posted is None
        envelope = Envelope(
            id=str(uuid.UUID(int=position)),
            source=REGISTRY_SOURCE if made_here else "urn:bench",
            authid="bench",
            authtype="system" if made_here else "service_account",
        )
        yield encode(envelope, fact, position, BEGAN + timedelta(milliseconds=position))


def _checks() -> Checks:
    return checks_for(Wanted(vkey="", entries=True))


def _held(checks: Checks) -> None:
    assert not any(check.found for check in checks), [check.findings for check in checks]


def _each(work: Callable[[bytes], object], entries: list[bytes]) -> None:
    for entry in entries:
        work(entry)


if __name__ == "__main__":
    folder_, *numbers = sys.argv[1:]
    auditor = Auditor(Path(folder_), *map(int, numbers))
    uvloop.run(
        answer(
            tiles=auditor.tiles, decoded=auditor.decoded, hashed=auditor.hashed, formed=auditor.formed,
            judged=auditor.judged, counted=auditor.counted, whole=auditor.whole,
        )
    )  # fmt: skip
