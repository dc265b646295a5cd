"""What may happen: a pure decision for each command, as the library's slices. No clock, dice, I/O or framework here."""

from eventsourcing.dcb.domain import Slice

from contracts import facts
from contracts.facts import Fact, Part
from services.registry.domain import (
    catalogue,
    certificates,
    closings,
    evaluations,
    juries,
    persons,
    registrations,
    validations,
)

DECISIONS: dict[type[Part], type[Slice[Fact]]] = {
    facts.PublishCertification: catalogue.PublishCertification,
    facts.WithdrawCertification: catalogue.WithdrawCertification,
    facts.RecogniseEquivalence: catalogue.RecogniseEquivalence,
    facts.RepealEquivalence: catalogue.RepealEquivalence,
    facts.SetObjective: catalogue.SetObjective,
    persons.PersonToRegister: persons.RegisterPerson,
    persons.PersonToRectify: persons.RectifyPerson,
    persons.PersonsToMerge: persons.MergePersons,
    persons.PersonToErase: persons.ErasePerson,
    facts.RegisterCandidate: registrations.RegisterCandidate,
    facts.CloseRegistration: closings.CloseRegistration,
    facts.ReopenRegistration: closings.ReopenRegistration,
    facts.RecordEvaluation: evaluations.RecordEvaluation,
    facts.CorrectEvaluation: evaluations.CorrectEvaluation,
    facts.HoldJury: juries.HoldJury,
    facts.ValidateBloc: validations.ValidateBloc,
    facts.InvalidateBloc: validations.InvalidateBloc,
    certificates.CertificateToAward: certificates.AwardCertificate,
    facts.RevokeCertificate: certificates.RevokeCertificate,
}
"""The slice that decides each command. It is made of the command and the circumstances."""
