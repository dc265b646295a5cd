"""Decisions about persons (P1, M1, M2). The vault brings them about; no identity comes here."""

from collections.abc import Sequence

from eventsourcing.dcb.domain import Selector, Slice

from contracts import facts
from contracts.facts import Fact, Part
from contracts.facts import fact as tags
from contracts.refusals import (
    PersonErased,
    PersonExists,
    PersonMerged,
    PersonUnknown,
    RegistrationsOpen,
    SamePerson,
)
from services.registry.domain.circumstances import Circumstances
from services.registry.domain.reference import Reference
from services.registry.domain.states import PERSON, REGISTRATION, Person, folds, person_selectors, selector, unused


class PersonToRegister(Part, frozen=True, kw_only=True):
    person_id: str
    identity_commitment: str


class PersonToRectify(Part, frozen=True, kw_only=True):
    person_id: str
    identity_commitment: str


class PersonsToMerge(Part, frozen=True, kw_only=True):
    kept_id: str
    merged_id: str


class PersonToErase(Part, frozen=True, kw_only=True):
    person_id: str


def refuse_unless_current(person: Person, person_id: str, reference: Reference, *, rule: str = "P1") -> None:
    """Refuse who is not registered, erased, or known under another id by now."""
    if person_id not in person.registered:
        raise PersonUnknown(f"No person {person_id} is registered.", rule=rule, person_id=person_id)
    kept_id = reference.kept(person_id)
    if kept_id != person_id:
        raise PersonMerged(
            f"Person {person_id} is known as {kept_id}.",
            rule=rule,
            person_id=person_id,
            kept_id=kept_id,
            position=reference.position(facts.PersonsMerged, person_id),
        )
    if person_id in person.erased:
        raise PersonErased(
            f"The identity of person {person_id} is erased.",
            rule=rule,
            person_id=person_id,
            position=person.erased[person_id],
        )


@folds(person=(PERSON,))
class RegisterPerson(Slice[Fact]):
    """Register a person under a new random id."""

    def __init__(self, command: PersonToRegister, circumstances: Circumstances) -> None:
        self.command = command
        self.person = Person()

    def consistency_boundary(self) -> Selector:
        return unused(tags.person(self.command.person_id), PERSON)

    def execute(self) -> None:
        id_ = self.command.person_id
        if id_ in self.person.registered:
            raise PersonExists(
                f"Person {id_} is registered already.", rule="P1", person_id=id_, position=self.person.registered[id_]
            )
        self.trigger_event(lambda: facts.PersonRegistered.of(self.command))


@folds(person=(PERSON,))
class RectifyPerson(Slice[Fact]):
    """Record that a person's identity was put right (P1)."""

    def __init__(self, command: PersonToRectify, circumstances: Circumstances) -> None:
        self.command = command
        self.reference = circumstances.reference
        self.person = Person()

    def consistency_boundary(self) -> Selector:
        return selector(tags.person(self.command.person_id), PERSON)

    def execute(self) -> None:
        refuse_unless_current(self.person, self.command.person_id, self.reference)
        self.trigger_event(lambda: facts.PersonRectified.of(self.command))


@folds(person=(PERSON,))
class MergePersons(Slice[Fact]):
    """Record that two ids are one person (M1)."""

    def __init__(self, command: PersonsToMerge, circumstances: Circumstances) -> None:
        self.command = command
        self.reference = circumstances.reference
        self.person = Person()

    def consistency_boundary(self) -> Sequence[Selector]:
        return person_selectors(dict.fromkeys((self.command.kept_id, self.command.merged_id)), PERSON)

    def execute(self) -> None:
        kept_id, merged_id = self.command.kept_id, self.command.merged_id
        if kept_id == merged_id:
            raise SamePerson(f"Person {kept_id} is not merged with itself.", rule="M1", person_id=kept_id)
        for person_id in (kept_id, merged_id):
            refuse_unless_current(self.person, person_id, self.reference, rule="M1")
        self.trigger_event(lambda: facts.PersonsMerged.of(self.command))


@folds(person=(PERSON, REGISTRATION))
class ErasePerson(Slice[Fact]):
    """Record that a person's identity is erased; not while a registration is open (M2)."""

    def __init__(self, command: PersonToErase, circumstances: Circumstances) -> None:
        self.command = command
        self.reference = circumstances.reference
        self.person = Person()

    def consistency_boundary(self) -> Sequence[Selector]:
        return person_selectors(self.reference.names(self.command.person_id), PERSON, REGISTRATION)

    def execute(self) -> None:
        refuse_unless_current(self.person, self.command.person_id, self.reference, rule="M2")
        if open_registrations := self.person.open_registrations():
            raise RegistrationsOpen(
                f"{len(open_registrations)} registrations of person {self.command.person_id} are open.",
                rule="M2",
                person_id=self.command.person_id,
                registration_ids=[r.registration_id for r in open_registrations],
                positions=[r.position for r in open_registrations],
            )
        self.trigger_event(lambda: facts.PersonErased.of(self.command))
