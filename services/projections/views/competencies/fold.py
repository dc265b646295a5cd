"""Folds the events of persons into what each of them holds. Pure: in one go or in any batches, the same comes out."""

from collections.abc import Callable
from typing import Any

import msgspec

from contracts.facts import (
    BlocInvalidated,
    BlocValidated,
    CandidateRegistered,
    CertificateAwarded,
    CertificateRevoked,
    Fact,
    PersonErased,
    PersonRegistered,
    PersonsMerged,
    RegistrationClosed,
    RegistrationReopened,
    given,
)
from contracts.facts.awards import Basis
from contracts.facts.fact import date
from contracts.facts.registrations import Family, Target
from services.projections.events import Event

FACTS: tuple[type[Fact], ...] = (
    PersonRegistered,
    PersonsMerged,
    PersonErased,
    CandidateRegistered,
    RegistrationClosed,
    RegistrationReopened,
    BlocValidated,
    BlocInvalidated,
    CertificateAwarded,
    CertificateRevoked,
)
"""The facts of persons that are folded here; each has a person tag."""


class Registration(msgspec.Struct, kw_only=True, gc=False):
    position: int
    registered_on: date
    prior_level: int | None
    open: bool = True


class Validation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    position: int
    bloc_id: str
    basis: Basis
    certification_id: str
    version: int
    validated_on: date
    usable_until: date


class Certificate(msgspec.Struct, kw_only=True, gc=False):
    certificate_number: str
    kind: Target
    family: Family
    certification_id: str
    version: int
    title: str
    level: int | None
    awarded_on: date
    revoked: bool = False


class Person(msgspec.Struct, kw_only=True, gc=False):
    """What one person's events say. Validations are the live ones; certificates are found by number in lower case."""

    person_id: str
    merged_ids: list[str] = []
    erased: bool = False
    registrations: dict[str, Registration] = {}
    validations: dict[str, Validation] = {}
    certificates: dict[str, Certificate] = {}


class Persons:
    """Some persons by the ids that were kept, and the ids that were merged into them.

    changed: kept ids of persons that were folded into since `begin`; gone: ids that were kept before; moved: merged ids
    that stand for another since.

    What is folded must be about these persons, or make them known. A KeyError says that it was not.
    """

    def __init__(self, persons: dict[str, Person], kept_ids: dict[str, str]) -> None:
        self.persons = persons
        self.kept_ids = kept_ids
        self.begin()

    def find(self, person_id: str) -> Person | None:
        """The person of this id, be it a merged one."""
        return self.persons.get(self.kept_ids.get(person_id, person_id))

    def add(self, id_: str, kept_id: str, person: Person | None) -> None:
        """Have known what was read of an id that was not known: the id that stands for it, and the person.

        The person may be known, and be changed since that was read. The id cannot stand for another since: it would be
        known.
        """
        if id_ != kept_id:
            self.kept_ids[id_] = kept_id
        if person is not None:
            self.persons.setdefault(kept_id, person)

    def begin(self) -> None:
        """From now on it counts what has changed."""
        self.changed: set[str] = set()
        self.gone: set[str] = set()
        self.moved: set[str] = set()

    def trim(self, persons_max: int) -> None:
        """Forget persons until so many are left, those first that have not changed for longest; none that has."""
        for id_ in self.changed:
            self.persons[id_] = self.persons.pop(id_)
        while len(self.persons) > max(persons_max, len(self.changed)):
            for merged_id in self.persons.pop(next(iter(self.persons))).merged_ids:
                self.kept_ids.pop(merged_id, None)

    def fold(self, event: Event) -> None:
        """Apply one event; those that come before it in the log have been applied."""
        fact: Any = event.data
        if (fold := _FOLDS.get(fact.name)) is not None:
            person = self.persons[self.kept_ids.get(fact.person_id, fact.person_id)]
            fold(person, fact, event.position)
            self.changed.add(person.person_id)
        elif fact.name == PersonRegistered.name:
            self.persons[fact.person_id] = Person(person_id=fact.person_id)
            self.changed.add(fact.person_id)
        elif fact.name == PersonsMerged.name:
            self._merge(fact)
        else:
            raise TypeError(f"{fact.name} is not folded here")

    def _merge(self, fact: PersonsMerged) -> None:
        kept, merged = self.persons[fact.kept_id], self.persons.pop(fact.merged_id)
        for merged_id in (merged.person_id, *merged.merged_ids):
            self.kept_ids[merged_id] = kept.person_id
            self.moved.add(merged_id)
            kept.merged_ids.append(merged_id)
        kept.registrations |= merged.registrations
        kept.validations |= merged.validations
        kept.certificates |= merged.certificates
        self.changed.add(kept.person_id)
        self.changed.discard(merged.person_id)
        self.gone.add(merged.person_id)


def _erased(person: Person, fact: PersonErased, position: int) -> None:
    person.erased = True


def _registered(person: Person, fact: CandidateRegistered, position: int) -> None:
    person.registrations[fact.registration_id] = Registration(
        position=position, registered_on=fact.registered_on, prior_level=given(fact.prior_level)
    )


def _closed(person: Person, fact: RegistrationClosed, position: int) -> None:
    person.registrations[fact.registration_id].open = False


def _reopened(person: Person, fact: RegistrationReopened, position: int) -> None:
    person.registrations[fact.registration_id].open = True


def _validated(person: Person, fact: BlocValidated, position: int) -> None:
    person.validations[fact.validation_id] = Validation(
        position=position,
        bloc_id=fact.bloc_id,
        basis=fact.basis,
        certification_id=fact.certification_id,
        version=fact.version,
        validated_on=fact.validated_on,
        usable_until=fact.usable_until,
    )


def _invalidated(person: Person, fact: BlocInvalidated, position: int) -> None:
    del person.validations[fact.validation_id]


def _awarded(person: Person, fact: CertificateAwarded, position: int) -> None:
    person.registrations[fact.registration_id].open = False
    person.certificates[fact.certificate_number.lower()] = Certificate(
        certificate_number=fact.certificate_number,
        kind=fact.kind,
        family=fact.family,
        certification_id=fact.certification_id,
        version=fact.version,
        title=fact.title,
        level=given(fact.level),
        awarded_on=fact.awarded_on,
    )


def _revoked(person: Person, fact: CertificateRevoked, position: int) -> None:
    person.certificates[fact.certificate_number.lower()].revoked = True


_FOLDS: dict[str, Callable[[Person, Any, int], None]] = {
    PersonErased.name: _erased,
    CandidateRegistered.name: _registered,
    RegistrationClosed.name: _closed,
    RegistrationReopened.name: _reopened,
    BlocValidated.name: _validated,
    BlocInvalidated.name: _invalidated,
    CertificateAwarded.name: _awarded,
    CertificateRevoked.name: _revoked,
}
"""By the fact's name: to ask one class after the other takes longer than the rest of a fold."""
