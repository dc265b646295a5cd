"""What slices fold into: a registration, and a person, as their facts tell them so far. Plain objects, shared."""

from collections.abc import Callable, Iterable
from datetime import date
from functools import cache
from typing import Any, Literal, TypeVar

from eventsourcing.dcb.domain import Selector, Slice, decorated_funcs

from contracts.boundaries import KEPT, Unused
from contracts.facts import (
    BlocInvalidated,
    BlocValidated,
    CandidateRegistered,
    CertificateAwarded,
    CertificateRevoked,
    EvaluationCorrected,
    EvaluationRecorded,
    Fact,
    PersonErased,
    PersonRegistered,
    RegistrationClosed,
    RegistrationReopened,
    given,
)
from contracts.facts import fact as tags
from services.registry.domain.reference import Reference

REGISTRATION = (CandidateRegistered, RegistrationClosed, RegistrationReopened, CertificateAwarded)
VALIDATIONS = (BlocValidated, BlocInvalidated)
CERTIFICATES = (CertificateAwarded, CertificateRevoked)
EVALUATIONS = (EvaluationRecorded, EvaluationCorrected)
PERSON = (PersonRegistered, PersonErased)

S = TypeVar("S", bound=type[Slice[Any]])


def folds(*, keeping: bool = False, **into: Iterable[Iterable[type[Fact]]]) -> Callable[[S], S]:
    """Let members of a slice fold facts by their `apply(fact, position)`, as if by an @event for each type.

    into: for each member's name, the groups of types that it folds.
    keeping: nothing but these facts makes the members what they are, so that the log may keep them (`KEPT`).
    """
    members: dict[type[Fact], list[str]] = {}
    for member, groups in into.items():
        for fact_type in dict.fromkeys(fact_type for types in groups for fact_type in types):
            members.setdefault(fact_type, []).append(member)

    def folding(names: list[str]) -> Callable[[Any, Fact], None]:
        def fold_all(slice_: Any, fact: Fact) -> None:
            for name in names:
                getattr(slice_, name).apply(fact, slice_.last_known_position)

        def fold(slice_: Any, fact: Fact) -> None:
            getattr(slice_, name).apply(fact, slice_.last_known_position)

        name, *others = names
        return fold_all if others else fold

    def decorate(slice_type: S) -> S:
        for fact_type, names in members.items():
            if (slice_type, fact_type) in decorated_funcs:
                raise TypeError(f"{slice_type.__name__} folds {fact_type.name} twice")
            decorated_funcs[slice_type, fact_type] = folding(names)
        if keeping:
            setattr(slice_type, KEPT, tuple(into))
        return slice_type

    return decorate


Types = tuple[type[Fact], ...]


@cache
def _all(groups: tuple[Types, ...]) -> Types:
    return tuple(dict.fromkeys(fact_type for types in groups for fact_type in types))


def selector(tag: str, *groups: Types) -> Selector:
    """A boundary over what happened to one thing, as far as it is of these types."""
    return Selector(_all(groups), (tag,))


def unused(tag: str, *groups: Types) -> Unused:
    """As `selector`, of a thing that must not be there yet."""
    return Unused(_all(groups), (tag,))


class Registration:
    """One registration, by its own facts: others are passed over, unless it has no id.

    Without an id it is the one of its first fact: for a boundary that holds one registration only, known when it is
    read.
    """

    def __init__(self, registration_id: str | None = None) -> None:
        self.registration_id = registration_id
        self.inscription: CandidateRegistered | None = None
        self.state: Literal["UNKNOWN", "OPEN", "CLOSED", "AWARDED"] = "UNKNOWN"
        self.closing: RegistrationClosed | None = None
        self.revocation: CertificateRevoked | None = None
        self.validations: dict[str, BlocValidated] = {}
        self.evaluations: dict[str, Evaluation] = {}
        self.position = 0
        """Of the fact that gave the state."""

    def apply(self, fact: Any, position: int) -> None:
        if self.registration_id not in (None, fact.registration_id):
            return
        self.registration_id = fact.registration_id
        match fact:
            case CandidateRegistered():
                self.inscription, self.state, self.position = fact, "OPEN", position
            case RegistrationClosed():
                self.closing, self.state, self.position = fact, "CLOSED", position
            case RegistrationReopened():
                self.state, self.position = "OPEN", position
            case CertificateAwarded():
                self.revocation, self.state, self.position = None, "AWARDED", position
            case CertificateRevoked():
                self.revocation, self.position = fact, position
            case BlocValidated():
                self.validations[fact.validation_id] = fact
            case BlocInvalidated():
                self.validations.pop(fact.validation_id, None)
            case EvaluationRecorded():
                self.evaluations[fact.evaluation_id] = Evaluation(fact, position)
            case EvaluationCorrected():
                self.evaluations[fact.evaluation_id].correct(fact)

    @property
    def known(self) -> CandidateRegistered:
        """Its inscription, once it is known to have one."""
        assert self.inscription is not None
        return self.inscription

    def validation_of(self, bloc_id: str) -> BlocValidated | None:
        """The live validation of a bloc, of which B1 allows one."""
        return next((v for v in self.validations.values() if v.bloc_id == bloc_id), None)

    def outcome(self, bloc_id: str, competence_id: str) -> str | None:
        """The outcome that decides: of the latest evaluated_on, then of the later position (V6)."""
        deciding: tuple[date, int] | None = None
        outcome = None
        for evaluation in self.evaluations.values():
            if evaluation.bloc_id == bloc_id and competence_id in evaluation.outcomes:
                order = (evaluation.evaluated_on, evaluation.position)
                if deciding is None or order > deciding:
                    deciding, outcome = order, evaluation.outcomes[competence_id]
        return outcome


class Evaluation:
    """An evaluation with its corrections (V6)."""

    def __init__(self, fact: EvaluationRecorded, position: int) -> None:
        self.bloc_id = fact.bloc_id
        self.evaluated_on = fact.evaluated_on
        self.position = position
        self.outcomes: dict[str, str] = {o.competence_id: o.outcome for o in fact.outcomes}

    def correct(self, fact: EvaluationCorrected) -> None:
        self.outcomes |= {o.competence_id: o.outcome for o in fact.outcomes}


def target_blocs(inscription: CandidateRegistered, reference: Reference) -> tuple[str, ...]:
    """The blocs that a registration is for, in the version's order."""
    blocs = tuple(b.bloc_id for b in reference.version(inscription.certification_id, inscription.version).blocs)
    chosen = given(inscription.bloc_ids)
    return blocs if chosen is None else tuple(bloc_id for bloc_id in blocs if bloc_id in chosen)


class Person:
    """A person under all its names: registered or erased, registrations, live validations, live certificates."""

    def __init__(self) -> None:
        self.registered: dict[str, int] = {}
        self.erased: dict[str, int] = {}
        self.registrations: dict[str, Registration] = {}
        self.validations: dict[str, BlocValidated] = {}
        self.certificates: dict[str, CertificateAwarded] = {}
        self.positions: dict[str, int] = {}
        """Of validations and awards, by their id; certificate numbers in lower case (A4)."""

    def apply(self, fact: Any, position: int) -> None:
        match fact:  # the frequent ones first: a boundary may have many
            case CandidateRegistered() | EvaluationRecorded() | RegistrationClosed():
                self._registration(fact).apply(fact, position)
            case BlocValidated():
                self.validations[fact.validation_id] = fact
                self.positions[fact.validation_id] = position
            case PersonRegistered():
                self.registered[fact.person_id] = position
            case CertificateAwarded():
                self.certificates[fact.certificate_number.lower()] = fact
                self.positions[fact.certificate_number.lower()] = position
                self._registration(fact).apply(fact, position)
            case RegistrationReopened() | EvaluationCorrected():
                self._registration(fact).apply(fact, position)
            case PersonErased():
                self.erased[fact.person_id] = position
            case BlocInvalidated():
                self.validations.pop(fact.validation_id, None)
            case CertificateRevoked():
                self.certificates.pop(fact.certificate_number.lower(), None)

    def _registration(self, fact: Any) -> Registration:
        """The registration that a fact is about."""
        registration = self.registrations.get(fact.registration_id)
        if registration is None:
            registration = self.registrations[fact.registration_id] = Registration(fact.registration_id)
        return registration

    def open_registrations(self) -> list[Registration]:
        return [r for r in self.registrations.values() if r.state == "OPEN"]

    def usable(self, bloc_id: str, day: date) -> list[BlocValidated]:
        """The validations of a bloc that are usable that day, whatever certification they were made for."""
        return [
            v for v in self.validations.values() if v.bloc_id == bloc_id and v.validated_on <= day <= v.usable_until
        ]

    def certifications(self, awarded_by: date) -> list[CertificateAwarded]:
        """The live certificates of kind CERTIFICATION awarded by that day."""
        return [c for c in self.certificates.values() if c.kind == "CERTIFICATION" and c.awarded_on <= awarded_by]


def person_selectors(names: Iterable[str], *groups: Types) -> list[Selector]:
    """A boundary over a person under all its names."""
    return [selector(tags.person(name), *groups) for name in names]
