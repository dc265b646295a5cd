"""A log made by hand: facts that the rules allow, or do not, honestly hashed and signed, in a folder of tiles."""

import shutil
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import msgspec

from contracts.envelope import REGISTRY_SOURCE, Envelope, encode
from contracts.facts import Fact, ObjectiveSet, Part
from services.audit.audit import Audit, opened
from services.audit.checks import Wanted
from services.audit.findings import Check, Report
from services.projections.transparency.disk import Disk
from services.projections.transparency.note import Checkpoint, Signer, new_key
from services.projections.transparency.publisher import CHECKPOINT, Growth
from services.projections.transparency.tiles import ENTRIES, Tile, bundle, tile_at, unbundle
from services.projections.transparency.tree import Edge, Tree
from tests.domain.careers import BEGINNING, START, Career, Step
from tests.domain.harness import decide

SIGNER = Signer(new_key("log.example/audited"))
DAY = date(2024, 6, 15)
"""On which histories made by hand are recorded: as a test of the rules has it."""


def stored(fact: Fact, position: int, day: date = DAY, **attributes: Any) -> bytes:
    """The entry of a fact recorded that day, its attributes as an honest registry sets them unless told otherwise."""
    made_here = type(fact).posted is None
    own = {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{fact.name} {position}")),
        "source": REGISTRY_SOURCE if made_here else "urn:test",
        "authid": "tests",
        "authtype": "system" if made_here else "service_account",
    }
    recorded_at = datetime.combine(day, time(12, tzinfo=UTC)) + timedelta(milliseconds=position)
    return encode(Envelope(**own | attributes), fact, position, recorded_at)


def entries_of(facts: Iterable[Fact], days: Sequence[date] = ()) -> list[bytes]:
    """The log of these facts."""
    recorded = [*days]
    return [
        stored(fact, position, recorded[position - 1] if position <= len(recorded) else DAY)
        for position, fact in enumerate(facts, 1)
    ]


def objectives(count: int) -> list[Fact]:
    """Facts that no rule refuses."""
    return [ObjectiveSet(year=2020 + number % 7, beneficiaries=number + 1) for number in range(count)]


class Lived:
    """A career of facts that the rules have allowed, each with the day on which it was recorded."""

    def __init__(self, steps: Iterable[Step]) -> None:
        career = Career()
        self.days = [START] * len(BEGINNING)
        for step in steps:
            for command, today in career.commands(step):
                outcome = decide(career.facts, command, today, START.isoformat()).outcome
                if isinstance(outcome, Fact):
                    career.happened(outcome)
                    self.days.append(date.fromisoformat(today))
        self.facts = career.facts

    def entries(self) -> list[bytes]:
        return entries_of(self.facts, self.days)


EVERYTHING: Sequence[Step] = (
    ("register", 0, 0, 0), ("evaluate", 0, 0, 1), ("correct", 0, 0, 1), ("finish", 0, 0, 1), ("revoke", 0, 0, 1),
    ("reopen", 0, 0, 1), ("invalidate", 0, 0, 0), ("close", 0, 0, 1), ("merge", 0, 7, 0), ("erase", 0, 9, 0),
    ("recognise", 0, 0, 0), ("repeal", 0, 0, 0), ("publish", 0, 0, 0), ("register", 4, 0, 1), ("finish", 0, 0, 1),
)  # fmt: skip
"""Nearly all that can happen."""


def decided(facts: Sequence[Fact], *commands: Part) -> list[Fact]:
    """The facts, and those that the commands bring about on DAY."""
    lived = list(facts)
    for command in commands:
        outcome = decide(lived, command, DAY.isoformat(), DAY.isoformat()).outcome
        assert isinstance(outcome, Fact), outcome
        lived.append(outcome)
    return lived


class Published:
    """A folder that a log is published into, whatever its entries are, and what can be done to it afterwards."""

    def __init__(self, folder: Path, entries: Sequence[bytes] = (), signer: Signer = SIGNER) -> None:
        self.folder = folder
        self.signer = signer
        self._disk = Disk(folder)
        self._growth = Growth(Edge(), [])
        self.grow(entries)

    def begin(self, entries: Sequence[bytes]) -> None:
        """Publish these, and nothing of what was there before."""
        shutil.rmtree(self.folder)
        self._growth = Growth(Edge(), [])
        self.grow(entries)

    def grow(self, entries: Sequence[bytes]) -> None:
        """Publish more, and sign it."""
        for entry in entries:
            for tile, content in self._growth.append(entry):
                self._disk.create(tile.path, content)
        for tile, content in self._growth.partials():
            self._disk.create(tile.path, content)
        self.size = self._growth.size
        self.sign(Checkpoint(self.signer.name, self.size, Tree(self.size, self.read).root()))

    def sign(self, checkpoint: Checkpoint) -> None:
        self._disk.replace(CHECKPOINT, self.signer.sign(checkpoint.text()).encode())

    @property
    def note(self) -> str:
        return (self.folder / CHECKPOINT).read_text()

    def read(self, tile: Tile) -> bytes:
        return (self.folder / tile.path).read_bytes()

    def write(self, tile: Tile, content: bytes) -> None:
        (self.folder / tile.path).write_bytes(content)

    def serve(self, number: int, change: Callable[[list[bytes]], list[bytes]]) -> None:
        """Serve other entries in a bundle than those that were hashed."""
        tile = tile_at(ENTRIES, number, self.size)
        self.write(tile, bundle(change(unbundle(self.read(tile)))))


def audited(address: Path | str, vkey: str = SIGNER.vkey, token: str | None = None, **wanted: Any) -> Report:
    """An audit's report."""
    audit = Audit(Wanted(vkey=vkey, **wanted), str(address), lambda *_: None)
    with opened(str(address), token) as source:
        audit.run(source)
    return audit.report


def check_of(report: Report, name: str) -> Check:
    return next(check for check in report.checks if check.name == name)


def found(report: Report) -> list[tuple[str, str, int | None]]:
    """Check, kind and position of each finding."""
    return [
        (check.name, finding.what, None if finding.position is msgspec.UNSET else finding.position)
        for check in report.checks
        for finding in check.findings
    ]


def states(report: Report) -> dict[str, str]:
    return {check.name: check.state for check in report.checks}
