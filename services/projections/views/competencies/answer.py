"""What is said of a person: a pure function of what the person holds, the catalogue and a day."""

from collections.abc import Mapping
from itertools import chain
from typing import Literal, NamedTuple

from msgspec import UNSET, Struct, UnsetType

from contracts.facts import Bloc
from contracts.facts.awards import Basis
from contracts.facts.fact import date
from contracts.facts.registrations import Family, Target
from services.projections.views.competencies.fold import Certificate, Person, Registration, Validation


class BlocKey(NamedTuple):
    """A bloc as one version of a certification has it."""

    certification_id: str
    version: int
    bloc_id: str


class HeldCertificate(Struct, frozen=True, kw_only=True):
    certificate_number: str
    kind: Target
    family: Family
    certification_id: str
    version: int
    title: str
    level: int | UnsetType = UNSET
    awarded_on: date
    status: Literal["LIVE", "REVOKED"]


class HeldBloc(Struct, frozen=True, kw_only=True):
    """A live validation. `usable`: it counts towards a certificate on the day asked for."""

    bloc_id: str
    title: str
    validation_id: str
    basis: Basis
    certification_id: str
    validated_on: date
    usable_until: date
    usable: bool


class HeldCompetence(Struct, frozen=True, kw_only=True):
    competence_id: str
    bloc_id: str
    label: str
    acquired_on: date


class Competencies(Struct, frozen=True, kw_only=True):
    """What a person holds, as the registry knew at a position of the log. Lists are sorted by id."""

    person_id: str
    position: int
    certificates: list[HeldCertificate]
    blocs: list[HeldBloc]
    competences: list[HeldCompetence]
    prior_level: int | None
    highest_level: int | None
    open_registrations: list[str]


def bloc_keys(person: Person) -> set[BlocKey]:
    """What of the catalogue an answer about this person needs."""
    return {_key(validation) for validation in person.validations.values()}


def competencies(person: Person, catalogue: Mapping[BlocKey, Bloc], *, position: int, at: date) -> Competencies:
    """The answer about a person. `at` judges whether blocs are usable, and hides nothing."""
    return Competencies(
        person_id=person.person_id,
        position=position,
        certificates=[_certificate(held) for _, held in sorted(person.certificates.items())],
        blocs=_blocs(person, catalogue, at),
        competences=_competences(person, catalogue),
        prior_level=_prior_level(person),
        highest_level=max(_levels(person), default=None),
        open_registrations=sorted(id_ for id_, registration in person.registrations.items() if registration.open),
    )


def _key(validation: Validation) -> BlocKey:
    return BlocKey(validation.certification_id, validation.version, validation.bloc_id)


def _certificate(held: Certificate) -> HeldCertificate:
    return HeldCertificate(
        certificate_number=held.certificate_number,
        kind=held.kind,
        family=held.family,
        certification_id=held.certification_id,
        version=held.version,
        title=held.title,
        level=UNSET if held.level is None else held.level,
        awarded_on=held.awarded_on,
        status="REVOKED" if held.revoked else "LIVE",
    )


def _blocs(person: Person, catalogue: Mapping[BlocKey, Bloc], at: date) -> list[HeldBloc]:
    blocs = [
        HeldBloc(
            bloc_id=validation.bloc_id,
            title=catalogue[_key(validation)].title,
            validation_id=validation_id,
            basis=validation.basis,
            certification_id=validation.certification_id,
            validated_on=validation.validated_on,
            usable_until=validation.usable_until,
            usable=validation.validated_on <= at <= validation.usable_until,
        )
        for validation_id, validation in person.validations.items()
    ]
    return sorted(blocs, key=lambda bloc: (bloc.bloc_id, bloc.validation_id))


def _competences(person: Person, catalogue: Mapping[BlocKey, Bloc]) -> list[HeldCompetence]:
    """One row for each competence and bloc, labelled as when it was first acquired."""
    rows = chain.from_iterable(
        (
            HeldCompetence(
                competence_id=competence.competence_id,
                bloc_id=validation.bloc_id,
                label=competence.label,
                acquired_on=validation.validated_on,
            )
            for competence in catalogue[_key(validation)].competences
        )
        for validation in first_validations(person).values()
    )
    return sorted(rows, key=lambda row: (row.competence_id, row.bloc_id))


def first_validations(person: Person) -> dict[str, Validation]:
    """Of each bloc the live validation by which it was acquired first; of one day, the one recorded first."""
    first: dict[str, Validation] = {}
    for validation in sorted(person.validations.values(), key=lambda held: (held.validated_on, held.position)):
        first.setdefault(validation.bloc_id, validation)
    return first


def _prior_level(person: Person) -> int | None:
    giving = registration_with_prior_level(person)
    return None if giving is None else giving.prior_level


def registration_with_prior_level(person: Person) -> Registration | None:
    """The earliest registration that gives one; of one day, the one recorded first."""
    giving = [registration for registration in person.registrations.values() if registration.prior_level is not None]
    return min(giving, key=lambda given: (given.registered_on, given.position), default=None)


def _levels(person: Person) -> list[int]:
    return [
        held.level
        for held in person.certificates.values()
        if held.kind == "CERTIFICATION" and not held.revoked and held.level is not None
    ]
