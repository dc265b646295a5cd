"""Decisions about the end of registrations, and what is open: K1, K2."""

from collections.abc import Sequence

from eventsourcing.dcb.domain import Selector, Slice
from eventsourcing.domain import event

from contracts import facts
from contracts.facts import CandidateRegistered, Fact, JuryHeld, given
from contracts.facts import fact as tags
from contracts.problems import Malformed
from contracts.refusals import (
    RegistrationNotClosed,
    RegistrationNotOpen,
    RegistrationUnknown,
    ValidationsLive,
)
from services.registry.domain.circumstances import Circumstances, refuse_outside
from services.registry.domain.juries import refuse_other_jury
from services.registry.domain.persons import refuse_unless_current
from services.registry.domain.registrations import refuse_held, refuse_overlap
from services.registry.domain.states import (
    CERTIFICATES,
    PERSON,
    REGISTRATION,
    VALIDATIONS,
    Person,
    Registration,
    folds,
    person_selectors,
    selector,
)


def refuse_unknown(registration: Registration, rule: str) -> CandidateRegistered:
    """The inscription, or a refusal when there is none."""
    if registration.inscription is None:
        raise RegistrationUnknown(
            f"No registration {registration.registration_id} is recorded.",
            rule=rule,
            registration_id=registration.registration_id,
        )
    return registration.inscription


def refuse_unless_open(registration: Registration, rule: str) -> CandidateRegistered:
    """The inscription of an open registration: neither closed nor its certificate awarded."""
    inscription = refuse_unknown(registration, rule)
    if registration.state != "OPEN":
        raise RegistrationNotOpen(
            f"Registration {registration.registration_id} is {registration.state.lower()}.",
            rule=rule,
            registration_id=registration.registration_id,
            state=registration.state,
            position=registration.position,
        )
    return inscription


@folds(registration=(REGISTRATION, VALIDATIONS))
class CloseRegistration(Slice[Fact]):
    """Close an open registration without a certificate (K1, T1, J3)."""

    fixed = True

    def __init__(self, command: facts.CloseRegistration, circumstances: Circumstances) -> None:
        self.command = command
        self.today = circumstances.today
        self.reference = circumstances.reference
        self.registration = Registration(command.registration_id)
        self.jury: JuryHeld | None = None

    def consistency_boundary(self) -> Sequence[Selector]:
        boundary = [selector(tags.registration(self.command.registration_id), REGISTRATION, VALIDATIONS)]
        if jury_id := given(self.command.jury_id):
            boundary.append(selector(tags.jury(jury_id), (JuryHeld,)))
        return boundary

    @event(JuryHeld)
    def _(self, fact: JuryHeld) -> None:
        self.jury = fact

    def execute(self) -> None:
        command = self.command
        jury_id = given(command.jury_id)
        if jury_id is not None and command.reason != "FAILED":
            raise Malformed("jury_id is given with the reason FAILED only.")
        inscription = refuse_unless_open(self.registration, "K1")
        if command.reason == "CANCELLED" and self.registration.validations:
            raise ValidationsLive(
                f"Blocs are validated in registration {command.registration_id}.",
                rule="K1",
                registration_id=command.registration_id,
                validation_ids=sorted(self.registration.validations),
            )
        refuse_outside("T1", "closed_on", command.closed_on, since=inscription.registered_on, until=self.today)
        refuse_other_jury(jury_id, self.jury, command.closed_on)
        self.trigger_event(
            lambda: facts.RegistrationClosed.of(
                command,
                person_id=self.reference.kept(inscription.person_id),
                certification_id=inscription.certification_id,
            )
        )


@folds(
    registration=(REGISTRATION, CERTIFICATES),
    person=(PERSON, REGISTRATION, VALIDATIONS, CERTIFICATES),
)
class ReopenRegistration(Slice[Fact]):
    """Reopen a registration that was closed, or whose certificate was revoked (K2, P1, T1)."""

    def __init__(self, command: facts.ReopenRegistration, circumstances: Circumstances) -> None:
        self.command = command
        self.today = circumstances.today
        self.reference = circumstances.reference
        self.registration = Registration(command.registration_id)
        self.person = Person()

    def consistency_boundary(self) -> Sequence[Selector]:
        boundary = [selector(tags.registration(self.command.registration_id), REGISTRATION, CERTIFICATES)]
        if inscription := self.registration.inscription:
            names = self.reference.names(inscription.person_id)
            boundary += person_selectors(names, PERSON, REGISTRATION, VALIDATIONS, CERTIFICATES)
        return boundary

    def execute(self) -> None:
        command, registration = self.command, self.registration
        inscription = refuse_unknown(registration, "K2")
        if registration.state == "CLOSED" and registration.closing:
            ended_on = registration.closing.closed_on
        elif registration.state == "AWARDED" and registration.revocation:
            ended_on = registration.revocation.decided_on
        else:
            raise RegistrationNotClosed(
                f"Registration {command.registration_id} is {registration.state.lower()}.",
                rule="K2",
                registration_id=command.registration_id,
                state=registration.state,
                position=registration.position,
            )
        person_id = self.reference.kept(inscription.person_id)
        refuse_unless_current(self.person, person_id, self.reference)
        refuse_outside("T1", "reopened_on", command.reopened_on, since=ended_on, until=self.today)
        refuse_overlap(inscription, self.person, self.reference)
        refuse_held(inscription, self.person, own=command.registration_id)
        self.trigger_event(
            lambda: facts.RegistrationReopened.of(
                command, person_id=person_id, certification_id=inscription.certification_id
            )
        )
