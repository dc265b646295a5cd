"""How a bloc comes to be validated: by evaluation, equivalence, carrying over, or from the archive (B2-B5, B9)."""

from datetime import date

from contracts import facts
from contracts.facts import BlocValidated, CandidateRegistered, EquivalenceRecognised, given
from contracts.refusals import (
    ArchiveNotAllowed,
    CompetencesMissing,
    EquivalenceNotApplicable,
    EquivalenceUnknown,
    SourceNotUsable,
    ValidationUnknown,
)
from services.registry.domain.circumstances import Circumstances, years_after
from services.registry.domain.reference import Reference, bloc_of
from services.registry.domain.states import Person, Registration

YEARS_WITH_FICHE = 5
YEARS_WITHOUT_FICHE = 2
YEARS_COMPETENCE_KEPT = 2
"""24 months, by the accord of 8 November 2019, article 55.3."""


def usual_limit(inscription: CandidateRegistered, validated_on: date, reference: Reference) -> date:
    """The last day on which a bloc validated that day is usable, carried limits aside (B5)."""
    fiche = given(reference.version(inscription.certification_id, inscription.version).rncp)
    in_force = fiche is not None and (fiche.in_force(inscription.registered_on) or fiche.in_force(validated_on))
    return years_after(validated_on, YEARS_WITH_FICHE if in_force else YEARS_WITHOUT_FICHE)


def competences(bloc_id: str, inscription: CandidateRegistered, reference: Reference) -> list[str]:
    """The competence ids of a bloc in the registration's version, in its order."""
    version = reference.version(inscription.certification_id, inscription.version)
    return [competence.competence_id for competence in bloc_of(version, bloc_id).competences]


def without_outcome(registration: Registration, bloc_id: str, reference: Reference) -> list[str]:
    """The competences of the bloc that no evaluation of this registration speaks of."""
    return [
        competence_id
        for competence_id in competences(bloc_id, registration.known, reference)
        if registration.outcome(bloc_id, competence_id) is None
    ]


def kept_from_failure(
    person: Person, command: facts.ValidateBloc, own: CandidateRegistered, competence_id: str
) -> bool:
    """Whether a competence was acquired in a registration of the same certification, failed at most 24 months ago."""
    return any(
        other.state == "CLOSED"
        and other.closing is not None
        and other.closing.reason == "FAILED"
        and other.inscription is not None
        and other.inscription.certification_id == own.certification_id
        and other.registration_id != own.registration_id
        and other.closing.closed_on <= command.validated_on
        and command.validated_on <= years_after(other.closing.closed_on, YEARS_COMPETENCE_KEPT)
        and other.outcome(command.bloc_id, competence_id) == "ACQUIRED"
        for other in person.registrations.values()
    )


def by_evaluation(
    command: facts.ValidateBloc, registration: Registration, person: Person, circumstances: Circumstances
) -> date:
    """Every competence of the bloc is acquired, here or, where not evaluated here, kept from a failure (B2)."""
    own, reference = registration.known, circumstances.reference
    missing = []
    for competence_id in competences(command.bloc_id, own, reference):
        outcome = registration.outcome(command.bloc_id, competence_id)
        kept = outcome is None and kept_from_failure(person, command, own, competence_id)
        if outcome != "ACQUIRED" and not kept:
            missing.append(competence_id)
    if missing:
        raise CompetencesMissing(
            f"Not acquired in bloc {command.bloc_id}: {', '.join(missing)}.",
            rule="B2",
            bloc_id=command.bloc_id,
            registration_id=own.registration_id,
            missing=missing,
        )
    return usual_limit(own, command.validated_on, reference)


def equivalence_for(
    command: facts.ValidateBloc, own: CandidateRegistered, reference: Reference
) -> EquivalenceRecognised:
    """The equivalence that the command names, in force that day and giving this bloc (B3)."""
    equivalence_id, day = given(command.equivalence_id), command.validated_on
    if equivalence_id is None:
        raise EquivalenceUnknown("A bloc validated by equivalence names its equivalence_id.", rule="B3")
    equivalence = reference.equivalence(equivalence_id)
    if equivalence is None:
        raise EquivalenceUnknown(
            f"No equivalence {equivalence_id} is recognised.", rule="B3", equivalence_id=equivalence_id
        )
    repealed_from = reference.repealed_from(equivalence.equivalence_id)
    valid_until = given(equivalence.valid_until) or date.max
    if not equivalence.valid_from <= day <= valid_until or (repealed_from is not None and repealed_from <= day):
        raise EquivalenceNotApplicable(
            f"Equivalence {equivalence_id} is not in force on {day}.",
            rule="B3",
            equivalence_id=equivalence_id,
            validated_on=day,
        )
    target = equivalence.target
    gives = target.certification_id == own.certification_id and (
        equivalence.kind == "TOTAL" or command.bloc_id in target.bloc_ids
    )
    if not gives:
        raise EquivalenceNotApplicable(
            f"Equivalence {equivalence_id} does not give bloc {command.bloc_id} of {own.certification_id}.",
            rule="B3",
            equivalence_id=equivalence_id,
            bloc_id=command.bloc_id,
        )
    return equivalence


def by_equivalence(
    command: facts.ValidateBloc, registration: Registration, person: Person, circumstances: Circumstances
) -> date:
    """The person holds what the equivalence asks for (B3); the earliest limit of the source blocs counts (B5)."""
    own, reference, day = registration.known, circumstances.reference, command.validated_on
    equivalence = equivalence_for(command, own, reference)
    usual = usual_limit(own, day, reference)
    certificates = person.certifications(day)
    source = equivalence.source
    if equivalence.kind == "TOTAL":
        if not any(award.certification_id == source.certification_id for award in certificates):
            raise EquivalenceNotApplicable(
                f"The person holds no live certificate of {source.certification_id}.",
                rule="B3",
                equivalence_id=equivalence.equivalence_id,
                certification_id=source.certification_id,
            )
        return usual
    components = {component.bloc_id for award in certificates for component in award.components}
    limits, missing = [], []
    for bloc_id in source.bloc_ids:
        if usable := person.usable(bloc_id, day):
            limits.append(max(validation.usable_until for validation in usable))
        elif bloc_id in components:
            limits.append(usual)
        else:
            missing.append(bloc_id)
    if missing:
        raise EquivalenceNotApplicable(
            f"The person does not hold {', '.join(missing)} on {day}.",
            rule="B3",
            equivalence_id=equivalence.equivalence_id,
            missing=missing,
        )
    return min(limits)


def by_carrying_over(
    command: facts.ValidateBloc,
    source: BlocValidated | None,
    registration: Registration,
    person: Person,
    circumstances: Circumstances,
) -> date:
    """The same bloc, validated earlier for the same person (B4); it keeps its limit (B5)."""
    own, reference, day = registration.known, circumstances.reference, command.validated_on
    source_id = given(command.source_validation_id)
    if source_id is None:
        raise ValidationUnknown("A bloc carried over names its source_validation_id.", rule="B4")
    if source is None:
        raise ValidationUnknown(
            f"No live validation {source_id} is recorded.", rule="B4", source_validation_id=source_id
        )
    if source.bloc_id != command.bloc_id or reference.kept(source.person_id) != reference.kept(own.person_id):
        raise SourceNotUsable(
            f"Validation {source_id} is not one of bloc {command.bloc_id} for this person.",
            rule="B4",
            source_validation_id=source_id,
            bloc_id=command.bloc_id,
        )
    if source.validated_on <= day <= source.usable_until:
        return source.usable_until
    if any(c.validation_id == source_id for award in person.certifications(day) for c in award.components):
        return usual_limit(own, day, reference)
    raise SourceNotUsable(
        f"Validation {source_id} is usable from {source.validated_on} until {source.usable_until}.",
        rule="B4",
        source_validation_id=source_id,
        usable_until=source.usable_until,
        validated_on=day,
    )


def from_archive(command: facts.ValidateBloc, registration: Registration, circumstances: Circumstances) -> date:
    """History from before the registry, by a decision (B9)."""
    if given(command.decision_ref) is None:
        raise ArchiveNotAllowed("A bloc from the archive names its decision_ref.", rule="B9")
    if command.validated_on >= circumstances.first_day:
        raise ArchiveNotAllowed(
            f"The registry began on {circumstances.first_day}; the archive ends before.",
            rule="B9",
            validated_on=command.validated_on,
            first_day=circumstances.first_day,
        )
    return usual_limit(registration.known, command.validated_on, circumstances.reference)
