"""What an answer about a person rests on: the positions of the events that each of its rows comes from. Pure."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from contracts.facts import (
    CandidateRegistered,
    CertificateAwarded,
    CertificateRevoked,
    PersonRegistered,
    PersonsMerged,
    RegistrationClosed,
    RegistrationReopened,
)
from services.projections.events import Event
from services.projections.views.competencies.answer import (
    Competencies,
    first_validations,
    registration_with_prior_level,
)
from services.projections.views.competencies.fold import Person, Validation

Version = tuple[str, int]
"""A certification and the number of its version."""


class CertificateGrounds(Struct, frozen=True, kw_only=True):
    """The award, and the revocation if it was revoked."""

    certificate_number: str
    positions: list[int]


class BlocGrounds(Struct, frozen=True, kw_only=True):
    """The publication of the version, which gives the title, and the validation."""

    bloc_id: str
    validation_id: str
    positions: list[int]


class CompetenceGrounds(Struct, frozen=True, kw_only=True):
    """The publication that gives the label, and the live validation by which it was acquired first."""

    competence_id: str
    bloc_id: str
    positions: list[int]


class RegistrationGrounds(Struct, frozen=True, kw_only=True):
    """The registration, and all that closed and reopened it."""

    registration_id: str
    positions: list[int]


class Grounds(Struct, frozen=True, kw_only=True):
    """The rows of the answer about a person at a position, each with positions in ascending order.

    person: the registrations of the person's ids, and their merges. prior_level: the registration that gives it;
    prior_level_closings: all that closed and reopened that one, for it would seem open without.
    highest_level: the first award of it. Empty where there is none.
    """

    person_id: str
    position: int
    person: list[int]
    certificates: list[CertificateGrounds]
    blocs: list[BlocGrounds]
    competences: list[CompetenceGrounds]
    prior_level: list[int]
    prior_level_closings: list[int]
    highest_level: list[int]
    open_registrations: list[RegistrationGrounds]


def grounds(answer: Competencies, person: Person, career: Sequence[Event], published: Mapping[Version, int]) -> Grounds:
    """What the answer about a person rests on.

    career: all events of the person up to the answer's position, in order. published: the position of each version that
    the person has something of.
    """
    of_certificates: dict[str, list[int]] = {}
    of_registrations: dict[str, list[int]] = {}
    for event in career:
        match fact := event.data:
            case CertificateAwarded() | CertificateRevoked():
                of_certificates.setdefault(fact.certificate_number.lower(), []).append(event.position)
            case CandidateRegistered() | RegistrationClosed() | RegistrationReopened():
                of_registrations.setdefault(fact.registration_id, []).append(event.position)

    def of_validation(validation: Validation) -> list[int]:
        return [published[validation.certification_id, validation.version], validation.position]

    first, prior = first_validations(person), registration_with_prior_level(person)
    of_prior = [] if prior is None else next(at for at in of_registrations.values() if prior.position in at)
    highest = [
        of_certificates[held.certificate_number.lower()][0]
        for held in answer.certificates
        if held.kind == "CERTIFICATION" and held.status == "LIVE" and held.level == answer.highest_level
    ]
    return Grounds(
        person_id=answer.person_id,
        position=answer.position,
        person=[event.position for event in career if isinstance(event.data, PersonRegistered | PersonsMerged)],
        certificates=[
            CertificateGrounds(certificate_number=number, positions=of_certificates[number.lower()])
            for number in (held.certificate_number for held in answer.certificates)
        ],
        blocs=[
            BlocGrounds(
                bloc_id=bloc.bloc_id,
                validation_id=bloc.validation_id,
                positions=of_validation(person.validations[bloc.validation_id]),
            )
            for bloc in answer.blocs
        ],
        competences=[
            CompetenceGrounds(
                competence_id=held.competence_id, bloc_id=held.bloc_id, positions=of_validation(first[held.bloc_id])
            )
            for held in answer.competences
        ],
        prior_level=of_prior[:1],
        prior_level_closings=of_prior[1:],
        highest_level=sorted(highest)[:1],
        open_registrations=[
            RegistrationGrounds(registration_id=id_, positions=of_registrations[id_])
            for id_ in answer.open_registrations
        ],
    )
