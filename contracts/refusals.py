"""Refusals: a rule of section 2 of the contract says no. Final for this log; posting later may meet another log.

409 conflicts with recorded facts, 422 is refused by a rule of the branch. Each class is a state in which a thing is.
"""

from typing import ClassVar

from contracts.problems import Problem


class Refusal(Problem):
    """A rule says no. `rule` and the values it speaks of are always given."""


class Conflict(Refusal):
    status: ClassVar[int] = 409


class Unmet(Refusal):
    status: ClassVar[int] = 422


class DateOutOfRange(Unmet):
    slug, title = "date-out-of-range", "A date lies in the future, or before what it speaks of"


# Catalogue


class VersionOutOfOrder(Conflict):
    slug, title = "version-out-of-order", "Versions follow one another"


class CertificationInvalid(Unmet):
    slug, title = "certification-invalid", "The certification's parts do not fit together"


class CertificationUnknown(Unmet):
    slug, title = "certification-unknown", "No such certification is published"


class CertificationWithdrawn(Conflict):
    slug, title = "certification-withdrawn", "The certification is withdrawn"


class CommonBlocChanged(Conflict):
    slug, title = "common-bloc-changed", "A published bloc keeps its competences"


class EquivalenceInvalid(Unmet):
    slug, title = "equivalence-invalid", "The equivalence's sides do not fit together"


class EquivalenceExists(Conflict):
    slug, title = "equivalence-exists", "The equivalence is recognised already"


class EquivalenceUnknown(Unmet):
    slug, title = "equivalence-unknown", "No such equivalence is recognised"


class EquivalenceRepealed(Conflict):
    slug, title = "equivalence-repealed", "The equivalence is repealed already"


# Persons


class PersonExists(Conflict):
    slug, title = "person-exists", "The person is registered already"


class PersonUnknown(Unmet):
    slug, title = "person-unknown", "No such person is registered"


class PersonErased(Conflict):
    slug, title = "person-erased", "The person's identity has been erased"


class PersonMerged(Conflict):
    slug, title = "person-merged", "The person is known under another id"


class IdentityTaken(Conflict):
    slug, title = "identity-taken", "Another person has this identity"


class SamePerson(Unmet):
    slug, title = "same-person", "A person is not merged with itself"


class RegistrationsOpen(Conflict):
    slug, title = "registrations-open", "The person has open registrations"


# Registrations


class VersionNotInForce(Unmet):
    slug, title = "version-not-in-force", "The version is not the one in force that day"


class RegistrationsEnded(Unmet):
    slug, title = "registrations-ended", "The certification is withdrawn that day"


class TargetInvalid(Unmet):
    slug, title = "target-invalid", "The registration's target and its blocs do not fit together"


class RouteClosed(Unmet):
    slug, title = "route-closed", "The fiche does not open this route"


class RegistrationOverlaps(Conflict):
    slug, title = "registration-overlaps", "Another open registration is for the same"


class AlreadyHeld(Conflict):
    slug, title = "already-held", "The person holds this already"


class RegistrationExists(Conflict):
    slug, title = "registration-exists", "The registration exists already"


class RegistrationUnknown(Unmet):
    slug, title = "registration-unknown", "No such registration is recorded"


class RegistrationNotOpen(Conflict):
    slug, title = "registration-not-open", "The registration is not open"


class RegistrationNotClosed(Conflict):
    slug, title = "registration-not-closed", "The registration is not closed"


class ValidationsLive(Conflict):
    slug, title = "validations-live", "Blocs are validated in the registration"


# Evaluations


class BlocNotInTarget(Unmet):
    slug, title = "bloc-not-in-target", "The registration is not for this bloc"


class CompetencesInvalid(Unmet):
    slug, title = "competences-invalid", "The competences are not those of the bloc"


class EvaluationExists(Conflict):
    slug, title = "evaluation-exists", "The evaluation is recorded already"


class EvaluationUnknown(Unmet):
    slug, title = "evaluation-unknown", "No such evaluation is recorded"


class BlocAlreadyValidated(Conflict):
    slug, title = "bloc-already-validated", "The bloc is validated in this registration"


# Juries


class JuryInvalid(Unmet):
    slug, title = "jury-invalid", "The jury is not composed as the branch demands"


class JuryInvitedLate(Unmet):
    slug, title = "jury-invited-late", "The jury was invited too late"


class JuryExists(Conflict):
    slug, title = "jury-exists", "The jury is recorded already"


class JuryUnknown(Unmet):
    slug, title = "jury-unknown", "No such jury is recorded"


class JuryDateDiffers(Unmet):
    slug, title = "jury-date-differs", "The jury was held on another day"


# Blocs


class CompetencesMissing(Unmet):
    slug, title = "competences-missing", "Competences of the bloc are not acquired"


class EquivalenceNotApplicable(Unmet):
    slug, title = "equivalence-not-applicable", "The equivalence does not give this bloc to this person"


class SourceNotUsable(Unmet):
    slug, title = "source-not-usable", "The validation to carry over is not usable"


class ArchiveNotAllowed(Unmet):
    slug, title = "archive-not-allowed", "This is not history from before the registry"


class ValidationExists(Conflict):
    slug, title = "validation-exists", "The validation is recorded already"


class ValidationUnknown(Unmet):
    slug, title = "validation-unknown", "No such validation is recorded"


class AlreadyInvalidated(Conflict):
    slug, title = "already-invalidated", "The validation is invalidated already"


class ValidationInCertificate(Conflict):
    slug, title = "validation-in-certificate", "A live certificate rests on the validation"


# Certificates


class BlocsMissing(Unmet):
    slug, title = "blocs-missing", "Blocs are not validated, or no longer usable"


class CertificateNumberTaken(Conflict):
    slug, title = "certificate-number-taken", "The certificate number is taken"


class CertificateUnknown(Unmet):
    slug, title = "certificate-unknown", "No such certificate is awarded"


class AlreadyRevoked(Conflict):
    slug, title = "already-revoked", "The certificate is revoked already"
