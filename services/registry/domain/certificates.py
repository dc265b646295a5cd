"""Decisions about certificates: A1-A5."""

from collections.abc import Sequence

from eventsourcing.dcb.domain import Selector, Slice
from eventsourcing.domain import event
from msgspec import UNSET

from contracts import facts
from contracts.facts import (
    BlocValidated,
    CandidateRegistered,
    CertificateAwarded,
    CertificateRevoked,
    CertificationPublished,
    Component,
    Fact,
    JuryHeld,
    Part,
    given,
)
from contracts.facts import fact as tags
from contracts.refusals import (
    AlreadyRevoked,
    BlocsMissing,
    CertificateNumberTaken,
    CertificateUnknown,
)
from services.registry.domain.certificate_number import made_number
from services.registry.domain.circumstances import Circumstances, refuse_outside
from services.registry.domain.closings import refuse_unless_open
from services.registry.domain.juries import refuse_other_jury
from services.registry.domain.states import (
    REGISTRATION,
    VALIDATIONS,
    Registration,
    folds,
    selector,
    target_blocs,
    unused,
)


class CertificateToAward(Part, frozen=True, kw_only=True):
    """An award as posted, with random draws for the number that is made when none is given.

    draws: each 8 letters and digits of Crockford's base 32; the first one that is free is taken.
    """

    award: facts.AwardCertificate
    draws: tuple[str, ...]


class Numbers:
    """Where certificate numbers are taken, in lower case: they are unique for ever (A4)."""

    def __init__(self) -> None:
        self.taken: dict[str, int] = {}

    def apply(self, fact: CertificateAwarded, position: int) -> None:
        self.taken[fact.certificate_number.lower()] = position


@folds(registration=(REGISTRATION, VALIDATIONS), numbers=((CertificateAwarded,),))
class AwardCertificate(Slice[Fact]):
    """Award the certificate of a registration whose blocs are all validated and usable (A1-A4, J3)."""

    def __init__(self, command: CertificateToAward, circumstances: Circumstances) -> None:
        self.command = command.award
        self.draws = command.draws
        self.today = circumstances.today
        self.reference = circumstances.reference
        self.registration = Registration(command.award.registration_id)
        self.numbers = Numbers()
        self.jury: JuryHeld | None = None

    def consistency_boundary(self) -> Sequence[Selector]:
        boundary = [selector(tags.registration(self.command.registration_id), REGISTRATION, VALIDATIONS)]
        boundary += [unused(tags.certificate(number), (CertificateAwarded,)) for number in self._candidates()]
        if jury_id := given(self.command.jury_id):
            boundary.append(selector(tags.jury(jury_id), (JuryHeld,)))
        return boundary

    def _candidates(self) -> list[str]:
        """The numbers to look at: the given one, or the made ones up to the first that is free."""
        if given(self.command.certificate_number):
            return [str(self.command.certificate_number)]
        candidates: list[str] = []
        if inscription := self.registration.inscription:
            for draw in self.draws:
                candidates.append(made_number(inscription.family, self.command.awarded_on.year, draw))
                if candidates[-1].lower() not in self.numbers.taken:
                    break
        return candidates

    @event(JuryHeld)
    def _(self, fact: JuryHeld) -> None:
        self.jury = fact

    def execute(self) -> None:
        command = self.command
        own = refuse_unless_open(self.registration, "A1")
        number = self._candidates()[-1]
        if number.lower() in self.numbers.taken:
            raise CertificateNumberTaken(
                f"Certificate number {number} is taken.",
                rule="A4",
                certificate_number=number,
                position=self.numbers.taken[number.lower()],
            )
        validations = self._validations(own)
        since = max(validation.validated_on for validation in validations)
        refuse_outside("A3", "awarded_on", command.awarded_on, since=since, until=self.today)
        refuse_other_jury(given(command.jury_id), self.jury, command.awarded_on)
        version = self.reference.version(own.certification_id, own.version)
        self.trigger_event(lambda: self._award(own, version, number, validations))

    def _validations(self, own: CandidateRegistered) -> list[BlocValidated]:
        """The live validations of all blocs of the target, in the version's order (A2)."""
        day = self.command.awarded_on
        validations, missing = [], []
        for bloc_id in target_blocs(own, self.reference):
            validation = self.registration.validation_of(bloc_id)
            if validation is None or validation.usable_until < day:
                missing.append(bloc_id)
            else:
                validations.append(validation)
        if missing:
            raise BlocsMissing(
                f"Not validated in this registration, or not usable on {day}: {', '.join(missing)}.",
                rule="A2",
                registration_id=own.registration_id,
                awarded_on=day,
                missing=missing,
            )
        return validations

    def _award(
        self,
        own: CandidateRegistered,
        version: CertificationPublished,
        number: str,
        validations: Sequence[BlocValidated],
    ) -> CertificateAwarded:
        fiche = given(version.rncp)
        in_force = fiche and (fiche.in_force(own.registered_on) or fiche.in_force(self.command.awarded_on))
        return CertificateAwarded.of(
            self.command,
            certificate_number=number,
            person_id=self.reference.kept(own.person_id),
            certification_id=own.certification_id,
            version=own.version,
            kind=own.target,
            family=own.family,
            level=version.level if own.target == "CERTIFICATION" else UNSET,
            title=version.title,
            rncp_code=fiche.code if fiche and in_force else UNSET,
            components=tuple(
                Component(bloc_id=v.bloc_id, validation_id=v.validation_id, basis=v.basis) for v in validations
            ),
            reporting_status=own.reporting_status,
            branch=own.branch,
            region=own.region,
        )


class Certificate:
    """A certificate as its facts tell it."""

    def __init__(self) -> None:
        self.award: CertificateAwarded | None = None
        self.revoked_at: int | None = None

    def apply(self, fact: CertificateAwarded | CertificateRevoked, position: int) -> None:
        if isinstance(fact, CertificateAwarded):
            self.award = fact
        else:
            self.revoked_at = position


@folds(certificate=((CertificateAwarded, CertificateRevoked),))
class RevokeCertificate(Slice[Fact]):
    """Revoke a certificate: once, and only after its award. There is no un-revoke (A5, T1)."""

    def __init__(self, command: facts.RevokeCertificate, circumstances: Circumstances) -> None:
        self.command = command
        self.today = circumstances.today
        self.reference = circumstances.reference
        self.certificate = Certificate()

    def consistency_boundary(self) -> Selector:
        return selector(tags.certificate(self.command.certificate_number), (CertificateAwarded, CertificateRevoked))

    def execute(self) -> None:
        command, award = self.command, self.certificate.award
        number = command.certificate_number
        if award is None:
            raise CertificateUnknown(f"No certificate {number} is awarded.", rule="A5", certificate_number=number)
        if self.certificate.revoked_at is not None:
            raise AlreadyRevoked(
                f"Certificate {number} is revoked already.",
                rule="A5",
                certificate_number=number,
                position=self.certificate.revoked_at,
            )
        refuse_outside("T1", "decided_on", command.decided_on, since=award.awarded_on, until=self.today)
        self.trigger_event(
            lambda: CertificateRevoked.of(
                command,
                person_id=self.reference.kept(award.person_id),
                registration_id=award.registration_id,
                certification_id=award.certification_id,
            )
        )
