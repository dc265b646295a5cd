"""One golden example of each fact: exactly the bytes that the registry stores.

The certifications and their fiches are the branch's; persons, organisers, blocs and decisions are made up. Most of the
facts tell of one technician, registered in 2025 and awarded in 2026.
"""

from datetime import UTC, date, datetime
from typing import NamedTuple

from contracts.envelope import REGISTRY_SOURCE, Envelope, encode
from contracts.facts import (
    Bloc,
    BlocInvalidated,
    BlocValidated,
    CandidateRegistered,
    CertificateAwarded,
    CertificateRevoked,
    CertificationPublished,
    CertificationWithdrawn,
    Component,
    EquivalenceRecognised,
    EquivalenceRepealed,
    EvaluationCorrected,
    EvaluationRecorded,
    Fact,
    Fiche,
    JuryHeld,
    ObjectiveSet,
    PersonErased,
    PersonRectified,
    PersonRegistered,
    PersonsMerged,
    RegistrationClosed,
    RegistrationReopened,
)
from contracts.facts.awards import Seat
from contracts.facts.catalogue import Competence, EquivalenceSide
from contracts.facts.registrations import CompetenceOutcome

MACHINING = "cqpm-2014-0300"
PROGRAMMING, OPERATING = "gammes-programmes-usinage", "usinage-amelioration-mocn"
LOGISTICS = "cqpm-technicien-logistique-industrielle"

TECHNICIAN = "312bfba8-8b6f-453c-b3e2-a9c517b490f8"
OTHER_ID = "b8758f8d-1e81-4336-90e4-498fb0f676db"
SOMEBODY_ELSE = "7b4a985c-39de-46d9-b949-af49fd530458"
REGISTRATION = "e3af18c8-15e4-4af3-8595-6979f38cf93d"
EVALUATION = "47296cfd-7672-40b7-aa99-f49d0fb278c8"
JURY = "1abd16c0-e435-414e-bc2e-1ec63f45db42"
PROGRAMMING_VALIDATED = "55e499dc-591f-419c-ab10-8be8bae8d3e5"
OPERATING_VALIDATED = "0310cefd-0024-4ff3-930d-f159e5396706"
EQUIVALENCE = "3708427d-ce87-4336-884a-d3e3438361c4"
NUMBER = "CQPM-2026-7K3M9Q2X-E"


class Example(NamedTuple):
    """A fact with the circumstances of its recording."""

    fact: Fact
    position: int
    recorded_at: datetime
    envelope: Envelope

    def entry(self) -> bytes:
        """The stored bytes."""
        return encode(self.envelope, self.fact, self.position, self.recorded_at)


def _posted(source: str, id_: str, client: str = "logiciel-branche") -> Envelope:
    return Envelope(id=id_, source=source, authid=client)


def _made(id_: str) -> Envelope:
    """Of a fact that the registry makes itself, on behalf of a client."""
    return Envelope(id=id_, source=REGISTRY_SOURCE, authid="logiciel-branche", authtype="system")


def _at(*when: int) -> datetime:
    return datetime(*when, tzinfo=UTC)  # type: ignore[arg-type, misc]


_HISTORY = (
    Example(
        CertificationPublished(
            certification_id=MACHINING,
            version=2,
            family="CQPM",
            title="Technicien d'usinage sur machines-outils à commande numérique (MOCN)",
            mq_code="MQ 2014 44/92 0300",
            level=4,
            effective_from=date(2024, 2, 9),
            blocs=(
                Bloc(
                    bloc_id=PROGRAMMING,
                    title="L'établissement des gammes et programmes d'usinage (bloc fictif)",
                    competences=(
                        Competence(
                            competence_id="gammes-programmes-usinage-c1",
                            label="Préparer et établir la gamme d'usinage et de contrôle",
                        ),
                        Competence(
                            competence_id="gammes-programmes-usinage-c2", label="Réaliser le programme d'usinage"
                        ),
                    ),
                ),
                Bloc(
                    bloc_id=OPERATING,
                    title="La préparation, l'usinage et l'amélioration sur MOCN (bloc fictif)",
                    competences=(
                        Competence(
                            competence_id="usinage-amelioration-mocn-c3", label="Contrôler l'usinage d'une pièce"
                        ),
                    ),
                ),
            ),
            rncp=Fiche(
                code="RNCP38622",
                registered_from=date(2024, 2, 9),
                registered_until=date(2027, 2, 9),
                routes=("FORMATION", "CONTRAT_PRO", "APPRENTISSAGE", "VAE"),
                bloc_codes={PROGRAMMING: "RNCP38622BC01", OPERATING: "RNCP38622BC02"},
            ),
            rome=("H2903",),
            decision_ref="CPNE 2024-01",
        ),
        12,
        _at(2024, 2, 12, 9, 0, 0, 104_233),
        _posted("urn:uimm:catalogue", "mocn-v2"),
    ),
    Example(
        CertificationWithdrawn(
            certification_id="cqpm-ajusteur-monteur-structures-aeronefs",
            effective_from=date(2024, 7, 1),
            reason="REPLACED",
            replaced_by="cqpm-2000-0187",
        ),
        13,
        _at(2024, 2, 12, 9, 0, 0, 105_918),
        _posted("urn:uimm:catalogue", "structures-aeronefs-withdrawn"),
    ),
    Example(
        EquivalenceRecognised(
            equivalence_id=EQUIVALENCE,
            kind="PARTIAL",
            source=EquivalenceSide(
                certification_id="cqpi-agent-logistique", bloc_ids=("tenue-stock-interindustrielle",)
            ),
            target=EquivalenceSide(certification_id=LOGISTICS, bloc_ids=("stocks-industriels",)),
            valid_from=date(2024, 3, 1),
            valid_until=date(2029, 2, 28),
            decision_ref="CPNE 2024-02",
        ),
        14,
        _at(2024, 2, 26, 14, 30, 11, 0),
        _posted("urn:uimm:catalogue", "equivalence-logistique"),
    ),
    Example(
        ObjectiveSet(year=2025, beneficiaries=30_000, decision_ref="CPNE 2024-11"),
        48_120,
        _at(2024, 11, 29, 16, 2, 45, 370_001),
        _posted("urn:uimm:catalogue", "objectif-2025"),
    ),
    Example(
        PersonRegistered(
            person_id=TECHNICIAN, identity_commitment="689f6a627384c7dcb2dcc1487e540223e77bdf9dcd0d8be8a326eda65b0ce9a4"
        ),
        61_002,
        _at(2025, 9, 8, 7, 41, 3, 512_907),
        _made("77caf163-c596-49d1-a25f-f209156f4972"),
    ),
    Example(
        CandidateRegistered(
            registration_id=REGISTRATION,
            person_id=TECHNICIAN,
            certification_id=MACHINING,
            version=2,
            target="CERTIFICATION",
            route="CONTRAT_PRO",
            status="ALTERNANT",
            branch="metallurgie",
            region="44",
            organiser="organisme-grand-est",
            prior_level=3,
            registered_on=date(2025, 9, 5),
            reporting_status="SALARIE",
            family="CQPM",
        ),
        61_003,
        _at(2025, 9, 8, 7, 41, 4, 8_222),
        Envelope(
            id="inscription-2025-004711",
            source="urn:sirh:fonderie-du-rhin",
            authid="sirh-fonderie-du-rhin",
            time="2025-09-05T16:20:00+02:00",
            correlationid="parcours-4711",
            traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
    ),
    Example(
        PersonRectified(
            person_id=TECHNICIAN, identity_commitment="0a473ebefc5a26e430173109878f75c43934eaeedc461568c8a198baa8a1b419"
        ),
        61_377,
        _at(2025, 9, 19, 12, 0, 27, 66_140),
        _made("0e96eaf5-3e28-4fbe-9018-ff78cab3fd95"),
    ),
    Example(
        PersonsMerged(kept_id=TECHNICIAN, merged_id=OTHER_ID),
        61_378,
        _at(2025, 9, 19, 12, 3, 58, 903_551),
        _made("646a642a-d1c9-4d23-a6a0-3c0bb985dd2c"),
    ),
    Example(
        EvaluationRecorded(
            evaluation_id=EVALUATION,
            registration_id=REGISTRATION,
            bloc_id=PROGRAMMING,
            outcomes=(
                CompetenceOutcome(competence_id="gammes-programmes-usinage-c1", outcome="ACQUIRED"),
                CompetenceOutcome(competence_id="gammes-programmes-usinage-c2", outcome="NOT_ACQUIRED"),
            ),
            modality="SITUATION_PROFESSIONNELLE",
            evaluated_on=date(2026, 2, 10),
            evaluators=("evaluateur-0192", "tuteur-0033"),
            evidence_sha256="ee8250fb76e094b34b471f13a73dbbe51d1ae142e9df59d7c0d31ec20f0a0a8e",
            person_id=TECHNICIAN,
            certification_id=MACHINING,
            version=2,
        ),
        74_810,
        _at(2026, 2, 11, 8, 15, 0, 1),
        _posted("urn:sirh:fonderie-du-rhin", "evaluation-2026-000082", "sirh-fonderie-du-rhin"),
    ),
    Example(
        EvaluationCorrected(
            evaluation_id=EVALUATION,
            outcomes=(CompetenceOutcome(competence_id="gammes-programmes-usinage-c2", outcome="ACQUIRED"),),
            reason="CLERICAL_ERROR",
            corrected_on=date(2026, 2, 12),
            person_id=TECHNICIAN,
            certification_id=MACHINING,
            registration_id=REGISTRATION,
            bloc_id=PROGRAMMING,
        ),
        74_902,
        _at(2026, 2, 12, 10, 9, 30, 450_000),
        Envelope(
            id="correction-2026-000007",
            source="urn:sirh:fonderie-du-rhin",
            authid="sirh-fonderie-du-rhin",
            causationid="evaluation-2026-000082",
        ),
    ),
    Example(
        RegistrationClosed(
            registration_id=REGISTRATION,
            reason="WITHDRAWN",
            closed_on=date(2026, 3, 2),
            person_id=TECHNICIAN,
            certification_id=MACHINING,
        ),
        75_518,
        _at(2026, 3, 2, 17, 55, 21, 730_118),
        _posted("urn:sirh:fonderie-du-rhin", "cloture-2026-000014", "sirh-fonderie-du-rhin"),
    ),
    Example(
        RegistrationReopened(
            registration_id=REGISTRATION,
            reason="CLERICAL_ERROR",
            reopened_on=date(2026, 3, 3),
            person_id=TECHNICIAN,
            certification_id=MACHINING,
        ),
        75_540,
        _at(2026, 3, 3, 8, 2, 40, 12_009),
        _posted("urn:sirh:fonderie-du-rhin", "reouverture-2026-000003", "sirh-fonderie-du-rhin"),
    ),
    Example(
        JuryHeld(
            jury_id=JURY,
            held_on=date(2026, 4, 16),
            organiser="organisme-grand-est",
            seats=(
                Seat(seat_id="salaries-1", college="SALARIES", organisation="organisation-salaries-1", present=True),
                Seat(seat_id="salaries-2", college="SALARIES", organisation="organisation-salaries-2", present=False),
                Seat(seat_id="employeurs-1", college="EMPLOYEURS", organisation="uimm-alsace", present=True),
                Seat(seat_id="employeurs-2", college="EMPLOYEURS", organisation="uimm-lorraine", present=True),
            ),
            president_seat_id="employeurs-1",
            invited_on=date(2026, 3, 25),
            minutes_sha256="90e63d85fa1ab2c8ed65222f3ebd794b1e524b4b7cf84bec451542d0451b2985",
        ),
        79_001,
        _at(2026, 4, 16, 15, 30, 0, 660_404),
        _posted("urn:certificateur:grand-est", "jury-2026-017", "certificateur-grand-est"),
    ),
    Example(
        BlocValidated(
            validation_id=PROGRAMMING_VALIDATED,
            registration_id=REGISTRATION,
            bloc_id=PROGRAMMING,
            basis="EVALUATION",
            jury_id=JURY,
            validated_on=date(2026, 4, 16),
            person_id=TECHNICIAN,
            certification_id=MACHINING,
            version=2,
            usable_until=date(2031, 4, 16),
        ),
        79_002,
        _at(2026, 4, 16, 15, 30, 1, 2_780),
        _posted("urn:certificateur:grand-est", "validation-2026-001204", "certificateur-grand-est"),
    ),
    Example(
        CertificateAwarded(
            registration_id=REGISTRATION,
            certificate_number=NUMBER,
            jury_id=JURY,
            awarded_on=date(2026, 4, 16),
            person_id=TECHNICIAN,
            certification_id=MACHINING,
            version=2,
            kind="CERTIFICATION",
            family="CQPM",
            level=4,
            title="Technicien d'usinage sur machines-outils à commande numérique (MOCN)",
            rncp_code="RNCP38622",
            components=(
                Component(bloc_id=PROGRAMMING, validation_id=PROGRAMMING_VALIDATED, basis="EVALUATION"),
                Component(bloc_id=OPERATING, validation_id=OPERATING_VALIDATED, basis="EVALUATION"),
            ),
            reporting_status="SALARIE",
            branch="metallurgie",
            region="44",
        ),
        79_004,
        _at(2026, 4, 16, 15, 30, 1, 9_315),
        _posted("urn:certificateur:grand-est", "certificat-2026-000611", "certificateur-grand-est"),
    ),
    Example(
        CertificateRevoked(
            certificate_number=NUMBER,
            reason="CLERICAL_ERROR",
            decided_on=date(2026, 5, 4),
            decision_ref="CPNE 2026-05",
            person_id=TECHNICIAN,
            registration_id=REGISTRATION,
            certification_id=MACHINING,
        ),
        80_233,
        _at(2026, 5, 4, 9, 45, 12, 310_070),
        _posted("urn:certificateur:grand-est", "retrait-2026-000002", "certificateur-grand-est"),
    ),
    Example(
        BlocInvalidated(
            validation_id=PROGRAMMING_VALIDATED,
            reason="CLERICAL_ERROR",
            decided_on=date(2026, 5, 4),
            person_id=TECHNICIAN,
            certification_id=MACHINING,
            registration_id=REGISTRATION,
            bloc_id=PROGRAMMING,
        ),
        80_234,
        _at(2026, 5, 4, 9, 45, 12, 588_143),
        _posted("urn:certificateur:grand-est", "invalidation-2026-000002", "certificateur-grand-est"),
    ),
    Example(
        PersonErased(person_id=SOMEBODY_ELSE),
        80_950,
        _at(2026, 5, 11, 6, 0, 0, 999_999),
        _made("af969f8f-e69d-46de-be99-542a6d87cd88"),
    ),
    Example(
        EquivalenceRepealed(equivalence_id=EQUIVALENCE, effective_from=date(2026, 9, 1)),
        81_007,
        _at(2026, 5, 18, 13, 20, 33, 40_000),
        _posted("urn:uimm:catalogue", "equivalence-logistique-repealed"),
    ),
)

EXAMPLES: dict[str, bytes] = {example.fact.type_name(): example.entry() for example in _HISTORY}
"""The stored bytes of an example by its CloudEvents `type`, in the order of their positions."""
