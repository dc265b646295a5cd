"""The facts of the registry: what can happen, declared once. Section 1 of the contract.

A fact extends the form in which callers post it by what the registry derives. Wire names are contract data.
"""

from contracts.facts import awards, catalogue, persons, registrations
from contracts.facts.awards import (
    AwardCertificate,
    BlocInvalidated,
    BlocValidated,
    CertificateAwarded,
    CertificateRevoked,
    Component,
    HoldJury,
    InvalidateBloc,
    JuryHeld,
    RevokeCertificate,
    ValidateBloc,
)
from contracts.facts.catalogue import (
    Bloc,
    CertificationPublished,
    CertificationWithdrawn,
    EquivalenceRecognised,
    EquivalenceRepealed,
    Fiche,
    ObjectiveSet,
    PublishCertification,
    RecogniseEquivalence,
    RepealEquivalence,
    SetObjective,
    WithdrawCertification,
)
from contracts.facts.fact import Fact, Part, given
from contracts.facts.persons import PersonErased, PersonRectified, PersonRegistered, PersonsMerged
from contracts.facts.registrations import (
    CandidateRegistered,
    CloseRegistration,
    CorrectEvaluation,
    EvaluationCorrected,
    EvaluationRecorded,
    RecordEvaluation,
    RegisterCandidate,
    RegistrationClosed,
    RegistrationReopened,
    ReopenRegistration,
)

FACTS: dict[str, type[Fact]] = {
    fact.type_name(): fact
    for fact in (
        CertificationPublished,
        CertificationWithdrawn,
        EquivalenceRecognised,
        EquivalenceRepealed,
        ObjectiveSet,
        PersonRegistered,
        PersonRectified,
        PersonsMerged,
        PersonErased,
        CandidateRegistered,
        RegistrationClosed,
        RegistrationReopened,
        EvaluationRecorded,
        EvaluationCorrected,
        JuryHeld,
        BlocValidated,
        BlocInvalidated,
        CertificateAwarded,
        CertificateRevoked,
    )
}
"""Every fact by its CloudEvents `type`."""

__all__ = [
    "FACTS",
    "AwardCertificate",
    "Bloc",
    "BlocInvalidated",
    "BlocValidated",
    "CandidateRegistered",
    "CertificateAwarded",
    "CertificateRevoked",
    "CertificationPublished",
    "CertificationWithdrawn",
    "CloseRegistration",
    "Component",
    "CorrectEvaluation",
    "EquivalenceRecognised",
    "EquivalenceRepealed",
    "EvaluationCorrected",
    "EvaluationRecorded",
    "Fact",
    "Fiche",
    "HoldJury",
    "InvalidateBloc",
    "JuryHeld",
    "ObjectiveSet",
    "Part",
    "PersonErased",
    "PersonRectified",
    "PersonRegistered",
    "PersonsMerged",
    "PublishCertification",
    "RecogniseEquivalence",
    "RecordEvaluation",
    "RegisterCandidate",
    "RegistrationClosed",
    "RegistrationReopened",
    "ReopenRegistration",
    "RepealEquivalence",
    "RevokeCertificate",
    "SetObjective",
    "ValidateBloc",
    "WithdrawCertification",
    "awards",
    "catalogue",
    "given",
    "persons",
    "registrations",
]
