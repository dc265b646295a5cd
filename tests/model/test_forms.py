"""Forms, defaults and idempotency, each with its negative twin."""

import pytest

from tests.model.model import Accepted, Refused
from tests.model.small_world import (
    FICHE,
    GONE,
    TODAY,
    Post,
    branch,
    candidate,
    closing,
    evaluation,
    play,
    publication,
    refusal,
    uid,
    validation,
    withdrawal,
)


@pytest.mark.parametrize(
    "post",
    [
        candidate(person_id="P1"),
        candidate(person_id=uid("p1").upper()),
        candidate(route="RADIO"),
        candidate(registered_on="2018-02-30"),
        candidate(registered_on="2018-3-1"),
        candidate(registered_on=GONE),
        candidate(region="2A"),
        candidate(region=None),
        candidate(prior_level=9),
        candidate(prior_level=True),
        candidate(family="CQPM"),
        candidate(unknown=1),
        evaluation(outcomes=[]),
        evaluation(evaluators=[]),
        publication(version=0),
        publication(rncp=FICHE | {"code": "RNCP"}),
        ("person.registered", {"person_id": uid("p9")}),
        ("candidate.unknown", {}),
    ],
)
def test_what_has_not_the_form_is_malformed(post: Post) -> None:
    assert refusal(branch(), post) == {(400, None)}


def test_the_type_is_written_out() -> None:
    model = branch()
    for type_ in ("candidate.registered", "certibranche.candidate.registered", "certibranche.candidate.registered.v2"):
        assert model.post(type_, candidate()[1], TODAY) == Refused(frozenset({(400, None)}))


def test_defaults_are_written_out() -> None:
    fiche = {name: value for name, value in FICHE.items() if name not in {"routes", "bloc_codes"}}
    recorded = play(branch(), publication(rncp=fiche))
    assert recorded["branches"] == ["metallurgie"]
    assert recorded["rome"] == []
    assert recorded["rncp"] == fiche | {"routes": [], "bloc_codes": {}}


@pytest.mark.parametrize(
    ("post", "rule"),
    [
        (withdrawal(replaced_by="cqpm-a"), "C8"),
        (withdrawal(reason="REPLACED"), "C8"),
        (closing(reason="ABSENT", jury_id=uid("j1")), "J3"),
        (validation(equivalence_id=uid("partial")), "B3"),
        (validation(basis="EQUIVALENCE"), "B3"),
        (validation(source_validation_id=uid("v0")), "B4"),
        (validation(basis="CARRIED_OVER"), "B4"),
        (validation(decision_ref="PV 12"), "B9"),
    ],
)
def test_a_member_that_belongs_to_another_value_is_refused_by_form_or_rule(post: Post, rule: str) -> None:
    model = branch(candidate(), evaluation())
    assert {(400, None), (422, rule)} <= refusal(model, post)


def test_i1_the_same_content_answers_the_first_receipt_and_other_content_conflicts() -> None:
    model = branch()
    (name, data), other = candidate(), candidate(status="ALTERNANT")[1]
    first = model.post(f"certibranche.{name}.v1", data, TODAY, id_="1")
    again = model.post(f"certibranche.{name}.v1", dict(reversed(data.items())), TODAY, id_="1")
    assert isinstance(first, Accepted)
    assert isinstance(again, Accepted)
    assert (again.data, again.position, again.new) == (first.data, first.position, False)
    assert model.post(f"certibranche.{name}.v1", other, TODAY, id_="1") == Refused(frozenset({(409, "I1")}))
    assert model.post(f"certibranche.{name}.v1", data, TODAY, id_="2") != again


def test_i1_a_refusal_leaves_the_id_free() -> None:
    model = branch()
    name, data = candidate()
    assert isinstance(model.post(f"certibranche.{name}.v1", data | {"version": 7}, TODAY, id_="1"), Refused)
    assert isinstance(model.post(f"certibranche.{name}.v1", data, TODAY, id_="1"), Accepted)
