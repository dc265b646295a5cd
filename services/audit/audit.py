"""The audit: its checks in their order, each as far as what comes before it allows."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from services.audit.answers import Registry
from services.audit.checkpoints import check_consistency_with, check_root, check_signature, check_witnesses, read_note
from services.audit.checks import Wanted, checks_for
from services.audit.counts import check_counts
from services.audit.findings import CouldNotCheck, Report
from services.audit.reading import Reading
from services.audit.requests import Remote
from services.audit.sources import Files, Folder, Served
from services.audit.things import History, check_certificates, check_persons
from services.projections.transparency.note import Checkpoint, NoteRefused, Verifier, open_checkpoint
from services.registry.proposals import paris_day

Told = Callable[[str, int, int], None]
"""Hears what is being looked at, how many of it have been, and of how many."""


class Source:
    """Where the log is: its files, and what answers questions about it."""

    def __init__(self, files: Files, remote: Remote | None = None) -> None:
        self.files = files
        self._remote = remote

    @property
    def remote(self) -> Remote | None:
        """None where there is a mere copy of the files; known once the checkpoint has been read."""
        return None if isinstance(self.files, Served) and self.files.is_copy else self._remote


@contextmanager
def opened(address: str, token: str | None) -> Iterator[Source]:
    """A registry, a static server's copy of its log, or a folder with one."""
    if "://" not in address:
        yield Source(Folder(Path(address)))
        return
    remote = Remote(address, token)
    try:
        yield Source(Served(remote), remote)
    finally:
        remote.close()


class Audit:
    """One audit. Its report fills as it goes on."""

    def __init__(self, wanted: Wanted, address: str, told: Told) -> None:
        self._wanted = wanted
        self._told = told
        self._checks = checks_for(wanted)
        self._verifier = Verifier(wanted.vkey)
        self.report = Report(
            source=address,
            vkey=wanted.vkey,
            program=f"certibranche {version('certibranche')}",
            began_at=datetime.now(UTC),
            seed=wanted.seed,
            checks=list(self._checks),
        )

    @property
    def may_be_saved(self) -> bool:
        """Whether the checkpoint may stand for this log at the next audit."""
        signature, witnesses, consistency, tiles = self._checks[:4]
        return signature.state == tiles.state == "HELD" and {witnesses.state, consistency.state} <= {"HELD", "SKIPPED"}

    def run(self, source: Source) -> None:
        """Make all checks that are asked for and possible."""
        began = time.perf_counter()
        checkpoint = self._signed(source.files)
        if checkpoint is None:
            for check in self._checks[1:]:
                if not check.left_out:
                    check.leave_out("there is no checkpoint that the log's key has signed")
        else:
            self._grown(checkpoint, source.files)
            if self._wanted.entries:
                self._read(checkpoint, source)
        self.report.seconds = time.perf_counter() - began

    def _signed(self, files: Files) -> Checkpoint | None:
        with self._checks.signature.under_way():
            self.report.note = read_note(files)
            return check_signature(self._checks.signature, self.report.note, self._verifier)
        return None

    def _grown(self, checkpoint: Checkpoint, files: Files) -> None:
        wanted, checks = self._wanted, self._checks
        if wanted.policy.witnesses:
            with checks.witnesses.under_way():
                check_witnesses(checks.witnesses, self.report.note, wanted.policy)
        if wanted.since is not None:
            with checks.consistency.under_way():
                self.report.since_note = wanted.since
                try:
                    older = open_checkpoint(wanted.since, self._verifier)
                except NoteRefused as error:
                    raise CouldNotCheck(f"the older checkpoint cannot be used: {error}") from error
                check_consistency_with(checks.consistency, older, checkpoint, files)
        with checks.tiles.under_way():
            check_root(checks.tiles, checkpoint, files)

    def _read(self, checkpoint: Checkpoint, source: Source) -> None:
        reading = Reading(self._checks, self._wanted.things, self._wanted.seed)
        try:
            reading.run(checkpoint, source.files, lambda read: self._told("entries", read, checkpoint.size))
            if source.remote is None or reading.last is None:
                self._ask_nothing(source.remote, checkpoint)
            elif not self._checks.entries.done:
                for check in self._checks.of_answers:
                    check.leave_out("not all entries could be read")
            else:
                history = History(reading.spool, reading.rules.reference, paris_day(reading.last))
                self._ask(reading, history, Registry(source.remote, checkpoint.size))
        finally:
            reading.close()

    def _ask_nothing(self, remote: Remote | None, checkpoint: Checkpoint) -> None:
        """Nobody is there to be asked, or nothing to be asked about: only who insists on persons misses something."""
        why = "a copy of the log's files answers no questions" if remote is None else "no entry could be read"
        for check in self._checks.of_answers:
            check.leave_out(why, wanted=self._wanted.persons_asked or (remote is not None and checkpoint.size > 0))

    def _ask(self, reading: Reading, history: History, registry: Registry) -> None:
        checks = self._checks
        with checks.counts.under_way():
            check_counts(checks.counts, reading.counts, registry)
        for check, sample, compared in (
            (checks.persons, reading.persons, check_persons),
            (checks.certificates, reading.certificates, check_certificates),
        ):
            began = time.perf_counter()
            with check.under_way():
                for done in compared(check, sample, history, registry):
                    self._told(check.name, done, len(sample.ids))
            check.seconds += time.perf_counter() - began
