"""Persons and certificates, folded again from their entries, beside what the registry says of them."""

import random
from collections.abc import Iterator
from datetime import date
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from contracts.facts import CertificateAwarded, CertificateRevoked, PersonErased, PersonsMerged
from contracts.facts import fact as tags
from services.audit.answers import DIFFERENCES_MAX, Registry, differences
from services.audit.findings import Check
from services.audit.requests import Answer, ahead
from services.audit.spool import Spool
from services.projections.certificates.fold import answer, folded
from services.projections.events import Placed
from services.projections.views.competencies.answer import bloc_keys, competencies
from services.projections.views.competencies.fold import FACTS as FACTS_OF_PERSONS
from services.projections.views.competencies.fold import Person, Persons
from services.registry.domain.reference import Reference, bloc_of

ERASURES = frozenset((*PersonErased.wire_names(), *PersonsMerged.wire_names()))


class Sample:
    """So many ids out of all that are offered, each as likely as any other; all where `size` is None."""

    def __init__(self, size: int | None, dice: random.Random) -> None:
        self._size = size
        self._dice = dice
        self.ids: list[str] = []
        self.offered = 0

    def offer(self, id_: str) -> None:
        self.offered += 1
        if self._size is None or len(self.ids) < self._size:
            self.ids.append(id_)
        elif (place := self._dice.randrange(self.offered)) < self._size:
            self.ids[place] = id_


class History(NamedTuple):
    """What has been read, at its last position. day: the Paris date then."""

    spool: Spool
    reference: Reference
    day: date

    def person(self, person_id: str) -> Person | None:
        """The person of this id, be it a merged one."""
        persons = Persons({}, {})
        of_person = map(tags.person, self.reference.names(person_id))
        for event in self.spool.events(of_person, FACTS_OF_PERSONS):
            persons.fold(Placed(event.position, event.data))
        return persons.find(person_id)

    def competencies(self, person: Person, position: int) -> dict[str, Any]:
        """As the contract has them (4.1)."""
        blocs = {
            key: bloc_of(self.reference.version(key.certification_id, key.version), key.bloc_id)
            for key in bloc_keys(person)
        }
        said: dict[str, Any] = msgspec.to_builtins(competencies(person, blocs, position=position, at=self.day))
        return said

    def certificate(self, number: str) -> dict[str, Any] | None:
        """What anybody may know of it."""
        events = self.spool.events([tags.certificate(number)], (CertificateAwarded, CertificateRevoked))
        certificate = folded(events)
        if certificate is None:
            return None
        version = self.reference.version(certificate.awarded.certification_id, certificate.awarded.version)
        said: dict[str, Any] = msgspec.to_builtins(answer(certificate, version))
        return said


def check_persons(check: Check, sample: Sample, history: History, registry: Registry) -> Iterator[int]:
    """Yields how many have been compared."""

    def ask(person_id: str) -> Answer:
        return registry.ask(f"v1/persons/{person_id}/competencies", at=history.day.isoformat())

    check.covered = f"0 of {sample.offered} persons"
    for done, (person_id, answered) in enumerate(ahead(ask, sample.ids), 1):
        try:
            _check_person(check, person_id, answered, history, registry)
        except LookupError:  # an event speaks of what never was: the rules refuse it
            check.leave_out(f"the events of person {person_id} cannot be folded")
        check.covered = f"{done} of {sample.offered} persons at position {registry.position}"
        yield done


def _check_person(check: Check, person_id: str, answered: Answer, history: History, registry: Registry) -> None:
    person = history.person(person_id)
    if person is None:
        raise LookupError(person_id)
    if answered.status == 410 or person.erased:
        _check_erasure(check, person_id, person, answered, registry)
    elif answered.status == 404:
        said = f"The registry knows no person {person_id}, whom the log has."
        check.find("person-unknown", said, person_id=person_id)
    else:
        said_now = answered.json(f"competencies of {person_id}")
        _compare(check, "competencies-differ", person_id, history.competencies(person, registry.position), said_now)


def _check_erasure(check: Check, person_id: str, person: Person, answered: Answer, registry: Registry) -> None:
    """Who is erased in the log is gone in the registry, and the other way round."""
    if answered.status != 410:
        check.find(
            "erasure-ignored",
            f"The log says that person {person_id} is erased; the registry answers {answered.status}, not 410.",
            person_id=person_id,
            status=answered.status,
        )
    elif not person.erased:
        if ERASURES.isdisjoint(registry.later(tags.person(person_id))):
            said = f"The registry says that person {person_id} is erased; the log does not."
            check.find("erasure-unrecorded", said, person_id=person_id)
        else:
            check.leave_out(
                f"person {person_id} was erased or merged behind position {registry.position}", wanted=False
            )


def check_certificates(check: Check, sample: Sample, history: History, registry: Registry) -> Iterator[int]:
    """Yields how many have been compared."""

    def ask(number: str) -> Answer:
        return registry.ask(f"v1/certificates/{number}")

    check.covered = f"0 of {sample.offered} certificates"
    for done, (number, answered) in enumerate(ahead(ask, sample.ids), 1):
        try:
            expected = history.certificate(number)
        except LookupError:
            check.leave_out(f"the events of certificate {number} cannot be folded")
            continue
        if answered.status == 404:
            said = f"The registry knows no certificate {number}, which the log has."
            check.find("certificate-unknown", said, certificate_number=number)
        else:
            _compare(check, "certificate-differs", number, expected, answered.json(f"certificate {number}"))
        check.covered = f"{done} of {sample.offered} certificates at position {registry.position}"
        yield done


def _compare(check: Check, what: str, id_: str, expected: Any, answered: Any) -> None:
    for member, entries_say, registry_says in islice(differences(expected, answered), DIFFERENCES_MAX):
        check.find(
            what,
            f"{member} of {id_}: the entries give {entries_say}, the registry says {registry_says}.",
            of=id_,
            member=member,
            folded=entries_say,
            answered=registry_says,
        )
