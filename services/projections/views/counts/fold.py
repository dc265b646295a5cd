"""Folds events into changes of counts, each with its position. Pure: any batches give the same changes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from contracts.facts import (
    CandidateRegistered,
    CertificateAwarded,
    CertificateRevoked,
    Fact,
    ObjectiveSet,
    PersonsMerged,
    RegistrationClosed,
    RegistrationReopened,
    given,
)
from services.projections.events import Event

FACTS: tuple[type[Fact], ...] = (
    CandidateRegistered,
    RegistrationClosed,
    RegistrationReopened,
    CertificateAwarded,
    CertificateRevoked,
    PersonsMerged,
    ObjectiveSet,
)

ALL_BRANCHES = ""
NO_REGION = ""


class Cell(NamedTuple):
    """Where something is counted. Nothing that happens later moves it to another cell."""

    year: int
    certification_id: str
    family: str
    reporting_status: str
    branch: str
    region: str


class Delta(NamedTuple):
    """What one event changes in a cell."""

    position: int
    cell: Cell
    registered: int = 0
    beneficiaries: int = 0
    revoked: int = 0


class PersonsDelta(NamedTuple):
    """What one event changes in how many persons hold a live certificate."""

    position: int
    year: int
    branch: str
    persons: int


class Objective(NamedTuple):
    position: int
    year: int
    beneficiaries: int


class Registration(NamedTuple):
    cell: Cell
    cancelled: bool


Holder = dict[tuple[int, str], int]
"""Live certificates of one person by year and branch, ALL_BRANCHES included."""


@dataclass
class Known:
    """What earlier events say that a batch needs: its own registrations, certificates and persons, and no more.

    Certificates are found by number in lower case, holders by the id that was kept.
    """

    registrations: dict[str, Registration] = field(default_factory=dict)
    certificates: dict[str, Cell] = field(default_factory=dict)
    holders: dict[str, Holder] = field(default_factory=dict)
    kept_ids: dict[str, str] = field(default_factory=dict)


@dataclass
class Changes:
    """What a batch changes beside what is known."""

    deltas: list[Delta] = field(default_factory=list)
    persons_deltas: list[PersonsDelta] = field(default_factory=list)
    objectives: list[Objective] = field(default_factory=list)
    merged: bool = False


def fold(known: Known, changes: Changes, event: Event) -> None:
    """Apply one event to both; those that come before it in the log have been applied."""
    fact = event.data
    if fact.name not in _FOLDS:
        raise TypeError(f"{fact.name} is not folded here")
    _FOLDS[fact.name](known, changes, event.position, fact)


def _registered(known: Known, changes: Changes, position: int, fact: CandidateRegistered) -> None:
    cell = _cell(fact, fact.registered_on.year)
    known.registrations[fact.registration_id] = Registration(cell, cancelled=False)
    changes.deltas.append(Delta(position, cell, registered=1))


def _closed(known: Known, changes: Changes, position: int, fact: RegistrationClosed) -> None:
    _cancel(known, changes, position, fact.registration_id, fact.reason == "CANCELLED")


def _reopened(known: Known, changes: Changes, position: int, fact: RegistrationReopened) -> None:
    _cancel(known, changes, position, fact.registration_id, False)


def _awarded(known: Known, changes: Changes, position: int, fact: CertificateAwarded) -> None:
    cell = _cell(fact, fact.awarded_on.year)
    known.certificates[fact.certificate_number.lower()] = cell
    changes.deltas.append(Delta(position, cell, beneficiaries=1))
    _hold(known, changes, position, fact.person_id, cell)


def _revoked(known: Known, changes: Changes, position: int, fact: CertificateRevoked) -> None:
    cell = known.certificates[fact.certificate_number.lower()]
    changes.deltas.append(Delta(position, cell, beneficiaries=-1, revoked=1))
    _hold(known, changes, position, fact.person_id, cell, certificates=-1)


def _objective(known: Known, changes: Changes, position: int, fact: ObjectiveSet) -> None:
    changes.objectives.append(Objective(position, fact.year, fact.beneficiaries))


def _cell(fact: CandidateRegistered | CertificateAwarded, year: int) -> Cell:
    region = given(fact.region) or NO_REGION
    return Cell(year, fact.certification_id, fact.family, fact.reporting_status, fact.branch, region)


def _cancel(known: Known, changes: Changes, position: int, registration_id: str, cancelled: bool) -> None:
    """A registration counts by its last state: not while that is closed as cancelled."""
    registration = known.registrations[registration_id]
    if registration.cancelled != cancelled:
        known.registrations[registration_id] = registration._replace(cancelled=cancelled)
        changes.deltas.append(Delta(position, registration.cell, registered=-1 if cancelled else 1))


def _hold(known: Known, changes: Changes, position: int, person_id: str, cell: Cell, *, certificates: int = 1) -> None:
    """A person counts from the first live certificate to the last: at the way from 0 to 1 and back."""
    holder = known.holders.setdefault(known.kept_ids.get(person_id, person_id), {})
    for branch in (ALL_BRANCHES, cell.branch):
        before = holder.get((cell.year, branch), 0)
        after = holder[cell.year, branch] = before + certificates
        if (before > 0) != (after > 0):
            changes.persons_deltas.append(PersonsDelta(position, cell.year, branch, certificates))


def _merge(known: Known, changes: Changes, position: int, fact: PersonsMerged) -> None:
    """Who was counted twice counts once."""
    kept = known.holders.setdefault(fact.kept_id, {})
    merged = known.holders.get(fact.merged_id, {})
    for (year, branch), certificates in merged.items():
        before = kept.get((year, branch), 0)
        kept[year, branch] = before + certificates
        if before > 0 and certificates > 0:
            changes.persons_deltas.append(PersonsDelta(position, year, branch, -1))
    known.holders[fact.merged_id] = dict.fromkeys(merged, 0)
    for other_id, kept_id in known.kept_ids.items():
        if kept_id == fact.merged_id:
            known.kept_ids[other_id] = fact.kept_id
    known.kept_ids[fact.merged_id] = fact.kept_id
    changes.merged = True


_FOLDS: dict[str, Callable[[Known, Changes, int, Any], None]] = {
    CandidateRegistered.name: _registered,
    RegistrationClosed.name: _closed,
    RegistrationReopened.name: _reopened,
    CertificateAwarded.name: _awarded,
    CertificateRevoked.name: _revoked,
    PersonsMerged.name: _merge,
    ObjectiveSet.name: _objective,
}
"""By the fact's name: to ask one class after the other takes longer than the rest of a fold."""
