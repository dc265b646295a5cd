"""One person's year as events, oldest first: registrations, evaluations, blocs validated, certificates."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Literal, NamedTuple, TypeVar

from contracts.facts import (
    AwardCertificate,
    Bloc,
    CloseRegistration,
    Part,
    RecordEvaluation,
    RegisterCandidate,
    ValidateBloc,
)
from contracts.facts.catalogue import Competence, Route
from contracts.facts.fact import UNSET, Level, UnsetType
from contracts.facts.registrations import CompetenceOutcome, Outcome, Status, Target
from services.demo.catalogue import Catalogue
from services.demo.event import Event, event, stable_id
from services.demo.juries import DAYS, jury_id
from services.demo.people import Identity, identity
from services.demo.plan import Plan, Result, chance

T = TypeVar("T")
Modality = Literal["SITUATION_PROFESSIONNELLE", "SITUATION_RECONSTITUEE", "PROJET", "AVIS_ENTREPRISE", "QUESTIONNAIRE"]

STATUSES: dict[str, dict[Status, int]] = {
    "SALARIE": {"SALARIE": 70, "ALTERNANT": 18, "INTERIMAIRE": 12},
    "DEMANDEUR_EMPLOI": {"DEMANDEUR_EMPLOI": 1},
    "AUTRE": {"INDEPENDANT": 2, "AUTRE": 1},
}
ROUTES: dict[Status, dict[Route, int]] = {  # the branch kept its certifications out of apprenticeship
    "SALARIE": {"FORMATION": 80, "VAE": 17, "CANDIDAT_LIBRE": 3},
    "ALTERNANT": {"CONTRAT_PRO": 1},
    "INTERIMAIRE": {"FORMATION": 70, "CONTRAT_PRO": 25, "VAE": 5},
    "DEMANDEUR_EMPLOI": {"FORMATION": 85, "CONTRAT_PRO": 9, "VAE": 4, "CANDIDAT_LIBRE": 2},
    "INDEPENDANT": {"VAE": 1, "FORMATION": 1},
    "AUTRE": {"FORMATION": 1, "CANDIDAT_LIBRE": 1},
}
PRIOR_LEVELS: dict[Level | UnsetType, int] = {UNSET: 20, 3: 38, 4: 27, 5: 11, 6: 4}
MODALITIES: dict[Modality, int] = {
    "SITUATION_PROFESSIONNELLE": 45,
    "SITUATION_RECONSTITUEE": 20,
    "PROJET": 20,
    "AVIS_ENTREPRISE": 10,
    "QUESTIONNAIRE": 5,
}

BLOCS_ONLY = 0.15  # of the registrations to certifications of several blocs
PREPARATION_DAYS = range(21, 150)  # from the registration to the jury
EVALUATION_DAYS = range(1, 21)  # from an evaluation to the jury


class Career:
    """What one person goes through. The same number and plan always give the same identity and the same events."""

    def __init__(self, number: int, plan: Plan, catalogue: Catalogue) -> None:
        self.number = number
        self.plan = plan
        self.identity: Identity = identity(number, chance(f"identity {number}"))
        self._catalogue = catalogue

    def events(self, person_id: str) -> list[Event]:
        """The career of the person to whom the registry gave that id."""
        telling = _Telling(self.number, self.plan, person_id, self._catalogue)
        telling.tell_all()
        return telling.events


class _Sitting(NamedTuple):
    """A registration and the day of its jury; modules without a joint jury (CCPM, CCPI) have the day alone."""

    registration_id: str
    day: date
    jury_id: str | UnsetType


class _Telling:
    """A career while it is told."""

    def __init__(self, number: int, plan: Plan, person_id: str, catalogue: Catalogue) -> None:
        self.events: list[Event] = []
        self._number = number
        self._plan = plan
        self._person_id = person_id
        self._chance = chance(f"career {number}")
        blocs_min = len(plan.results)  # who sits twice sits for several blocs
        certifications = [c for c in catalogue.certifications if len(c.in_2018.blocs) >= blocs_min]
        self._certification = self._pick((c.in_2018, c.weight) for c in certifications)
        self._organiser = self._pick((organiser, organiser.weight) for organiser in catalogue.organisers)
        self._status = self._pick(STATUSES[plan.reporting_status].items())
        self._route = self._pick(ROUTES[self._status].items())
        self._prior_level = self._pick(PRIOR_LEVELS.items())
        self._validations: dict[str, str] = {}  # by bloc

    def tell_all(self) -> None:
        not_before = date(2018, 1, 1)
        for nth, (result, day) in enumerate(zip(self._plan.results, self._jury_days(), strict=True)):
            jury = jury_id(self._organiser, day) if self._certification.family in {"CQPM", "CQPI"} else UNSET
            self._tell_one(nth, result, not_before, _Sitting(self._id(f"registration {nth}"), day, jury))
            not_before = day + timedelta(days=7)

    def _tell_one(self, nth: int, result: Result, not_before: date, sitting: _Sitting) -> None:
        """One registration, from its first day to its end."""
        prepared = timedelta(days=self._chance.choice(PREPARATION_DAYS))
        registered_on = max(not_before, sitting.day - prepared)
        target, blocs = self._target(nth)
        self._register(sitting.registration_id, target, blocs, registered_on)
        match result:
            case "AWARDED" if self._plan.results[:nth] == ("FAILED",):
                self._complete(blocs, sitting)
                self._award(sitting)
            case "AWARDED":
                self._evaluate(blocs, "ACQUIRED", sitting)
                self._validate(blocs, sitting)
                self._award(sitting)
            case "FAILED":
                self._evaluate(blocs, "NOT_ACQUIRED", sitting)
                self._validate(blocs[:-1], sitting)
                self._close(result, sitting.day, sitting)
            case "ABSENT":
                self._evaluate(blocs[:1], "ABSENT", sitting)
                self._close(result, sitting.day, sitting)
            case "WITHDRAWN":
                stayed = timedelta(days=self._chance.randrange(1, PREPARATION_DAYS.start))
                self._close(result, min(registered_on + stayed, sitting.day), sitting)

    def _jury_days(self) -> list[date]:
        if len(self._plan.results) == 1:
            return [self._chance.choice(DAYS)]
        return [self._chance.choice(DAYS[2:10]), self._chance.choice(DAYS[13:])]

    def _target(self, nth: int) -> tuple[Target, Sequence[Bloc]]:
        blocs = self._certification.blocs
        if self._plan.results == ("AWARDED", "AWARDED"):
            return "BLOCS", blocs[nth : nth + 1]
        if len(self._plan.results) == 1 < len(blocs) and self._chance.random() < BLOCS_ONLY:
            return "BLOCS", self._chance.sample(blocs, self._chance.randrange(1, len(blocs)))
        return "CERTIFICATION", blocs

    def _register(self, registration_id: str, target: Target, blocs: Sequence[Bloc], day: date) -> None:
        candidate = RegisterCandidate(
            registration_id=registration_id,
            person_id=self._person_id,
            certification_id=self._certification.certification_id,
            target=target,
            bloc_ids=tuple(bloc.bloc_id for bloc in blocs) if target == "BLOCS" else UNSET,
            route=self._route,
            status=self._status,
            region=self._organiser.region,
            organiser=self._organiser.organiser,
            prior_level=self._prior_level,
            registered_on=day,
        )
        self._tell(day, candidate)

    def _evaluate(self, blocs: Sequence[Bloc], last: Outcome, sitting: _Sitting) -> None:
        """Evaluate every bloc; all is acquired but the very last competence, of which `last` is found."""
        days = sorted(sitting.day - timedelta(days=self._chance.choice(EVALUATION_DAYS)) for _ in blocs)
        for bloc, day in zip(blocs, days, strict=True):
            found: Outcome = last if bloc is blocs[-1] else "ACQUIRED"
            self._record(sitting.registration_id, bloc, bloc.competences, found, day)

    def _complete(self, blocs: Sequence[Bloc], sitting: _Sitting) -> None:
        """Sit again after a failure: only what was not acquired then is evaluated, the rest is kept (B2, B4)."""
        *held, failed = blocs
        day = sitting.day - timedelta(days=self._chance.choice(EVALUATION_DAYS))
        self._record(sitting.registration_id, failed, failed.competences[-1:], "ACQUIRED", day)
        for bloc in held:
            source = self._validations[bloc.bloc_id]
            self._tell(sitting.day, self._validation(bloc, "CARRIED_OVER", sitting, source))
        self._validate((failed,), sitting)

    def _record(
        self, registration_id: str, bloc: Bloc, competences: Sequence[Competence], last: Outcome, day: date
    ) -> None:
        found: list[Outcome] = ["ACQUIRED" for _ in competences[1:]]
        evaluation = RecordEvaluation(
            evaluation_id=self._id(f"evaluation {registration_id} {bloc.bloc_id}"),
            registration_id=registration_id,
            bloc_id=bloc.bloc_id,
            outcomes=tuple(
                CompetenceOutcome(competence_id=competence.competence_id, outcome=outcome)
                for competence, outcome in zip(competences, [*found, last], strict=True)
            ),
            modality=self._pick(MODALITIES.items()),
            evaluated_on=day,
            evaluators=tuple(f"evaluateur-{n}" for n in self._chance.sample(range(1, 200), 2)),
        )
        self._tell(day, evaluation)

    def _validate(self, blocs: Sequence[Bloc], sitting: _Sitting) -> None:
        for bloc in blocs:
            validation = self._validation(bloc, "EVALUATION", sitting)
            self._validations[bloc.bloc_id] = validation.validation_id
            self._tell(sitting.day, validation)

    def _validation(
        self,
        bloc: Bloc,
        basis: Literal["EVALUATION", "CARRIED_OVER"],
        sitting: _Sitting,
        source: str | UnsetType = UNSET,
    ) -> ValidateBloc:
        return ValidateBloc(
            validation_id=self._id(f"validation {sitting.registration_id} {bloc.bloc_id}"),
            registration_id=sitting.registration_id,
            bloc_id=bloc.bloc_id,
            basis=basis,
            source_validation_id=source,
            jury_id=sitting.jury_id,
            validated_on=sitting.day,
        )

    def _award(self, sitting: _Sitting) -> None:
        """Most numbers are made by the registry; some HR systems give their own."""
        own_number = self._number % 20 == 0 and self._plan.results == ("AWARDED",)
        award = AwardCertificate(
            registration_id=sitting.registration_id,
            certificate_number=f"DEMO-2018-{self._number:05d}" if own_number else UNSET,
            jury_id=sitting.jury_id,
            awarded_on=sitting.day,
        )
        self._tell(sitting.day, award)

    def _close(self, reason: Literal["FAILED", "WITHDRAWN", "ABSENT"], day: date, sitting: _Sitting) -> None:
        closing = CloseRegistration(
            registration_id=sitting.registration_id,
            reason=reason,
            closed_on=day,
            jury_id=sitting.jury_id if reason == "FAILED" else UNSET,
        )
        self._tell(day, closing)

    def _tell(self, day: date, data: Part) -> None:
        self.events.append(event(f"person-{self._number:05d}-{len(self.events) + 1:02d}", day, data))

    def _id(self, name: str) -> str:
        return stable_id(f"person {self._number} {name}")

    def _pick(self, weighted: Iterable[tuple[T, int]]) -> T:
        choices = list(weighted)
        return self._chance.choices(choices, [weight for _, weight in choices])[0][0]
