"""Decisions about registrations: R1-R11."""

from collections.abc import Sequence
from datetime import date

from eventsourcing.dcb.domain import Selector, Slice

from contracts import facts
from contracts.facts import CandidateRegistered, CertificationPublished, Fact, given
from contracts.facts import fact as tags
from contracts.refusals import (
    AlreadyHeld,
    RegistrationExists,
    RegistrationOverlaps,
    RegistrationsEnded,
    RouteClosed,
    TargetInvalid,
    VersionNotInForce,
)
from services.registry.domain.catalogue import repeated, unpublished
from services.registry.domain.circumstances import Circumstances, refuse_outside
from services.registry.domain.persons import refuse_unless_current
from services.registry.domain.reference import Reference
from services.registry.domain.states import (
    CERTIFICATES,
    PERSON,
    REGISTRATION,
    VALIDATIONS,
    Person,
    folds,
    person_selectors,
    target_blocs,
    unused,
)

REPORTING_STATUS: dict[str, str] = {
    "SALARIE": "SALARIE",
    "ALTERNANT": "SALARIE",
    "INTERIMAIRE": "SALARIE",
    "DEMANDEUR_EMPLOI": "DEMANDEUR_EMPLOI",
    "INDEPENDANT": "AUTRE",
    "AUTRE": "AUTRE",
}
"""How a candidate's status is counted (R8)."""


@folds(keeping=True, person=(PERSON, REGISTRATION, VALIDATIONS, CERTIFICATES))
class RegisterCandidate(Slice[Fact]):
    """Inscribe a person to the evaluations of a certification or of some of its blocs (P1, R1-R11)."""

    fixed = True

    def __init__(self, command: facts.RegisterCandidate, circumstances: Circumstances) -> None:
        self.command = command
        self.today = circumstances.today
        self.reference = circumstances.reference
        self.person = Person()

    def consistency_boundary(self) -> Sequence[Selector]:
        return [
            unused(tags.registration(self.command.registration_id), (CandidateRegistered,)),
            *person_selectors(
                self.reference.names(self.command.person_id), PERSON, REGISTRATION, VALIDATIONS, CERTIFICATES
            ),
        ]

    def execute(self) -> None:
        command = self.command
        if command.registration_id in self.person.registrations:
            raise RegistrationExists(
                f"Registration {command.registration_id} exists already.",
                rule="R9",
                registration_id=command.registration_id,
                position=self.person.registrations[command.registration_id].position,
            )
        refuse_unless_current(self.person, command.person_id, self.reference)
        refuse_outside("R10", "registered_on", command.registered_on, since=None, until=self.today)
        version = self._version()
        self._refuse_target(version)
        self._refuse_route(version)
        registered = CandidateRegistered.of(
            command,
            version=version.version,
            branch=given(command.branch) or version.branches[0],
            reporting_status=REPORTING_STATUS[command.status],
            family="BLOC" if command.target == "BLOCS" else version.family,
        )
        refuse_overlap(registered, self.person, self.reference)
        refuse_held(registered, self.person)
        self.trigger_event(lambda: registered)

    def _version(self) -> CertificationPublished:
        command = self.command
        if not self.reference.versions(command.certification_id):
            raise unpublished("R1", command.certification_id)
        version = self.reference.version_in_force(command.certification_id, command.registered_on)
        if version is None:
            raise VersionNotInForce(
                f"No version of {command.certification_id} is in force on {command.registered_on}.",
                rule="R1",
                certification_id=command.certification_id,
                registered_on=command.registered_on,
            )
        if given(command.version) not in (None, version.version):
            raise VersionNotInForce(
                f"Version {version.version} of {command.certification_id} is in force on {command.registered_on}.",
                rule="R1",
                certification_id=command.certification_id,
                version=command.version,
                version_in_force=version.version,
                registered_on=command.registered_on,
            )
        withdrawal = self.reference.withdrawal(command.certification_id)
        if withdrawal and withdrawal.effective_from <= command.registered_on:
            raise RegistrationsEnded(
                f"{command.certification_id} is withdrawn from {withdrawal.effective_from} on.",
                rule="R2",
                certification_id=command.certification_id,
                withdrawn_from=withdrawal.effective_from,
                registered_on=command.registered_on,
            )
        return version

    def _refuse_target(self, version: CertificationPublished) -> None:
        bloc_ids = given(self.command.bloc_ids)
        if self.command.target == "CERTIFICATION":
            if bloc_ids is not None:
                raise TargetInvalid("A registration for a certification names no blocs.", rule="R3", bloc_ids=bloc_ids)
            return
        if not bloc_ids:
            raise TargetInvalid("A registration for blocs names at least one.", rule="R3")
        if twice := repeated(bloc_ids):
            raise TargetInvalid("A bloc is named once.", rule="R3", bloc_ids=twice)
        if unknown := sorted(set(bloc_ids) - {bloc.bloc_id for bloc in version.blocs}):
            raise TargetInvalid(
                f"Version {version.version} of {version.certification_id} has no bloc {', '.join(unknown)}.",
                rule="R3",
                bloc_ids=unknown,
                version=version.version,
            )

    def _refuse_route(self, version: CertificationPublished) -> None:
        fiche = given(version.rncp)
        if fiche is None or not fiche.in_force(self.command.registered_on):
            return
        if fiche.routes and self.command.route not in fiche.routes:
            raise RouteClosed(
                f"Fiche {fiche.code} opens {', '.join(fiche.routes)}.",
                rule="R5",
                route=self.command.route,
                routes=fiche.routes,
                rncp_code=fiche.code,
            )


def refuse_overlap(registered: CandidateRegistered, person: Person, reference: Reference) -> None:
    """Refuse beside another open registration with a bloc in common, or for the same certification (R6)."""
    if not (others := person.open_registrations()):
        return
    blocs = set(target_blocs(registered, reference))
    for other in others:
        common = sorted(blocs & set(target_blocs(other.known, reference)))
        whole = "CERTIFICATION" in (registered.target, other.known.target)
        if common or (whole and other.known.certification_id == registered.certification_id):
            raise RegistrationOverlaps(
                f"Registration {other.registration_id} is open for {', '.join(common) or 'the same certification'}.",
                rule="R6",
                registration_id=other.registration_id,
                bloc_ids=common,
                position=other.position,
            )


def refuse_held(registered: CandidateRegistered, person: Person, *, own: str | None = None) -> None:
    """Refuse what the person holds already (R7); validations of the registration `own` aside (K2)."""
    if registered.target == "CERTIFICATION":
        for award in person.certifications(date.max):
            if award.certification_id == registered.certification_id:
                raise AlreadyHeld(
                    f"The person holds certificate {award.certificate_number}.",
                    rule="R7",
                    certificate_number=award.certificate_number,
                    position=person.positions[award.certificate_number.lower()],
                )
        return
    for bloc_id in given(registered.bloc_ids) or ():
        for validation in person.usable(bloc_id, registered.registered_on):
            if validation.registration_id != own:
                raise AlreadyHeld(
                    f"Bloc {bloc_id} is held and usable until {validation.usable_until}.",
                    rule="R7",
                    bloc_id=bloc_id,
                    validation_id=validation.validation_id,
                    usable_until=validation.usable_until,
                    position=person.positions[validation.validation_id],
                )
