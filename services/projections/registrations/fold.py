"""Folds the events of one registration. Pure."""

from collections.abc import Iterable
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from contracts.envelope import StoredEvent
from contracts.facts import (
    Bloc,
    BlocInvalidated,
    BlocValidated,
    CandidateRegistered,
    CertificateAwarded,
    CertificateRevoked,
    CertificationPublished,
    EvaluationCorrected,
    EvaluationRecorded,
    Fact,
    RegistrationClosed,
    RegistrationReopened,
    given,
)
from contracts.facts.fact import date
from contracts.facts.registrations import CompetenceOutcome, Outcome, Target

State = Literal["OPEN", "CLOSED", "AWARDED", "REVOKED"]


class Evaluation(Struct, kw_only=True):
    """An evaluation with its corrections. position: of the recording, whatever was corrected since."""

    position: int
    evaluated_on: date
    bloc_id: str
    outcomes: dict[str, Outcome] = {}

    def replace(self, outcomes: Iterable[CompetenceOutcome]) -> None:
        self.outcomes.update((one.competence_id, one.outcome) for one in outcomes)


class Registration(Struct, kw_only=True):
    """What its events say. certificate_number: of the certificate that the state speaks of; validations: the live
    ones by bloc, of which there is one (B1)."""

    inscription: CandidateRegistered
    state: State = "OPEN"
    certificate_number: str | None = None
    validations: dict[str, str] = {}
    evaluations: dict[str, Evaluation] = {}

    def fold(self, event: StoredEvent[Fact]) -> None:
        """Apply one event behind the inscription; those before it have been applied."""
        match fact := event.data:
            case RegistrationClosed():
                self.state = "CLOSED"
            case RegistrationReopened():
                self.state, self.certificate_number = "OPEN", None
            case EvaluationRecorded():
                self.evaluations[fact.evaluation_id] = Evaluation(
                    position=event.position, evaluated_on=fact.evaluated_on, bloc_id=fact.bloc_id
                )
                self.evaluations[fact.evaluation_id].replace(fact.outcomes)
            case EvaluationCorrected():
                self.evaluations[fact.evaluation_id].replace(fact.outcomes)
            case BlocValidated():
                self.validations[fact.bloc_id] = fact.validation_id
            case BlocInvalidated():
                del self.validations[fact.bloc_id]
            case CertificateAwarded():
                self.state, self.certificate_number = "AWARDED", fact.certificate_number
            case CertificateRevoked():
                self.state = "REVOKED"
            case _:
                raise TypeError(f"{fact.name} is not folded here")

    def deciding_outcomes(self) -> dict[tuple[str, str], Outcome]:
        """By bloc and competence: the evaluation with the latest evaluated_on decides, then the later position (V6)."""
        in_order = sorted(self.evaluations.values(), key=lambda one: (one.evaluated_on, one.position))
        return {
            (evaluation.bloc_id, competence_id): outcome
            for evaluation in in_order
            for competence_id, outcome in evaluation.outcomes.items()
        }


def folded(events: Iterable[StoredEvent[Fact]]) -> Registration | None:
    """The registration of which these are all the events in order; None when there are none."""
    registration: Registration | None = None
    for event in events:
        if isinstance(event.data, CandidateRegistered):
            registration = Registration(inscription=event.data)
        else:
            assert registration is not None, "a registration begins with its inscription"
            registration.fold(event)
    return registration


class CompetenceResult(Struct, frozen=True, kw_only=True):
    """outcome: the deciding one (V6), null while there is none."""

    competence_id: str
    outcome: Outcome | None


class RegisteredBloc(Struct, frozen=True, kw_only=True):
    """validation_id: of the live validation in this registration."""

    bloc_id: str
    validation_id: str | UnsetType = UNSET
    competences: list[CompetenceResult]


class RegistrationAnswer(Struct, frozen=True, kw_only=True):
    """Blocs of the target, in the order of the version. person_id: the id by which the person is known now.

    certificate_number: while the state is AWARDED or REVOKED.
    """

    registration_id: str
    person_id: str
    certification_id: str
    version: int
    target: Target
    state: State
    blocs: list[RegisteredBloc]
    certificate_number: str | UnsetType = UNSET


def answer(registration: Registration, version: CertificationPublished, person_id: str) -> RegistrationAnswer:
    """What is said of a registration in this version, of the person with this id."""
    inscription, outcomes = registration.inscription, registration.deciding_outcomes()
    target = given(inscription.bloc_ids) if inscription.target == "BLOCS" else None
    return RegistrationAnswer(
        registration_id=inscription.registration_id,
        person_id=person_id,
        certification_id=inscription.certification_id,
        version=inscription.version,
        target=inscription.target,
        state=registration.state,
        blocs=[
            _bloc(bloc, registration.validations.get(bloc.bloc_id), outcomes)
            for bloc in version.blocs
            if target is None or bloc.bloc_id in target
        ],
        certificate_number=registration.certificate_number or UNSET,
    )


def _bloc(bloc: Bloc, validation_id: str | None, outcomes: dict[tuple[str, str], Outcome]) -> RegisteredBloc:
    return RegisteredBloc(
        bloc_id=bloc.bloc_id,
        validation_id=validation_id or UNSET,
        competences=[
            CompetenceResult(competence_id=id_, outcome=outcomes.get((bloc.bloc_id, id_)))
            for id_ in (competence.competence_id for competence in bloc.competences)
        ],
    )
