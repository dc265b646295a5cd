"""Facts of juries, of blocs validated and of certificates awarded."""

from typing import Literal

from contracts.facts.fact import (
    UNSET,
    CertificateNumber,
    Fact,
    FicheCode,
    Label,
    Level,
    Part,
    Positive,
    Reference,
    Region,
    Sha256,
    Slug,
    UnsetType,
    Uuid,
    certificate,
    date,
    jury,
    person,
    registration,
    validation,
)
from contracts.facts.registrations import Family, ReportingStatus

Basis = Literal["EVALUATION", "EQUIVALENCE", "CARRIED_OVER", "ARCHIVE"]
UndoReason = Literal["FRAUD", "CLERICAL_ERROR", "COURT_DECISION"]


class Seat(Part, frozen=True, kw_only=True):
    """A seat of a jury, never the person in it."""

    seat_id: Slug
    college: Literal["SALARIES", "EMPLOYEURS"]
    organisation: Slug
    present: bool


class HoldJury(Part, frozen=True, kw_only=True):
    jury_id: Uuid
    held_on: date
    organiser: Slug
    seats: tuple[Seat, ...]
    president_seat_id: Slug
    invited_on: date
    minutes_sha256: Sha256 | UnsetType = UNSET


class JuryHeld(HoldJury, Fact, frozen=True, kw_only=True):
    name = "jury.held"
    posted = HoldJury
    scope = "awards:write"

    def tags(self) -> tuple[str, ...]:
        return (jury(self.jury_id),)


class ValidateBloc(Part, frozen=True, kw_only=True):
    validation_id: Uuid
    registration_id: Uuid
    bloc_id: Slug
    basis: Basis
    equivalence_id: Uuid | UnsetType = UNSET
    source_validation_id: Uuid | UnsetType = UNSET
    decision_ref: Reference | UnsetType = UNSET
    jury_id: Uuid | UnsetType = UNSET
    validated_on: date


class BlocValidated(ValidateBloc, Fact, frozen=True, kw_only=True):
    """A bloc is acquired for ever; usable_until is the last day on which it counts towards a certificate (B5)."""

    name = "bloc.validated"
    posted = ValidateBloc
    scope = "awards:write"

    person_id: Uuid
    certification_id: Slug
    version: Positive
    usable_until: date

    def tags(self) -> tuple[str, ...]:
        return (validation(self.validation_id), registration(self.registration_id), person(self.person_id))


class InvalidateBloc(Part, frozen=True, kw_only=True):
    validation_id: Uuid
    reason: UndoReason
    decided_on: date


class BlocInvalidated(InvalidateBloc, Fact, frozen=True, kw_only=True):
    name = "bloc.invalidated"
    posted = InvalidateBloc
    scope = "awards:write"

    person_id: Uuid
    certification_id: Slug
    registration_id: Uuid
    bloc_id: Slug

    def tags(self) -> tuple[str, ...]:
        return (validation(self.validation_id), registration(self.registration_id), person(self.person_id))


class Component(Part, frozen=True, kw_only=True):
    """A bloc that a certificate rests on."""

    bloc_id: Slug
    validation_id: Uuid
    basis: Basis


class AwardCertificate(Part, frozen=True, kw_only=True):
    registration_id: Uuid
    certificate_number: CertificateNumber | UnsetType = UNSET
    jury_id: Uuid | UnsetType = UNSET
    awarded_on: date


class CertificateAwarded(AwardCertificate, Fact, frozen=True, kw_only=True):
    """The person is a beneficiary. The fact says all that a certificate says, whatever the catalogue becomes."""

    name = "certificate.awarded"
    posted = AwardCertificate
    scope = "awards:write"

    certificate_number: CertificateNumber
    person_id: Uuid
    certification_id: Slug
    version: Positive
    kind: Literal["CERTIFICATION", "BLOCS"]
    family: Family
    level: Level | UnsetType = UNSET
    title: Label
    rncp_code: FicheCode | UnsetType = UNSET
    components: tuple[Component, ...]
    reporting_status: ReportingStatus
    branch: Slug
    region: Region | UnsetType = UNSET

    def tags(self) -> tuple[str, ...]:
        return (certificate(self.certificate_number), registration(self.registration_id), person(self.person_id))


class RevokeCertificate(Part, frozen=True, kw_only=True):
    certificate_number: CertificateNumber
    reason: UndoReason
    decided_on: date
    decision_ref: Reference | UnsetType = UNSET


class CertificateRevoked(RevokeCertificate, Fact, frozen=True, kw_only=True):
    """The certificate no longer holds. There is no un-revoke (A5)."""

    name = "certificate.revoked"
    posted = RevokeCertificate
    scope = "awards:write"

    person_id: Uuid
    registration_id: Uuid
    certification_id: Slug

    def tags(self) -> tuple[str, ...]:
        return (certificate(self.certificate_number), registration(self.registration_id), person(self.person_id))
