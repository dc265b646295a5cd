"""What a client may post that is limited to the registrations of some organisers (claim `organisers`).

Facts that name their organiser are judged before they are decided. For those about a registration the registration's
inscription becomes part of what the decision reads: so the limit is judged on the same log as the rules.
"""

from collections.abc import Sequence
from typing import TypeGuard

from eventsourcing.dcb.domain import Selector, Slice, Tagged, decorated_funcs

from contracts import facts
from contracts.facts import (
    FACTS,
    BlocValidated,
    CandidateRegistered,
    CertificateAwarded,
    EvaluationRecorded,
    Fact,
    Part,
    given,
)
from contracts.facts import fact as tags
from contracts.problems import OrganiserNotAllowed
from services.registry.domain.certificates import CertificateToAward
from services.registry.domain.states import selector

NAMING = (facts.RegisterCandidate, facts.HoldJury)
"""Commands that name their organiser themselves."""

OF_A_REGISTRATION = (
    facts.CloseRegistration,
    facts.ReopenRegistration,
    facts.RecordEvaluation,
    facts.CorrectEvaluation,
    facts.ValidateBloc,
    facts.InvalidateBloc,
    CertificateToAward,
    facts.RevokeCertificate,
)


def refuse_other_organisers(command: Part, organisers: frozenset[str]) -> None:
    """Raise OrganiserNotAllowed for what no registration has to be looked at: another organiser's, or the branch's."""
    if isinstance(command, NAMING):
        organiser = given(command.organiser)
        if organiser is None:
            raise OrganiserNotAllowed("The token is limited to some organisers, and the fact names none.")
        if organiser not in organisers:
            raise OrganiserNotAllowed(
                f"The token is limited to organisers other than {organiser}.", organiser=organiser
            )
    elif not isinstance(command, OF_A_REGISTRATION):
        raise OrganiserNotAllowed("The token is limited to some organisers; this fact is of the whole branch.")


def limited(decision: Slice[Fact], command: Part, organisers: frozenset[str]) -> Slice[Fact]:
    """The decision, which looks at whose registration the command is about, where it is about one."""
    return decision if isinstance(command, NAMING) else LimitedDecision(decision, command, organisers)


class LimitedDecision(Slice[Fact]):
    """The decision of a command about a registration, which must be one of these organisers'."""

    def __init__(self, decision: Slice[Fact], command: Part, organisers: frozenset[str]) -> None:
        self._decision = decision
        self._command = command.award if isinstance(command, CertificateToAward) else command
        self._organisers = organisers
        self._registration_id: str | None = getattr(self._command, "registration_id", None)
        self._inscriptions: dict[str, CandidateRegistered] = {}

    def consistency_boundary(self) -> Sequence[Selector]:
        boundary = self._decision.consistency_boundary()
        selectors = [boundary] if isinstance(boundary, Selector) else list(boundary)
        if self._registration_id is not None:
            selectors.append(selector(tags.registration(self._registration_id), (CandidateRegistered,)))
        return selectors

    def fold(self, fact: Fact) -> None:
        """Note what tells whose registration the command is about, and let the decision fold the fact."""
        if isinstance(fact, CandidateRegistered):
            self._inscriptions[fact.registration_id] = fact
        elif self._registration_id is None and _is_of(fact, self._command):
            self._registration_id = fact.registration_id
        self._decision.last_known_position = self.last_known_position
        fact.fold_into(self._decision)

    def execute(self) -> None:
        inscription = self._inscriptions.get(self._registration_id or "")
        if inscription is None:
            self._decision.execute()
            raise AssertionError("a decision without a registration is refused by its own rules")
        if given(inscription.organiser) not in self._organisers:
            raise OrganiserNotAllowed(
                "The token is limited to other organisers than this registration's.",
                registration_id=inscription.registration_id,
            )
        self._decision.execute()

    def collect_events(self) -> Sequence[Tagged[Fact]]:
        return self._decision.collect_events()


for _fact_type in FACTS.values():
    decorated_funcs[LimitedDecision, _fact_type] = LimitedDecision.fold


def _is_of(fact: Fact, command: Part) -> TypeGuard[EvaluationRecorded | BlocValidated | CertificateAwarded]:
    """Whether the fact made the thing that the command, which names no registration, is about."""
    match command:
        case facts.CorrectEvaluation():
            return isinstance(fact, EvaluationRecorded) and fact.evaluation_id == command.evaluation_id
        case facts.InvalidateBloc():
            return isinstance(fact, BlocValidated) and fact.validation_id == command.validation_id
        case facts.RevokeCertificate():
            number = command.certificate_number.lower()
            return isinstance(fact, CertificateAwarded) and fact.certificate_number.lower() == number
    return False
