"""What an audit says: checks, each with what it found, what it covered and what it left out."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

FINDINGS_KEPT = 100
"""Of each check; more are only counted."""

State = Literal["HELD", "BROKEN", "UNCHECKED", "SKIPPED"]


class CouldNotCheck(Exception):
    """Something that a check needs cannot be had. The message says what, in a line."""


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is not as it must be.

    what: its kind, a slug. position: of the entry, where it is about one. rule: its number in the contract.
    values: what the sentence speaks of.
    """

    what: str
    says: str
    position: int | UnsetType = UNSET
    rule: str | UnsetType = UNSET
    values: dict[str, Any] = {}


class Check(Struct, kw_only=True):
    """One question of the audit and its answer.

    how: by what it is answered. covered: what it spoke of in the end ("positions 1 to 83 976"), empty for nothing.
    left_out: what it did not look at, and why; one sentence each. asked: whether somebody wanted it: then what is left
    out keeps the audit from saying that all holds.
    """

    name: str
    title: str
    how: str
    asked: bool = True
    done: bool = False
    covered: str = ""
    left_out: list[str] = []
    failed: bool = False
    found: int = 0
    findings: list[Finding] = []
    seconds: float = 0.0

    def find(self, what: str, says: str, **members: Any) -> None:
        """Note a finding. members: position and rule go by their names, all others are its values."""
        place = {name: members.pop(name) for name in ("position", "rule") if members.get(name) is not None}
        self.note(Finding(what=what, says=says, values=members, **place))

    def note(self, finding: Finding) -> None:
        self.found += 1
        if len(self.findings) < FINDINGS_KEPT:
            self.findings.append(finding)

    def leave_out(self, why: str, *, wanted: bool | None = None) -> None:
        """Say that something was not looked at. wanted: whether it was asked for; as the whole check by default."""
        self.left_out.append(why)
        self.failed = self.failed or (self.asked if wanted is None else wanted)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Within it the check is made. What cannot be had leaves the rest of it out."""
        try:
            yield
        except CouldNotCheck as why:
            self.leave_out(str(why))
        else:
            self.done = True

    @property
    def state(self) -> State:
        """BROKEN: something was found. HELD: nothing was, and all that was asked for was looked at.

        UNCHECKED: nothing was found in what could be looked at, but that is not all. SKIPPED: nobody asked.
        """
        if self.found:
            return "BROKEN"
        if self.failed:
            return "UNCHECKED"
        return "HELD" if self.done else "SKIPPED"


class Report(Struct, kw_only=True):
    """The whole audit. source: the address or folder that was asked; vkey: the key that the log must sign with.

    seed: of the choice of persons and certificates.
    note, since_note: the signed checkpoints, for evidence; empty where there is none.
    """

    source: str
    vkey: str
    program: str
    began_at: datetime
    seed: int = 0
    seconds: float = 0.0
    note: str = ""
    since_note: str = ""
    checks: list[Check] = []

    @property
    def verdict(self) -> State:
        """BROKEN when any check is, else UNCHECKED when any is, else HELD."""
        states = {check.state for check in self.checks}
        if "BROKEN" in states:
            return "BROKEN"
        return "UNCHECKED" if "UNCHECKED" in states or "HELD" not in states else "HELD"

    def as_dict(self) -> dict[str, Any]:
        """The members of the JSON report."""
        members: dict[str, Any] = {"verdict": self.verdict, **msgspec.to_builtins(self)}
        members["checks"] = [{"state": check.state, **msgspec.to_builtins(check)} for check in self.checks]
        for check in members["checks"]:
            del check["done"], check["failed"]
        return members
