"""Decisions along random careers: the same whenever and however their facts come to them."""

from hypothesis import given, note, settings
from hypothesis import strategies as st

from contracts.facts import (
    FACTS,
    BlocInvalidated,
    BlocValidated,
    CandidateRegistered,
    CertificateAwarded,
    CertificateRevoked,
    Fact,
    PersonErased,
    PersonsMerged,
    RegistrationClosed,
    RegistrationReopened,
)
from contracts.problems import Problem
from tests.domain.careers import BEGINNING, Career, Step, steps
from tests.domain.harness import decide

FIRST_DAY = "2020-01-01"


@settings(max_examples=60)
@given(steps(), st.integers(0, 60))
def test_a_decision_on_any_prefix_of_a_career_is_the_same_however_its_facts_are_read(
    tried: list[Step], in_log: int
) -> None:
    career = Career()
    for step in tried:
        for command, today in career.commands(step):
            decided = decide(career.facts, command, today, FIRST_DAY)
            again = decide(career.facts, command, today, FIRST_DAY)
            at_hand = decide(career.facts, command, today, FIRST_DAY, preloaded=True)
            in_group = decide(career.facts, command, today, FIRST_DAY, in_log=in_log)
            assert decided.said() == again.said() == at_hand.said() == in_group.said()
            assert decided.asked == at_hand.asked == in_group.asked
            if isinstance(decided.outcome, Fact):
                decided.then(type(decided.outcome))
                career.happened(decided.outcome)


@settings(max_examples=60)
@given(steps())
def test_no_career_breaks_what_always_holds(tried: list[Step]) -> None:
    career = Career()
    for step in tried:
        for command, today in career.commands(step):
            outcome = decide(career.facts, command, today, FIRST_DAY).outcome
            if isinstance(outcome, Problem):
                assert outcome.status in (409, 422)
            else:
                career.happened(outcome)
                note(f"{len(career.facts)} {today} {outcome}")
    assert always_holds(career.facts)


def always_holds(facts: list[Fact]) -> bool:
    """Told without the domain's own states: what of a career must be so after each of its facts."""
    live: dict[str, BlocValidated] = {}
    certificates: dict[str, CertificateAwarded] = {}
    numbers: set[str] = set()
    open_of: dict[str, str] = {}
    kept: dict[str, str] = {}
    for fact in facts:
        match fact:
            case CandidateRegistered() | RegistrationReopened():
                open_of[fact.registration_id] = fact.person_id
            case RegistrationClosed():
                del open_of[fact.registration_id]
            case BlocValidated():
                held = [(v.registration_id, v.bloc_id) for v in live.values()]
                assert (fact.registration_id, fact.bloc_id) not in held
                assert fact.registration_id in open_of
                assert fact.validated_on <= fact.usable_until
                live[fact.validation_id] = fact
            case BlocInvalidated():
                del live[fact.validation_id]
            case CertificateAwarded():
                assert fact.certificate_number.lower() not in numbers
                assert all(live[c.validation_id].usable_until >= fact.awarded_on for c in fact.components)
                numbers.add(fact.certificate_number.lower())
                certificates[fact.certificate_number.lower()] = fact
                del open_of[fact.registration_id]
            case CertificateRevoked():
                del certificates[fact.certificate_number.lower()]
            case PersonsMerged():
                kept[fact.merged_id] = fact.kept_id
            case PersonErased():
                assert fact.person_id not in {_last(person_id, kept) for person_id in open_of.values()}
        assert all(c.validation_id in live for award in certificates.values() for c in award.components)
        assert getattr(fact, "person_id", None) not in kept, "facts after a merge are of the person kept"
    return True


def _last(person_id: str, kept: dict[str, str]) -> str:
    while person_id in kept:
        person_id = kept[person_id]
    return person_id


def test_careers_reach_all_that_happens_in_one() -> None:
    career = Career()
    for step in (
        ("register", 0, 0, 0), ("evaluate", 0, 0, 1), ("correct", 0, 0, 1), ("finish", 0, 0, 1), ("revoke", 0, 0, 1),
        ("reopen", 0, 0, 1), ("invalidate", 0, 0, 0), ("close", 0, 0, 1), ("merge", 0, 7, 0), ("erase", 0, 9, 0),
        ("recognise", 0, 0, 0), ("repeal", 0, 0, 0), ("publish", 0, 0, 0),
    ):  # fmt: skip
        for command, today in career.commands(step):
            outcome = decide(career.facts, command, today, FIRST_DAY).outcome
            if isinstance(outcome, Fact):
                career.happened(outcome)
    not_tried = {"certification.withdrawn", "objective.set", "jury.held", "person.registered", "person.rectified"}
    happened = {fact.name for fact in career.facts[len(BEGINNING) :]}
    assert happened == {fact_type.name for fact_type in FACTS.values()} - not_tried
