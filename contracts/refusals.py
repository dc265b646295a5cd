"""Refusals: a rule of section 2 of the contract says no. Final for this log; posting later may meet another log.

409 conflicts with recorded facts, 422 is refused by a rule of the branch. Each class is a state in which a thing is.
"""

from typing import Any, ClassVar

from contracts.problems import Problem


class Refusal(Problem):
    """A rule says no, and the values it speaks of are given. `rules`: those under which this state is refused."""

    rules: ClassVar[tuple[str, ...]]

    def __init__(self, detail: str, *, rule: str, **values: Any) -> None:
        assert rule in self.rules, f"{type(self).__name__} is not refused under {rule}"
        super().__init__(detail, rule=rule, **values)


class Conflict(Refusal):
    status: ClassVar[int] = 409


class Unmet(Refusal):
    status: ClassVar[int] = 422


class DateOutOfRange(Unmet):
    slug, title = "date-out-of-range", "A date lies in the future, or before what it speaks of"
    rules = ("A3", "B6", "C7", "R10", "T1", "V4")


# Catalogue


class VersionOutOfOrder(Conflict):
    slug, title = "version-out-of-order", "Versions follow one another"
    rules = ("C1",)


class CertificationInvalid(Unmet):
    slug, title = "certification-invalid", "The certification's parts do not fit together"
    rules = ("C2", "C3", "C6")


class CertificationUnknown(Unmet):
    slug, title = "certification-unknown", "No such certification is published"
    rules = ("C8", "E1", "R1")


class CertificationWithdrawn(Conflict):
    slug, title = "certification-withdrawn", "The certification is withdrawn"
    rules = ("C4", "C8")


class CommonBlocChanged(Conflict):
    slug, title = "common-bloc-changed", "A published bloc keeps its competences"
    rules = ("C5",)


class EquivalenceInvalid(Unmet):
    slug, title = "equivalence-invalid", "The equivalence's sides do not fit together"
    rules = ("E1", "E2", "E3")


class EquivalenceExists(Conflict):
    slug, title = "equivalence-exists", "The equivalence is recognised already"
    rules = ("E4",)


class EquivalenceUnknown(Unmet):
    slug, title = "equivalence-unknown", "No such equivalence is recognised"
    rules = ("B3", "E4")


class EquivalenceRepealed(Conflict):
    slug, title = "equivalence-repealed", "The equivalence is repealed already"
    rules = ("E4",)


# Persons


class PersonExists(Conflict):
    slug, title = "person-exists", "The person is registered already"
    rules = ("P1",)


class PersonUnknown(Unmet):
    slug, title = "person-unknown", "No such person is registered"
    rules = ("M1", "M2", "P1")


class PersonErased(Conflict):
    slug, title = "person-erased", "The person's identity has been erased"
    rules = ("M1", "M2", "P1")


class PersonMerged(Conflict):
    slug, title = "person-merged", "The person is known under another id"
    rules = ("M1", "M2", "P1")


class IdentityTaken(Conflict):
    slug, title = "identity-taken", "Another person has this identity"
    rules = ("P1",)


class SamePerson(Unmet):
    slug, title = "same-person", "A person is not merged with itself"
    rules = ("M1",)


class RegistrationsOpen(Conflict):
    slug, title = "registrations-open", "The person has open registrations"
    rules = ("M2",)


# Registrations


class VersionNotInForce(Unmet):
    slug, title = "version-not-in-force", "The version is not the one in force that day"
    rules = ("R1",)


class RegistrationsEnded(Unmet):
    slug, title = "registrations-ended", "The certification is withdrawn that day"
    rules = ("R2",)


class TargetInvalid(Unmet):
    slug, title = "target-invalid", "The registration's target and its blocs do not fit together"
    rules = ("R3",)


class RouteClosed(Unmet):
    slug, title = "route-closed", "The fiche does not open this route"
    rules = ("R5",)


class RegistrationOverlaps(Conflict):
    slug, title = "registration-overlaps", "Another open registration is for the same"
    rules = ("R6",)


class AlreadyHeld(Conflict):
    slug, title = "already-held", "The person holds this already"
    rules = ("R7",)


class RegistrationExists(Conflict):
    slug, title = "registration-exists", "The registration exists already"
    rules = ("R9",)


class RegistrationUnknown(Unmet):
    slug, title = "registration-unknown", "No such registration is recorded"
    rules = ("A1", "B1", "K1", "K2", "V1")


class RegistrationNotOpen(Conflict):
    slug, title = "registration-not-open", "The registration is not open"
    rules = ("A1", "B1", "K1", "V1")


class RegistrationNotClosed(Conflict):
    slug, title = "registration-not-closed", "The registration is not closed"
    rules = ("K2",)


class ValidationsLive(Conflict):
    slug, title = "validations-live", "Blocs are validated in the registration"
    rules = ("K1",)


# Evaluations


class BlocNotInTarget(Unmet):
    slug, title = "bloc-not-in-target", "The registration is not for this bloc"
    rules = ("B1", "V2")


class CompetencesInvalid(Unmet):
    slug, title = "competences-invalid", "The competences are not those of the bloc"
    rules = ("V3",)


class EvaluationExists(Conflict):
    slug, title = "evaluation-exists", "The evaluation is recorded already"
    rules = ("V5",)


class EvaluationUnknown(Unmet):
    slug, title = "evaluation-unknown", "No such evaluation is recorded"
    rules = ("V5",)


class BlocAlreadyValidated(Conflict):
    slug, title = "bloc-already-validated", "The bloc is validated in this registration"
    rules = ("B1", "V7")


# Juries


class JuryInvalid(Unmet):
    slug, title = "jury-invalid", "The jury is not composed as the branch demands"
    rules = ("J1",)


class JuryInvitedLate(Unmet):
    slug, title = "jury-invited-late", "The jury was invited too late"
    rules = ("J2",)


class JuryExists(Conflict):
    slug, title = "jury-exists", "The jury is recorded already"
    rules = ("J3",)


class JuryUnknown(Unmet):
    slug, title = "jury-unknown", "No such jury is recorded"
    rules = ("J3",)


class JuryDateDiffers(Unmet):
    slug, title = "jury-date-differs", "The jury was held on another day"
    rules = ("J3",)


# Blocs


class CompetencesMissing(Unmet):
    slug, title = "competences-missing", "Competences of the bloc are not acquired"
    rules = ("B2",)


class EquivalenceNotApplicable(Unmet):
    slug, title = "equivalence-not-applicable", "The equivalence does not give this bloc to this person"
    rules = ("B3",)


class SourceNotUsable(Unmet):
    slug, title = "source-not-usable", "The validation to carry over is not usable"
    rules = ("B4",)


class ArchiveNotAllowed(Unmet):
    slug, title = "archive-not-allowed", "This is not history from before the registry"
    rules = ("B9",)


class ValidationExists(Conflict):
    slug, title = "validation-exists", "The validation is recorded already"
    rules = ("B7",)


class ValidationUnknown(Unmet):
    slug, title = "validation-unknown", "No such validation is recorded"
    rules = ("B4", "B8")


class AlreadyInvalidated(Conflict):
    slug, title = "already-invalidated", "The validation is invalidated already"
    rules = ("B8",)


class ValidationInCertificate(Conflict):
    slug, title = "validation-in-certificate", "A live certificate rests on the validation"
    rules = ("B8",)


# Certificates


class BlocsMissing(Unmet):
    slug, title = "blocs-missing", "Blocs are not validated, or no longer usable"
    rules = ("A2",)


class CertificateNumberTaken(Conflict):
    slug, title = "certificate-number-taken", "The certificate number is taken"
    rules = ("A4",)


class CertificateUnknown(Unmet):
    slug, title = "certificate-unknown", "No such certificate is awarded"
    rules = ("A5",)


class AlreadyRevoked(Conflict):
    slug, title = "already-revoked", "The certificate is revoked already"
    rules = ("A5",)
