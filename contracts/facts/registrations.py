"""Facts of registrations (inscriptions) and of the evaluations in them."""

from typing import Annotated, Literal

from msgspec import Meta

from contracts.facts.catalogue import Route
from contracts.facts.fact import (
    UNSET,
    Fact,
    Level,
    Part,
    Positive,
    Region,
    Sha256,
    Slug,
    UnsetType,
    Uuid,
    date,
    evaluation,
    person,
    registration,
)

Target = Literal["CERTIFICATION", "BLOCS"]
Status = Literal["SALARIE", "ALTERNANT", "INTERIMAIRE", "DEMANDEUR_EMPLOI", "INDEPENDANT", "AUTRE"]
ReportingStatus = Literal["SALARIE", "DEMANDEUR_EMPLOI", "AUTRE"]
Family = Literal["CQPM", "CQPI", "CCPM", "CCPI", "BLOC"]
Outcome = Literal["ACQUIRED", "NOT_ACQUIRED", "ABSENT"]


class RegisterCandidate(Part, frozen=True, kw_only=True):
    registration_id: Uuid
    person_id: Uuid
    certification_id: Slug
    version: Positive | UnsetType = UNSET
    target: Target
    bloc_ids: tuple[Slug, ...] | UnsetType = UNSET
    route: Route
    status: Status
    branch: Slug | UnsetType = UNSET
    region: Region | UnsetType = UNSET
    organiser: Slug | UnsetType = UNSET
    prior_level: Level | UnsetType = UNSET
    registered_on: date


class CandidateRegistered(RegisterCandidate, Fact, frozen=True, kw_only=True):
    """A person is inscribed to the evaluations of a certification, or of some of its blocs."""

    name = "candidate.registered"
    posted = RegisterCandidate
    scope = "registrations:write"

    version: Positive
    branch: Slug
    reporting_status: ReportingStatus
    family: Family

    def tags(self) -> tuple[str, ...]:
        return (registration(self.registration_id), person(self.person_id))


class CloseRegistration(Part, frozen=True, kw_only=True):
    registration_id: Uuid
    reason: Literal["FAILED", "WITHDRAWN", "CANCELLED", "ABSENT"]
    closed_on: date
    jury_id: Uuid | UnsetType = UNSET


class RegistrationClosed(CloseRegistration, Fact, frozen=True, kw_only=True):
    name = "registration.closed"
    posted = CloseRegistration
    scope = "registrations:write"

    person_id: Uuid
    certification_id: Slug

    def tags(self) -> tuple[str, ...]:
        return (registration(self.registration_id), person(self.person_id))


class ReopenRegistration(Part, frozen=True, kw_only=True):
    registration_id: Uuid
    reason: Literal["CLERICAL_ERROR", "APPEAL", "COURT_DECISION"]
    reopened_on: date


class RegistrationReopened(ReopenRegistration, Fact, frozen=True, kw_only=True):
    name = "registration.reopened"
    posted = ReopenRegistration
    scope = "registrations:write"

    person_id: Uuid
    certification_id: Slug

    def tags(self) -> tuple[str, ...]:
        return (registration(self.registration_id), person(self.person_id))


class CompetenceOutcome(Part, frozen=True, kw_only=True):
    competence_id: Slug
    outcome: Outcome


Outcomes = Annotated[tuple[CompetenceOutcome, ...], Meta(min_length=1)]


class RecordEvaluation(Part, frozen=True, kw_only=True):
    evaluation_id: Uuid
    registration_id: Uuid
    bloc_id: Slug
    outcomes: Outcomes
    modality: Literal[
        "SITUATION_PROFESSIONNELLE", "SITUATION_RECONSTITUEE", "PROJET", "AVIS_ENTREPRISE", "QUESTIONNAIRE"
    ]
    evaluated_on: date
    evaluators: Annotated[tuple[Slug, ...], Meta(min_length=1)]
    evidence_sha256: Sha256 | UnsetType = UNSET


class EvaluationRecorded(RecordEvaluation, Fact, frozen=True, kw_only=True):
    """What evaluators found of each competence of a bloc."""

    name = "evaluation.recorded"
    posted = RecordEvaluation
    scope = "evaluations:write"

    person_id: Uuid
    certification_id: Slug
    version: Positive

    def tags(self) -> tuple[str, ...]:
        return (evaluation(self.evaluation_id), registration(self.registration_id), person(self.person_id))


class CorrectEvaluation(Part, frozen=True, kw_only=True):
    evaluation_id: Uuid
    outcomes: Outcomes
    reason: Literal["CLERICAL_ERROR", "REVIEW", "FRAUD", "COURT_DECISION"]
    corrected_on: date


class EvaluationCorrected(CorrectEvaluation, Fact, frozen=True, kw_only=True):
    """Replaces, in its evaluation, the outcomes it names (V6)."""

    name = "evaluation.corrected"
    posted = CorrectEvaluation
    scope = "evaluations:write"

    person_id: Uuid
    certification_id: Slug
    registration_id: Uuid
    bloc_id: Slug

    def tags(self) -> tuple[str, ...]:
        return (evaluation(self.evaluation_id), registration(self.registration_id), person(self.person_id))
