"""Decisions about validated blocs: B1, B6-B8. What each basis asks for is in `blocs`."""

from collections.abc import Sequence
from datetime import date

from eventsourcing.dcb.domain import Selector, Slice
from eventsourcing.domain import event

from contracts import facts
from contracts.facts import (
    BlocInvalidated,
    BlocValidated,
    Fact,
    JuryHeld,
    given,
)
from contracts.facts import fact as tags
from contracts.problems import Malformed
from contracts.refusals import (
    AlreadyInvalidated,
    ValidationExists,
    ValidationInCertificate,
    ValidationUnknown,
)
from services.registry.domain import blocs
from services.registry.domain.circumstances import Circumstances, refuse_outside
from services.registry.domain.closings import refuse_unless_open
from services.registry.domain.evaluations import refuse_not_in_target, refuse_validated
from services.registry.domain.juries import refuse_other_jury
from services.registry.domain.states import (
    CERTIFICATES,
    EVALUATIONS,
    REGISTRATION,
    VALIDATIONS,
    Person,
    Registration,
    folds,
    person_selectors,
    selector,
    target_blocs,
    unused,
)

_BASIS_MEMBERS = {
    "equivalence_id": "EQUIVALENCE",
    "source_validation_id": "CARRIED_OVER",
    "decision_ref": "ARCHIVE",
}


class Validations:
    """Validations by id, live or not, with the position of the last fact about each."""

    def __init__(self) -> None:
        self.made: dict[str, BlocValidated] = {}
        self.invalidated: set[str] = set()
        self.positions: dict[str, int] = {}

    def apply(self, fact: BlocValidated | BlocInvalidated, position: int) -> None:
        self.positions[fact.validation_id] = position
        if isinstance(fact, BlocValidated):
            self.made[fact.validation_id] = fact
        else:
            self.invalidated.add(fact.validation_id)

    def live(self, validation_id: str | None) -> BlocValidated | None:
        return None if validation_id in self.invalidated else self.made.get(validation_id or "")


@folds(
    registration=(REGISTRATION, VALIDATIONS, EVALUATIONS),
    person=(REGISTRATION, VALIDATIONS, CERTIFICATES, EVALUATIONS),
    validations=(VALIDATIONS,),
)
class ValidateBloc(Slice[Fact]):
    """Validate a bloc in a registration, on one of four bases (B1-B7, B9, J3)."""

    def __init__(self, command: facts.ValidateBloc, circumstances: Circumstances) -> None:
        self.command = command
        self.circumstances = circumstances
        self.registration = Registration(command.registration_id)
        self.person = Person()
        self.validations = Validations()
        self.jury: JuryHeld | None = None

    def consistency_boundary(self) -> Sequence[Selector]:
        command = self.command
        boundary = [
            unused(tags.validation(command.validation_id), (BlocValidated,)),
            selector(
                tags.registration(command.registration_id),
                REGISTRATION,
                VALIDATIONS,
                EVALUATIONS if command.basis == "EVALUATION" else (),
            ),
        ]
        if jury_id := given(command.jury_id):
            boundary.append(selector(tags.jury(jury_id), (JuryHeld,)))
        if source_id := given(command.source_validation_id):
            boundary.append(selector(tags.validation(source_id), VALIDATIONS))
        return boundary + self._of_person()

    def _of_person(self) -> list[Selector]:
        """What of the person's other registrations is needed: little or nothing, as a rule."""
        inscription, reference = self.registration.inscription, self.circumstances.reference
        if inscription is None or self.command.bloc_id not in target_blocs(inscription, reference):
            return []
        names = reference.names(inscription.person_id)
        match self.command.basis:
            case "EVALUATION" if blocs.without_outcome(self.registration, self.command.bloc_id, reference):
                return person_selectors(names, REGISTRATION, EVALUATIONS)
            case "EQUIVALENCE":
                return person_selectors(names, VALIDATIONS, CERTIFICATES)
            case "CARRIED_OVER":
                source = self.validations.live(given(self.command.source_validation_id))
                if source and not source.validated_on <= self.command.validated_on <= source.usable_until:
                    return person_selectors(names, CERTIFICATES)
        return []

    @event(JuryHeld)
    def _(self, fact: JuryHeld) -> None:
        self.jury = fact

    def execute(self) -> None:
        command, today = self.command, self.circumstances.today
        for member, basis in _BASIS_MEMBERS.items():
            if given(getattr(command, member)) is not None and command.basis != basis:
                raise Malformed(f"{member} is given with the basis {basis} only.")
        if command.validation_id in self.validations.made:
            raise ValidationExists(
                f"Validation {command.validation_id} is recorded already.",
                rule="B7",
                validation_id=command.validation_id,
                position=self.validations.positions[command.validation_id],
            )
        own = refuse_unless_open(self.registration, "B1")
        refuse_not_in_target("B1", command.bloc_id, own, self.circumstances.reference)
        refuse_validated("B1", self.registration, command.bloc_id)
        since = own.registered_on
        if command.basis == "EVALUATION":
            evaluations = self.registration.evaluations.values()
            since = max([since, *(e.evaluated_on for e in evaluations if e.bloc_id == command.bloc_id)])
        refuse_outside("B6", "validated_on", command.validated_on, since=since, until=today)
        refuse_other_jury(given(command.jury_id), self.jury, command.validated_on)
        usable_until = self._limit()
        self.trigger_event(
            lambda: BlocValidated.of(
                command,
                person_id=self.circumstances.reference.kept(own.person_id),
                certification_id=own.certification_id,
                version=own.version,
                usable_until=usable_until,
            )
        )

    def _limit(self) -> date:
        command, registration, person = self.command, self.registration, self.person
        match command.basis:
            case "EVALUATION":
                return blocs.by_evaluation(command, registration, person, self.circumstances)
            case "EQUIVALENCE":
                return blocs.by_equivalence(command, registration, person, self.circumstances)
            case "CARRIED_OVER":
                source = self.validations.live(given(command.source_validation_id))
                return blocs.by_carrying_over(command, source, registration, person, self.circumstances)
            case "ARCHIVE":
                return blocs.from_archive(command, registration, self.circumstances)


@folds(validations=(VALIDATIONS,), person=(CERTIFICATES,))
class InvalidateBloc(Slice[Fact]):
    """Invalidate a bloc, once, and not while a live certificate rests on it (B8, T1)."""

    def __init__(self, command: facts.InvalidateBloc, circumstances: Circumstances) -> None:
        self.command = command
        self.today = circumstances.today
        self.reference = circumstances.reference
        self.validations = Validations()
        self.person = Person()

    def consistency_boundary(self) -> Sequence[Selector]:
        boundary = [selector(tags.validation(self.command.validation_id), VALIDATIONS)]
        if validation := self.validations.made.get(self.command.validation_id):
            boundary.append(selector(tags.registration(validation.registration_id), CERTIFICATES))
        return boundary

    def execute(self) -> None:
        command, id_ = self.command, self.command.validation_id
        validation = self.validations.made.get(id_)
        if validation is None:
            raise ValidationUnknown(f"No validation {id_} is recorded.", rule="B8", validation_id=id_)
        if id_ in self.validations.invalidated:
            raise AlreadyInvalidated(
                f"Validation {id_} is invalidated already.",
                rule="B8",
                validation_id=id_,
                position=self.validations.positions[id_],
            )
        for number, award in self.person.certificates.items():
            if any(component.validation_id == id_ for component in award.components):
                raise ValidationInCertificate(
                    f"Certificate {award.certificate_number} rests on validation {id_}.",
                    rule="B8",
                    validation_id=id_,
                    certificate_number=award.certificate_number,
                    position=self.person.positions[number],
                )
        refuse_outside("T1", "decided_on", command.decided_on, since=validation.validated_on, until=self.today)
        self.trigger_event(
            lambda: BlocInvalidated.of(
                command,
                person_id=self.reference.kept(validation.person_id),
                certification_id=validation.certification_id,
                registration_id=validation.registration_id,
                bloc_id=validation.bloc_id,
            )
        )
