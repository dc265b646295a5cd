"""Decisions about evaluations: V1-V7."""

from collections.abc import Sequence

from eventsourcing.dcb.domain import Selector, Slice
from eventsourcing.domain import event

from contracts import facts
from contracts.facts import CandidateRegistered, EvaluationRecorded, Fact
from contracts.facts import fact as tags
from contracts.facts.registrations import CompetenceOutcome
from contracts.refusals import (
    BlocAlreadyValidated,
    BlocNotInTarget,
    CompetencesInvalid,
    EvaluationExists,
    EvaluationUnknown,
)
from services.registry.domain.catalogue import repeated
from services.registry.domain.circumstances import Circumstances, refuse_outside
from services.registry.domain.closings import refuse_unless_open
from services.registry.domain.reference import Reference, bloc_of, competence_ids
from services.registry.domain.states import (
    REGISTRATION,
    VALIDATIONS,
    Registration,
    folds,
    selector,
    target_blocs,
    unused,
)


@folds(registration=(REGISTRATION, VALIDATIONS))
class RecordEvaluation(Slice[Fact]):
    """Record what evaluators found of competences of a bloc (V1-V5, V7)."""

    fixed = True

    def __init__(self, command: facts.RecordEvaluation, circumstances: Circumstances) -> None:
        self.command = command
        self.today = circumstances.today
        self.reference = circumstances.reference
        self.registration = Registration(command.registration_id)
        self.recorded_at: int | None = None

    def consistency_boundary(self) -> Sequence[Selector]:
        return [
            unused(tags.evaluation(self.command.evaluation_id), (EvaluationRecorded,)),
            selector(tags.registration(self.command.registration_id), REGISTRATION, VALIDATIONS),
        ]

    @event(EvaluationRecorded)
    def _(self) -> None:
        self.recorded_at = self.last_known_position

    def execute(self) -> None:
        command = self.command
        if self.recorded_at is not None:
            raise EvaluationExists(
                f"Evaluation {command.evaluation_id} is recorded already.",
                rule="V5",
                evaluation_id=command.evaluation_id,
                position=self.recorded_at,
            )
        inscription = refuse_unless_open(self.registration, "V1")
        refuse_not_in_target("V2", command.bloc_id, inscription, self.reference)
        refuse_competences(command.outcomes, command.bloc_id, inscription, self.reference)
        refuse_outside("V4", "evaluated_on", command.evaluated_on, since=inscription.registered_on, until=self.today)
        refuse_validated("V7", self.registration, command.bloc_id)
        self.trigger_event(
            lambda: EvaluationRecorded.of(
                command,
                person_id=self.reference.kept(inscription.person_id),
                certification_id=inscription.certification_id,
                version=inscription.version,
            )
        )


@folds(registration=(REGISTRATION, VALIDATIONS))
class CorrectEvaluation(Slice[Fact]):
    """Replace outcomes of an evaluation (V1, V3, V5-V7, T1)."""

    def __init__(self, command: facts.CorrectEvaluation, circumstances: Circumstances) -> None:
        self.command = command
        self.today = circumstances.today
        self.reference = circumstances.reference
        self.evaluation: EvaluationRecorded | None = None
        self.registration = Registration()

    def consistency_boundary(self) -> Sequence[Selector]:
        boundary = [selector(tags.evaluation(self.command.evaluation_id), (EvaluationRecorded,))]
        if self.evaluation:
            boundary.append(selector(tags.registration(self.evaluation.registration_id), REGISTRATION, VALIDATIONS))
        return boundary

    @event(EvaluationRecorded)
    def _(self, fact: EvaluationRecorded) -> None:
        self.evaluation = fact

    def execute(self) -> None:
        command, evaluation = self.command, self.evaluation
        if evaluation is None:
            raise EvaluationUnknown(
                f"No evaluation {command.evaluation_id} is recorded.", rule="V5", evaluation_id=command.evaluation_id
            )
        inscription = refuse_unless_open(self.registration, "V1")
        refuse_competences(command.outcomes, evaluation.bloc_id, inscription, self.reference)
        refuse_outside("T1", "corrected_on", command.corrected_on, since=evaluation.evaluated_on, until=self.today)
        refuse_validated("V7", self.registration, evaluation.bloc_id)
        self.trigger_event(
            lambda: facts.EvaluationCorrected.of(
                command,
                person_id=self.reference.kept(inscription.person_id),
                certification_id=inscription.certification_id,
                registration_id=inscription.registration_id,
                bloc_id=evaluation.bloc_id,
            )
        )


def refuse_not_in_target(rule: str, bloc_id: str, inscription: CandidateRegistered, reference: Reference) -> None:
    """Refuse a bloc that the registration is not for (V2, B1)."""
    blocs = target_blocs(inscription, reference)
    if bloc_id not in blocs:
        raise BlocNotInTarget(
            f"Registration {inscription.registration_id} is for {', '.join(blocs)}.",
            rule=rule,
            registration_id=inscription.registration_id,
            bloc_id=bloc_id,
            bloc_ids=blocs,
        )


def refuse_competences(
    outcomes: Sequence[CompetenceOutcome], bloc_id: str, inscription: CandidateRegistered, reference: Reference
) -> None:
    """Refuse competences that are not the bloc's in the registration's version, and repeated ones (V3)."""
    named = [outcome.competence_id for outcome in outcomes]
    if twice := repeated(named):
        raise CompetencesInvalid("A competence is named once.", rule="V3", competence_ids=twice)
    bloc = bloc_of(reference.version(inscription.certification_id, inscription.version), bloc_id)
    if unknown := sorted(set(named) - competence_ids(bloc)):
        raise CompetencesInvalid(
            f"Bloc {bloc_id} has no competence {', '.join(unknown)}.",
            rule="V3",
            bloc_id=bloc_id,
            competence_ids=unknown,
        )


def refuse_validated(rule: str, registration: Registration, bloc_id: str) -> None:
    """Refuse when the bloc has a live validation in this registration (V7, B1)."""
    if validation := registration.validation_of(bloc_id):
        raise BlocAlreadyValidated(
            f"Bloc {bloc_id} is validated in registration {registration.registration_id}.",
            rule=rule,
            bloc_id=bloc_id,
            registration_id=registration.registration_id,
            validation_id=validation.validation_id,
        )
