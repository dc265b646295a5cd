"""The one pass over the entries: hashed, looked at, decided again, counted, and kept for the questions after it."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from contracts.facts import CertificateAwarded, PersonRegistered
from services.audit.checks import Checks
from services.audit.counts import CountsFold
from services.audit.entries import Entries, Placed
from services.audit.findings import Check
from services.audit.form import Forms
from services.audit.rules import Rules
from services.audit.sources import Files
from services.audit.spool import Read, Spool
from services.audit.things import Sample
from services.projections.transparency.note import Checkpoint


class Reading:
    """Reads the log of a checkpoint once. Close it when its spool is needed no more.

    things: how many persons and how many certificates are chosen for the questions, None for all.
    last: when the last entry that could be read was recorded.
    """

    def __init__(self, checks: Checks, things: int | None, seed: int) -> None:
        self._checks = checks
        self._forms = Forms(checks.form)
        self.spool = Spool()
        self.rules = Rules(self.spool)
        self.counts = CountsFold()
        dice = random.Random(seed)  # noqa: S311 - the same choice can be made again
        self.persons, self.certificates = Sample(things, dice), Sample(things, dice)
        self.last: datetime | None = None

    def close(self) -> None:
        self.spool.close()

    def run(self, checkpoint: Checkpoint, files: Files, told: Callable[[int], None]) -> None:
        """Make the checks of the entries. told: hears how many have been read."""
        checks, read = self._checks, 0
        with checks.entries.under_way():
            bundles = Entries(files, checkpoint, checks.entries).bundles()
            while (bundle := _timed(checks.entries, bundles)) is not None:
                events = self._read(bundle)
                self._judge(events)
                for event in events:
                    self._count(event)
                read += len(bundle)
                told(read)
        for check in (checks.form, checks.rules):
            check.covered = checks.entries.covered
            check.done = checks.entries.done
            if not checks.entries.done:
                check.leave_out("not all entries could be read")
            elif read < checkpoint.size:
                check.leave_out(f"{checkpoint.size - read} entries could not be read")

    def _read(self, bundle: list[Placed]) -> list[Read]:
        with _timing(self._checks.form):
            events = [
                Read(event, entry, position)
                for position, entry in bundle
                if (event := self._forms.event(position, entry)) is not None
            ]
        if len(events) < len(bundle):
            self._checks.rules.leave_out(f"{len(bundle) - len(events)} entries that are no events", wanted=False)
        return events

    def _judge(self, events: list[Read]) -> None:
        with _timing(self._checks.rules):
            for event, _, position in events:
                for finding in self.rules.judge(position, event):
                    self._checks.rules.note(finding)
            repeated = self.spool.add(events)
            self.rules.keep()
        for position, first in repeated:
            said = f"The event has the source and id of the one at position {first}."
            self._checks.form.find("recorded-twice", said, position=position, rule="I1", first=first)

    def _count(self, read: Read) -> None:
        with _timing(self._checks.counts):
            self.counts.fold(read.position, read.event.data)
        self.last = read.event.recorded_at
        match read.event.data:
            case PersonRegistered(person_id=id_):
                self.persons.offer(id_)
            case CertificateAwarded(certificate_number=id_):
                self.certificates.offer(id_)


@contextmanager
def _timing(check: Check) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        check.seconds += time.perf_counter() - began


def _timed(check: Check, bundles: Iterator[list[Placed]]) -> list[Placed] | None:
    """The next bundle, None after the last."""
    with _timing(check):
        return next(bundles, None)
