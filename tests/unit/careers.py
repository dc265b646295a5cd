"""Careers of persons as facts: made by hand, or at random."""

import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from contracts.envelope import Envelope, StoredEvent, decode, encode
from contracts.facts import (
    Bloc,
    BlocInvalidated,
    BlocValidated,
    CandidateRegistered,
    CertificateAwarded,
    CertificateRevoked,
    CertificationPublished,
    Component,
    Fact,
    ObjectiveSet,
    PersonErased,
    PersonRegistered,
    PersonsMerged,
    RegistrationClosed,
    RegistrationReopened,
    given,
)
from contracts.facts.catalogue import Competence

START = datetime(2018, 1, 1, tzinfo=UTC)
CERTIFICATIONS = ("cqpm-a", "cqpi-b")
BLOCS = {"cqpm-a": ("a1", "a2", "common"), "cqpi-b": ("b1", "common")}
FAMILIES = {"cqpm-a": "CQPM", "cqpi-b": "CQPI"}
BRANCHES = ("metallurgie", "plasturgie")
REGIONS = ("11", "84", None)
STATUSES = ("SALARIE", "DEMANDEUR_EMPLOI", "AUTRE")
YEARS = (2018, 2019)


def uid(kind: str, number: int) -> str:
    """The id of the nth thing of a kind."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {number}"))


def recorded_at(position: int) -> datetime:
    return START + timedelta(hours=position)


def stored(fact: Fact, position: int) -> bytes:
    envelope = Envelope(id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"event {position}")), source="urn:test", authid="test")
    return encode(envelope, fact, position, recorded_at(position))


def events(facts: Iterable[Fact]) -> list[StoredEvent[Fact]]:
    return [decode(stored(fact, position)) for position, fact in enumerate(facts, 1)]


def published(certification_id: str, version: int = 1, level: int | None = 5) -> CertificationPublished:
    def bloc(bloc_id: str) -> Bloc:
        return Bloc(
            bloc_id=bloc_id,
            title=f"{bloc_id} of {certification_id} {version}",
            competences=tuple(
                Competence(competence_id=f"{bloc_id}-{letter}", label=f"{letter} of {certification_id} {version}")
                for letter in "yx"
            ),
        )

    optional: dict[str, Any] = {} if level is None else {"level": level}
    return CertificationPublished(
        certification_id=certification_id,
        version=version,
        family=FAMILIES[certification_id],  # type: ignore[arg-type]
        title=certification_id,
        effective_from=date(2014, 1, 1),
        blocs=tuple(bloc(bloc_id) for bloc_id in BLOCS[certification_id]),
        **optional,
    )


def person(number: int) -> PersonRegistered:
    return PersonRegistered(person_id=uid("person", number), identity_commitment="0" * 64)


def merged(kept: int, gone: int) -> PersonsMerged:
    return PersonsMerged(kept_id=uid("person", kept), merged_id=uid("person", gone))


def erased(of: int) -> PersonErased:
    return PersonErased(person_id=uid("person", of))


def registered(number: int, of: int, certification_id: str = "cqpm-a", **changed: Any) -> CandidateRegistered:
    members: dict[str, Any] = {
        "registration_id": uid("registration", number),
        "person_id": uid("person", of),
        "certification_id": certification_id,
        "version": 1,
        "target": "CERTIFICATION",
        "route": "FORMATION",
        "status": "SALARIE",
        "registered_on": date(2018, 3, 1),
        "branch": "metallurgie",
        "reporting_status": "SALARIE",
        "family": FAMILIES[certification_id],
    }
    return CandidateRegistered(**members | changed)


def closed(number: int, of: int, reason: Any = "FAILED", certification_id: str = "cqpm-a") -> RegistrationClosed:
    return RegistrationClosed(
        registration_id=uid("registration", number),
        person_id=uid("person", of),
        certification_id=certification_id,
        reason=reason,
        closed_on=date(2018, 12, 1),
    )


def reopened(number: int, of: int, certification_id: str = "cqpm-a") -> RegistrationReopened:
    return RegistrationReopened(
        registration_id=uid("registration", number),
        person_id=uid("person", of),
        certification_id=certification_id,
        reason="APPEAL",
        reopened_on=date(2018, 12, 2),
    )


def validated(number: int, registration: int, of: int, bloc_id: str = "a1", **changed: Any) -> BlocValidated:
    members: dict[str, Any] = {
        "validation_id": uid("validation", number),
        "registration_id": uid("registration", registration),
        "bloc_id": bloc_id,
        "basis": "EVALUATION",
        "validated_on": date(2018, 6, 1),
        "person_id": uid("person", of),
        "certification_id": "cqpm-a",
        "version": 1,
        "usable_until": date(2020, 6, 1),
    }
    return BlocValidated(**members | changed)


def invalidated(validation: BlocValidated, of: int) -> BlocInvalidated:
    return BlocInvalidated(
        validation_id=validation.validation_id,
        reason="FRAUD",
        decided_on=date(2018, 12, 1),
        person_id=uid("person", of),
        certification_id=validation.certification_id,
        registration_id=validation.registration_id,
        bloc_id=validation.bloc_id,
    )


def awarded(registration: int, of: int, certification_id: str = "cqpm-a", **changed: Any) -> CertificateAwarded:
    members: dict[str, Any] = {
        "registration_id": uid("registration", registration),
        "certificate_number": f"CQPM-2018-{registration:08d}-X",
        "awarded_on": date(2018, 9, 1),
        "person_id": uid("person", of),
        "certification_id": certification_id,
        "version": 1,
        "kind": "CERTIFICATION",
        "family": FAMILIES[certification_id],
        "level": 5,
        "title": certification_id,
        "components": (Component(bloc_id="a1", validation_id=uid("validation", 1), basis="EVALUATION"),),
        "reporting_status": "SALARIE",
        "branch": "metallurgie",
    }
    members |= changed
    return CertificateAwarded(**{name: value for name, value in members.items() if value is not None})


def revoked(certificate: CertificateAwarded, of: int) -> CertificateRevoked:
    return CertificateRevoked(
        certificate_number=certificate.certificate_number.lower(),  # numbers are the same without case
        reason="FRAUD",
        decided_on=date(2018, 12, 1),
        person_id=uid("person", of),
        registration_id=certificate.registration_id,
        certification_id=certificate.certification_id,
    )


class _History:
    """Facts that the rules would have accepted, out of random choices: a choice that makes no sense makes no fact."""

    def __init__(self) -> None:
        self.facts: list[Fact] = [published(certification_id, 1) for certification_id in CERTIFICATIONS]
        self.facts += [published(certification_id, 2, level=None) for certification_id in CERTIFICATIONS]
        self.persons: list[int] = []
        self.of_registration: dict[int, int] = {}
        self.open: dict[int, bool] = {}
        self.candidates: dict[int, CandidateRegistered] = {}
        self.certificates: list[tuple[int, CertificateAwarded]] = []
        self.validations: list[tuple[int, BlocValidated]] = []

    def add(self, what: int, which: int) -> None:
        """`what` chooses among kinds of facts, `which` among everything else."""
        fact = self._objective(which) if what == 0 else self._person(which) if what == 1 else self._career(what, which)
        if fact is not None:
            self.facts.append(fact)

    def _objective(self, which: int) -> Fact:
        return ObjectiveSet(year=YEARS[which % 2], beneficiaries=which % 7 + 1)

    def _person(self, which: int) -> Fact | None:
        if which % 3 or len(self.persons) < 2:
            self.persons.append(sum(isinstance(fact, PersonRegistered) for fact in self.facts))
            return person(self.persons[-1])
        kept, gone = self.persons[which % len(self.persons)], self.persons[(which + 1) % len(self.persons)]
        self.persons.remove(gone)
        for registration, of in self.of_registration.items():
            self.of_registration[registration] = kept if of == gone else of
        return merged(kept, gone)

    def _career(self, what: int, which: int) -> Fact | None:
        if what == 2 and self.persons:
            return self._registration(which)
        if what == 3 and self.certificates:
            registration, certificate = self.certificates.pop(which % len(self.certificates))
            return revoked(certificate, self.of_registration[registration])
        if what == 4 and self.validations:
            registration, validation = self.validations.pop(which % len(self.validations))
            return invalidated(validation, self.of_registration[registration])
        if what > 4 and self.open:
            registration = list(self.open)[which % len(self.open)]
            return self._open(registration, which) if self.open[registration] else self._reopen(registration)
        return None

    def _registration(self, which: int) -> Fact:
        number, of = len(self.open), self.persons[which % len(self.persons)]
        optional = {"region": REGIONS[which % 3], "prior_level": (None, 3, 4, 5)[which % 4]}
        candidate = registered(
            number,
            of,
            CERTIFICATIONS[which % 2],
            branch=BRANCHES[which // 2 % 2],
            reporting_status=STATUSES[which // 3 % 3],
            registered_on=date(YEARS[which // 5 % 2], which % 12 + 1, 1),
            **{name: value for name, value in optional.items() if value is not None},
        )
        self.of_registration[number], self.open[number], self.candidates[number] = of, True, candidate
        return candidate

    def _open(self, number: int, which: int) -> Fact:
        of, candidate = self.of_registration[number], self.candidates[number]
        if which % 5 == 0:
            self.open[number] = False
            reason = ("FAILED", "CANCELLED", "CANCELLED", "WITHDRAWN")[which % 4]
            return closed(number, of, reason, candidate.certification_id)
        if which % 5 < 3:
            self.open[number] = False
            certificate = awarded(
                number,
                of,
                candidate.certification_id,
                certificate_number=f"{candidate.family}-{len(self.facts):05d}",
                awarded_on=date(YEARS[which // 7 % 2], which % 12 + 1, 2),
                reporting_status=candidate.reporting_status,
                branch=candidate.branch,
                region=given(candidate.region),
                kind=("CERTIFICATION", "BLOCS")[which % 2],
                level=(3, 4, 6, None)[which % 4],
            )
            self.certificates.append((number, certificate))
            return certificate
        blocs = BLOCS[candidate.certification_id]
        validation = validated(
            len(self.facts),
            number,
            of,
            blocs[which % len(blocs)],
            certification_id=candidate.certification_id,
            version=which % 2 + 1,
            validated_on=date(YEARS[which % 2], which % 12 + 1, which % 3 + 1),
            usable_until=date(2021, which % 12 + 1, 1),
        )
        self.validations.append((number, validation))
        return validation

    def _reopen(self, number: int) -> Fact:
        self.open[number] = True
        return reopened(number, self.of_registration[number], self.candidates[number].certification_id)


def _history(choices: list[tuple[int, int]]) -> list[Fact]:
    history = _History()
    for what, which in choices:
        history.add(what, which)
    return history.facts


_choice = st.tuples(st.integers(0, 9), st.integers(0, 100_000))
histories = st.one_of(st.lists(_choice, max_size=12), st.lists(_choice, min_size=40, max_size=100)).map(_history)
"""Facts in order: two certifications in two versions, persons, and what becomes of them."""
