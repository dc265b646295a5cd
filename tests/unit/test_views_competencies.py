"""View `competencies`: what a person holds, fact by fact (contract, 4.1)."""

from collections.abc import Iterable
from datetime import date
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from contracts.facts import BlocValidated, CertificationPublished, Fact, PersonRegistered
from services.projections.views.competencies.answer import BlocKey, competencies
from services.projections.views.competencies.fold import FACTS, Person, Persons
from tests.unit.careers import (
    awarded,
    closed,
    erased,
    events,
    histories,
    invalidated,
    merged,
    person,
    published,
    registered,
    reopened,
    revoked,
    uid,
    validated,
)
from tests.unit.naive import naive_competencies

AT = date(2019, 1, 1)


def folded(facts: Iterable[Fact]) -> Persons:
    persons = Persons({}, {})
    for event in events(facts):
        if not isinstance(event.data, CertificationPublished):
            persons.fold(event)
    return persons


def answer(persons: Persons, person_id: str, facts: Iterable[Fact], at: date = AT) -> Any:
    """The answer as JSON; None for an unknown person."""
    catalogue = {
        BlocKey(fact.certification_id, fact.version, bloc.bloc_id): bloc
        for fact in facts
        if isinstance(fact, CertificationPublished)
        for bloc in fact.blocs
    }
    found = persons.find(person_id)
    if found is None:
        return None
    return msgspec.json.decode(msgspec.json.encode(competencies(found, catalogue, position=1, at=at)))


def held(*facts: Fact, of: int = 1, at: date = AT) -> Any:
    """What the first person holds once these facts have happened, besides two versions of a certification."""
    history = [published("cqpm-a"), published("cqpm-a", 2), person(1), person(2), *facts]
    return answer(folded(history), uid("person", of), history, at)


def test_who_is_registered_holds_nothing_yet() -> None:
    nothing: dict[str, Any] = {"certificates": [], "blocs": [], "competences": [], "open_registrations": []}
    assert held() == {"person_id": uid("person", 1), "position": 1} | nothing | {
        "prior_level": None,
        "highest_level": None,
    }


def test_nobody_is_known_before_registration() -> None:
    assert held(of=3) is None


def test_a_registration_is_open_until_closed() -> None:
    assert held(registered(1, 1))["open_registrations"] == [uid("registration", 1)]
    assert held(registered(1, 1), closed(1, 1))["open_registrations"] == []


def test_a_registration_is_open_until_its_certificate_is_awarded_and_a_revocation_does_not_reopen_it() -> None:
    assert held(registered(1, 1), awarded(1, 1))["open_registrations"] == []
    assert held(registered(1, 1), awarded(1, 1), revoked(awarded(1, 1), 1))["open_registrations"] == []


def test_a_reopened_registration_is_open() -> None:
    assert held(registered(1, 1), closed(1, 1), reopened(1, 1))["open_registrations"] == [uid("registration", 1)]


def test_a_bloc_is_held_with_the_title_and_the_labels_of_the_version_it_was_validated_in() -> None:
    what = held(registered(1, 1), validated(1, 1, 1, version=2))
    assert [bloc["title"] for bloc in what["blocs"]] == ["a1 of cqpm-a 2"]
    assert what["competences"] == [
        {
            "competence_id": f"a1-{letter}",
            "bloc_id": "a1",
            "label": f"{letter} of cqpm-a 2",
            "acquired_on": "2018-06-01",
        }
        for letter in "xy"
    ]


@pytest.mark.parametrize(
    ("at", "usable"),
    [("2018-05-31", False), ("2018-06-01", True), ("2020-06-01", True), ("2020-06-02", False)],
)
def test_a_bloc_is_usable_from_its_validation_to_its_last_day(at: str, usable: bool) -> None:
    [bloc] = held(registered(1, 1), validated(1, 1, 1), at=date.fromisoformat(at))["blocs"]
    assert bloc["usable"] is usable


def test_an_invalidated_bloc_is_left_out_with_its_competences() -> None:
    validation = validated(1, 1, 1)
    what = held(registered(1, 1), validation, invalidated(validation, 1))
    assert what["blocs"] == what["competences"] == []


def test_a_competence_is_acquired_by_the_earliest_live_validation() -> None:
    early, late = validated(1, 1, 1, validated_on=date(2018, 5, 1)), validated(2, 1, 1)
    what = held(registered(1, 1), late, early)
    assert len(what["blocs"]) == 2
    assert {row["acquired_on"] for row in what["competences"]} == {"2018-05-01"}
    assert len(what["competences"]) == 2
    what = held(registered(1, 1), late, early, invalidated(early, 1))
    assert {row["acquired_on"] for row in what["competences"]} == {"2018-06-01"}


def test_a_revoked_certificate_is_shown_as_revoked_and_gives_no_level() -> None:
    certificate = awarded(1, 1)
    what = held(registered(1, 1), certificate)
    assert ([row["status"] for row in what["certificates"]], what["highest_level"]) == (["LIVE"], 5)
    what = held(registered(1, 1), certificate, revoked(certificate, 1))
    assert ([row["status"] for row in what["certificates"]], what["highest_level"]) == (["REVOKED"], None)


def test_the_highest_level_is_that_of_whole_certifications() -> None:
    what = held(
        registered(1, 1),
        awarded(1, 1, level=4),
        registered(2, 1),
        awarded(2, 1, kind="BLOCS", family="BLOC", level=6),
        registered(3, 1),
        awarded(3, 1, level=None),
    )
    assert what["highest_level"] == 4
    assert "level" not in what["certificates"][2]


def test_the_prior_level_is_that_of_the_earliest_registration_that_gives_one() -> None:
    what = held(
        registered(1, 1, registered_on=date(2018, 3, 1), prior_level=4),
        registered(2, 1, registered_on=date(2017, 3, 1), prior_level=3),
        registered(3, 1, registered_on=date(2016, 3, 1)),
    )
    assert what["prior_level"] == 3


@pytest.mark.parametrize("named", [1, 2])
@pytest.mark.parametrize("merged_at", range(7))
def test_a_merge_unites_two_persons_at_any_moment(merged_at: int, named: int) -> None:
    """Whichever of the two ids the facts after it name; both ids are answered as the kept one."""

    def of(ordinal: int) -> int:
        return 2 if ordinal < merged_at else named

    validation, certificate = validated(1, 2, of(2)), awarded(2, of(3))
    facts: list[Fact] = [
        registered(1, 1, prior_level=4),
        registered(2, of(1), registered_on=date(2018, 1, 1), prior_level=3),
        validation,
        certificate,
        invalidated(validation, of(4)),
        revoked(certificate, of(5)),
    ]
    facts.insert(merged_at, merged(1, 2))
    what = held(*facts)
    assert what["prior_level"] == 3
    assert what["blocs"] == []
    assert [row["status"] for row in what["certificates"]] == ["REVOKED"]
    assert what["open_registrations"] == [uid("registration", 1)]
    assert held(*facts, of=2) == what


def test_merges_may_follow_each_other() -> None:
    facts = [registered(1, 2), person(3), registered(3, 3), merged(1, 2), merged(3, 1)]
    for of in (1, 2, 3):
        assert held(*facts, of=of)["person_id"] == uid("person", 3)
        assert len(held(*facts, of=of)["open_registrations"]) == 2


def test_who_is_merged_into_somebody_erased_is_erased() -> None:
    persons = folded([person(1), person(2), merged(1, 2), erased(1)])
    for of in (1, 2):
        found = persons.find(uid("person", of))
        assert found is not None
        assert found.erased


def test_a_fact_of_nobody_known_is_refused_loudly() -> None:
    with pytest.raises(KeyError):
        folded([registered(1, 1)])
    with pytest.raises(KeyError):
        folded([person(1), invalidated(BlocValidated(**validated(1, 1, 1).as_dict()), 1)])


@for_any(histories, st.data())
def test_any_batches_give_what_the_contract_says_in_words(facts: list[Fact], data: st.DataObject) -> None:
    """States are encoded and decoded between batches, as they are when stored."""
    careers = [event for event in events(facts) if isinstance(event.data, FACTS)]
    borders = sorted(data.draw(st.sets(st.integers(0, len(careers)), max_size=5)) | {0, len(careers)})
    persons = Persons({}, {})
    for begin, end in pairwise(borders):
        states = {id_: msgspec.json.encode(state) for id_, state in persons.persons.items()}
        known = {id_: msgspec.json.decode(state, type=Person) for id_, state in states.items()}
        persons = Persons(known, dict(persons.kept_ids))
        for event in careers[begin:end]:
            persons.fold(event)
    for fact in facts:
        if isinstance(fact, PersonRegistered):
            assert answer(persons, fact.person_id, facts) == naive_competencies(facts, fact.person_id, 1, AT)
