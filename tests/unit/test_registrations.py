"""What is said of a registration: its state, and of each bloc the validation and the outcomes that decide."""

from datetime import date
from typing import Any

import msgspec
import pytest

from contracts.facts import (
    EvaluationCorrected,
    EvaluationRecorded,
    Fact,
    ObjectiveSet,
)
from contracts.facts.registrations import CompetenceOutcome, Outcome
from services.projections.registrations.fold import answer, folded
from tests.unit.careers import (
    awarded,
    closed,
    events,
    invalidated,
    published,
    registered,
    reopened,
    revoked,
    uid,
    validated,
)

EARLY, LATE = date(2018, 5, 1), date(2018, 6, 1)


def evaluated(number: int, on: date, bloc_id: str = "a1", **outcomes: Outcome) -> EvaluationRecorded:
    """An evaluation of competences that are named without their bloc (x, y)."""
    return EvaluationRecorded(
        evaluation_id=uid("evaluation", number),
        registration_id=uid("registration", 1),
        bloc_id=bloc_id,
        outcomes=_outcomes(bloc_id, outcomes),
        modality="PROJET",
        evaluated_on=on,
        evaluators=("evaluator-1",),
        person_id=uid("person", 1),
        certification_id="cqpm-a",
        version=1,
    )


def corrected(number: int, bloc_id: str = "a1", **outcomes: Outcome) -> EvaluationCorrected:
    return EvaluationCorrected(
        evaluation_id=uid("evaluation", number),
        outcomes=_outcomes(bloc_id, outcomes),
        reason="REVIEW",
        corrected_on=date(2018, 12, 1),
        person_id=uid("person", 1),
        certification_id="cqpm-a",
        registration_id=uid("registration", 1),
        bloc_id=bloc_id,
    )


def _outcomes(bloc_id: str, outcomes: dict[str, Outcome]) -> tuple[CompetenceOutcome, ...]:
    return tuple(CompetenceOutcome(competence_id=f"{bloc_id}-{name}", outcome=it) for name, it in outcomes.items())


def said(*facts: Fact, **changed: Any) -> Any:
    """The answer as JSON, after an inscription and these facts."""
    registration = folded(events([registered(1, 1, **changed), *facts]))
    assert registration is not None
    return msgspec.to_builtins(answer(registration, published("cqpm-a"), uid("person", 7)))


def deciding(*facts: Fact, bloc: int = 0) -> dict[str, str | None]:
    """The outcomes of the first bloc, or of another."""
    competences = said(*facts)["blocs"][bloc]["competences"]
    return {row["competence_id"][-1]: row["outcome"] for row in competences}


def test_a_registration_for_a_certification_shows_every_bloc_in_the_order_of_the_version() -> None:
    answered = said()
    assert {name: value for name, value in answered.items() if name != "blocs"} == {
        "registration_id": uid("registration", 1),
        "person_id": uid("person", 7),
        "certification_id": "cqpm-a",
        "version": 1,
        "target": "CERTIFICATION",
        "state": "OPEN",
    }
    assert [bloc["bloc_id"] for bloc in answered["blocs"]] == ["a1", "a2", "common"]
    assert answered["blocs"][0] == {
        "bloc_id": "a1",
        "competences": [{"competence_id": "a1-y", "outcome": None}, {"competence_id": "a1-x", "outcome": None}],
    }


def test_a_registration_for_blocs_shows_these_in_the_order_of_the_version() -> None:
    answered = said(target="BLOCS", bloc_ids=("common", "a1"), family="BLOC")
    assert (answered["target"], [bloc["bloc_id"] for bloc in answered["blocs"]]) == ("BLOCS", ["a1", "common"])


def test_the_evaluation_of_the_latest_day_decides_whatever_was_recorded_first() -> None:
    late, early = evaluated(1, LATE, x="ACQUIRED"), evaluated(2, EARLY, x="NOT_ACQUIRED")
    assert deciding(late, early) == deciding(early, late) == {"x": "ACQUIRED", "y": None}


def test_of_one_day_the_evaluation_recorded_later_decides() -> None:
    assert deciding(evaluated(1, LATE, x="ACQUIRED"), evaluated(2, LATE, x="ABSENT"))["x"] == "ABSENT"


def test_each_competence_is_decided_by_itself() -> None:
    first, second = evaluated(1, EARLY, x="ACQUIRED", y="NOT_ACQUIRED"), evaluated(2, LATE, y="ACQUIRED")
    assert deciding(first, second) == {"x": "ACQUIRED", "y": "ACQUIRED"}


def test_a_correction_replaces_the_outcomes_it_names_and_no_others() -> None:
    recorded = evaluated(1, EARLY, x="ACQUIRED", y="ACQUIRED")
    assert deciding(recorded, corrected(1, x="NOT_ACQUIRED")) == {"x": "NOT_ACQUIRED", "y": "ACQUIRED"}
    assert deciding(recorded, corrected(1, x="ABSENT"), corrected(1, x="ACQUIRED"))["x"] == "ACQUIRED"


def test_a_correction_counts_at_the_day_and_position_of_its_evaluation() -> None:
    early, late = evaluated(1, EARLY, x="ACQUIRED"), evaluated(2, LATE, x="NOT_ACQUIRED")
    assert deciding(early, late, corrected(1, x="ABSENT"))["x"] == "NOT_ACQUIRED"
    same_day = evaluated(3, LATE, x="ACQUIRED")
    assert deciding(late, same_day, corrected(2, x="ABSENT"))["x"] == "ACQUIRED"


def test_a_correction_may_name_what_its_evaluation_left_out() -> None:
    assert deciding(evaluated(1, EARLY, x="ACQUIRED"), corrected(1, y="ACQUIRED"))["y"] == "ACQUIRED"


def test_outcomes_of_one_bloc_say_nothing_of_another() -> None:
    of_second = evaluated(1, EARLY, "a2", x="ACQUIRED")
    assert deciding(of_second)["x"] is None
    assert deciding(of_second, bloc=1)["x"] == "ACQUIRED"


def test_a_live_validation_is_shown_and_an_invalidated_one_is_not() -> None:
    validation = validated(1, 1, 1, "a2")
    assert [bloc.get("validation_id") for bloc in said(validation)["blocs"]] == [None, uid("validation", 1), None]
    assert "validation_id" not in said(validation, invalidated(validation, 1))["blocs"][1]
    again = said(validation, invalidated(validation, 1), validated(2, 1, 1, "a2"))
    assert again["blocs"][1]["validation_id"] == uid("validation", 2)


AWARD = awarded(1, 1)
REVOCATION = revoked(AWARD, 1)


@pytest.mark.parametrize(
    ("facts", "state", "number"),
    [
        ([], "OPEN", None),
        ([closed(1, 1)], "CLOSED", None),
        ([closed(1, 1), reopened(1, 1)], "OPEN", None),
        ([AWARD], "AWARDED", AWARD.certificate_number),
        ([AWARD, REVOCATION], "REVOKED", AWARD.certificate_number),
        ([AWARD, REVOCATION, reopened(1, 1)], "OPEN", None),
        ([AWARD, REVOCATION, reopened(1, 1), closed(1, 1)], "CLOSED", None),
        ([AWARD, REVOCATION, reopened(1, 1), awarded(1, 1, certificate_number="Second-1")], "AWARDED", "Second-1"),
    ],
)
def test_a_registration_counts_by_its_last_state(facts: list[Fact], state: str, number: str | None) -> None:
    answered = said(*facts)
    assert (answered["state"], answered.get("certificate_number")) == (state, number)


def test_without_events_there_is_no_registration() -> None:
    assert folded([]) is None


def test_a_fact_of_something_else_is_not_passed_over() -> None:
    with pytest.raises(TypeError, match=r"objective\.set"):
        said(ObjectiveSet(year=2018, beneficiaries=1))
