"""What each decision reads: the table of tags and boundaries of the design, row by row."""

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from contracts.facts import Fact, Part
from tests.domain.harness import decide
from tests.domain.world import (
    ANNA,
    ANNE,
    AWARDED,
    BENO,
    BOTH_VALIDATED,
    EQUI_1,
    EVAL_1,
    EVAL_2,
    JURY_1,
    NUMBER,
    OPEN,
    PERSONS,
    REG_1,
    REG_2,
    VAL_1,
    VAL_2,
    WORLD,
    acquired,
    award,
    awarded,
    close,
    closed,
    component,
    correct,
    erase,
    evaluate,
    evaluated,
    hold_jury,
    invalidate,
    jury_held,
    merge,
    merged,
    publish,
    recognise,
    recognised,
    rectify,
    register,
    register_person,
    registered,
    reopen,
    repeal,
    revoke,
    set_objective,
    validate,
    validated,
    withdraw,
)

INSCRIPTION = {"candidate.registered"}
REG = INSCRIPTION | {"registration.closed", "registration.reopened", "certificate.awarded"}
VAL = {"bloc.validated", "bloc.invalidated"}
CERT = {"certificate.awarded", "certificate.revoked"}
EVAL = {"evaluation.recorded", "evaluation.corrected"}
PERSON = {"person.registered", "person.erased"}
JURY = {"jury.held"}
ALL_OF_PERSON = PERSON | REG | VAL | CERT

R_1, VALIDATION, JURY_TAG = f"registration:{REG_1}", f"validation:{VAL_1}", f"jury:{JURY_1}"
CERTIFICATE = f"certificate:{NUMBER.lower()}"


def of_anna(types: Iterable[str]) -> dict[str, set[str]]:
    """P*: under each name that Anna has after the merge with Anne."""
    return {f"person:{ANNA}": set(types), f"person:{ANNE}": set(types)}


@dataclass(frozen=True)
class Row:
    """A row of the table: what a command reads, given some facts, in how many rounds."""

    name: str
    command: Part
    facts: tuple[Fact, ...]
    boundary: dict[str, set[str]]
    rounds: int


KNOWN = (*OPEN, merged())
EVALUATED = (*KNOWN, evaluated())
CARRIED = {"basis": "CARRIED_OVER", "source_validation_id": VAL_2}
SOURCE = {"validation_id": VAL_2, "registration_id": REG_2, "validated_on": "2024-02-01"}
FAILED = (
    registered(registration_id=REG_2),
    evaluated(evaluation_id=EVAL_2, registration_id=REG_2),
    closed(registration_id=REG_2, closed_on="2024-02-01"),
)
CERTIFIED = awarded(registration_id=REG_2, awarded_on="2024-03-01", components=[component("weld", VAL_2)])
ALWAYS = {VALIDATION: {"bloc.validated"}, R_1: REG | VAL}

ROWS = [
    Row("certification.published", publish(), (), {}, 0),
    Row("certification.withdrawn", withdraw(), WORLD, {}, 0),
    Row("equivalence.recognised", recognise(), WORLD, {}, 0),
    Row("equivalence.repealed", repeal(), (*WORLD, recognised()), {}, 0),
    Row("objective.set", set_objective(), (), {}, 0),
    Row("person.registered", register_person(), (), {f"person:{ANNA}": PERSON}, 1),
    Row("person.rectified", rectify(), (*PERSONS, merged()), {f"person:{ANNA}": PERSON}, 1),
    Row(
        "persons.merged",
        merge(merged_id=BENO),
        (*PERSONS, merged()),
        {f"person:{ANNA}": PERSON, f"person:{BENO}": PERSON},
        1,
    ),
    Row("person.erased", erase(), (*PERSONS, merged()), of_anna(PERSON | REG), 1),
    Row("candidate.registered", register(), (*WORLD, merged()), {R_1: INSCRIPTION} | of_anna(ALL_OF_PERSON), 1),
    Row("registration.closed", close(), OPEN, {R_1: REG | VAL}, 1),
    Row(
        "registration.closed by a jury",
        close(jury_id=JURY_1),
        (*OPEN, jury_held()),
        {R_1: REG | VAL, JURY_TAG: JURY},
        1,
    ),
    Row(
        "registration.reopened",
        reopen(),
        (*OPEN, closed(), merged()),
        {R_1: REG | CERT} | of_anna(ALL_OF_PERSON),
        2,
    ),
    Row(
        "evaluation.recorded",
        evaluate(evaluation_id=EVAL_2),
        EVALUATED,
        {f"evaluation:{EVAL_2}": {"evaluation.recorded"}, R_1: REG | VAL},
        1,
    ),
    # No rule asks for earlier corrections, so they are not read.
    Row(
        "evaluation.corrected",
        correct(),
        EVALUATED,
        {f"evaluation:{EVAL_1}": {"evaluation.recorded"}, R_1: REG | VAL},
        2,
    ),
    Row("jury.held", hold_jury(), (), {JURY_TAG: JURY}, 1),
    Row("bloc.validated by evaluation", validate(), EVALUATED, ALWAYS | {R_1: REG | VAL | EVAL}, 1),
    Row(
        "bloc.validated by evaluation, an outcome missing",
        validate(),
        (*KNOWN, evaluated(outcomes=acquired("cut")), *FAILED),
        ALWAYS | {R_1: REG | VAL | EVAL} | of_anna(REG | EVAL),
        2,
    ),
    Row(
        "bloc.validated by a jury",
        validate(jury_id=JURY_1),
        (*EVALUATED, jury_held(held_on="2024-03-15")),
        ALWAYS | {R_1: REG | VAL | EVAL, JURY_TAG: JURY},
        1,
    ),
    Row(
        "bloc.validated by equivalence",
        validate(basis="EQUIVALENCE", equivalence_id=EQUI_1),
        (*KNOWN, recognised(), validated(validation_id=VAL_2, registration_id=REG_2, bloc_id="fit")),
        ALWAYS | of_anna(VAL | CERT),
        2,
    ),
    Row(
        "bloc.validated, carried over",
        validate(**CARRIED),
        (*KNOWN, validated(**SOURCE)),
        ALWAYS | {f"validation:{VAL_2}": VAL},
        1,
    ),
    Row(
        "bloc.validated, carried over when no longer usable",
        validate(**CARRIED),
        (*KNOWN, validated(**SOURCE, usable_until="2024-03-14"), CERTIFIED),
        ALWAYS | {f"validation:{VAL_2}": VAL} | of_anna(CERT),
        2,
    ),
    Row(
        "bloc.validated from the archive",
        validate(basis="ARCHIVE", decision_ref="CPN 12", validated_on="2023-12-01"),
        (*WORLD, registered(registered_on="2023-12-01"), merged()),
        ALWAYS,
        1,
    ),
    Row("bloc.invalidated", invalidate(), (*OPEN, validated()), {VALIDATION: VAL, R_1: CERT}, 2),
    Row("certificate.awarded", award(), BOTH_VALIDATED, {CERTIFICATE: {"certificate.awarded"}, R_1: REG | VAL}, 1),
    Row(
        "certificate.awarded by a jury",
        award(jury_id=JURY_1),
        (*BOTH_VALIDATED, jury_held()),
        {CERTIFICATE: {"certificate.awarded"}, R_1: REG | VAL, JURY_TAG: JURY},
        1,
    ),
    Row("certificate.revoked", revoke(), AWARDED, {CERTIFICATE: CERT}, 1),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_decision_reads_its_row_of_the_table(row: Row) -> None:
    decided = decide(row.facts, row.command)
    asked: dict[str, set[str]] = {}
    for tag, name in decided.asked:
        asked.setdefault(tag, set()).add(name)
    assert asked == row.boundary
    assert decided.rounds == row.rounds


def test_a_made_number_is_known_with_the_family_a_round_later() -> None:
    decided = decide(BOTH_VALIDATED, award(certificate_number=None))
    assert {tag.split(":")[0] for tag, _ in decided.asked} == {"certificate", "registration"}
    assert decided.rounds == 2


def test_nothing_of_a_person_is_read_for_a_registration_that_is_not_known() -> None:
    for command in (
        reopen(),
        validate(),
        validate(basis="EQUIVALENCE", equivalence_id=EQUI_1),
        validate(**CARRIED),
        award(),
    ):
        decided = decide((*WORLD, registered(registration_id=REG_2)), command)
        assert not any(tag.startswith("person:") for tag, _ in decided.asked)
        assert decided.rounds == 1
