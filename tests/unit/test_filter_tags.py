"""The tags by which the log's entries are filtered: one for each id, anywhere in the data of an event."""

from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from contracts.facts import FACTS, Fact
from contracts.facts.fact import REFERENCE
from contracts.tags import KINDS, MEMBERS, canonical_tag, filter_tags
from tests.unit.careers import uid
from tests.unit.facts_of_every_kind import EVERY_KIND

OTHER_IDS = {"competence_id", "seat_id", "president_seat_id", "organiser", "organisation", "evaluators", "branch",
             "branches"}  # fmt: skip
"""Ids of things that the contract has no tag for."""

REGISTRATION, PERSON = f"registration:{uid('registration', 1)}", f"person:{uid('person', 1)}"
EVALUATION, JURY = f"evaluation:{uid('evaluation', 1)}", f"jury:{uid('jury', 1)}"
VALIDATION, EQUIVALENCE = f"validation:{uid('validation', 1)}", f"equivalence:{uid('equivalence', 1)}"
CERTIFICATE, CERTIFICATION = "certificate:cqpm-2018-00000001-x", "certification:cqpm-a"
BLOCS = {"bloc:a1", "bloc:a2"}

EXPECTED: dict[str, set[str]] = {
    "certification.published": {CERTIFICATION, *BLOCS},
    "certification.withdrawn": {CERTIFICATION, "certification:cqpi-b"},
    "equivalence.recognised": {EQUIVALENCE, CERTIFICATION, "certification:cqpi-b", *BLOCS, "bloc:b1"},
    "equivalence.repealed": {EQUIVALENCE},
    "objective.set": set(),
    "person.registered": {PERSON},
    "person.rectified": {PERSON},
    "persons.merged": {PERSON, f"person:{uid('person', 2)}"},
    "person.erased": {PERSON},
    "candidate.registered": {REGISTRATION, PERSON, CERTIFICATION, *BLOCS},
    "registration.closed": {REGISTRATION, PERSON, CERTIFICATION, JURY},
    "registration.reopened": {REGISTRATION, PERSON, CERTIFICATION},
    "evaluation.recorded": {EVALUATION, REGISTRATION, PERSON, CERTIFICATION, "bloc:a1"},
    "evaluation.corrected": {EVALUATION, REGISTRATION, PERSON, CERTIFICATION, "bloc:a1"},
    "jury.held": {JURY},
    "bloc.validated": {
        *(VALIDATION, f"validation:{uid('validation', 9)}", REGISTRATION, PERSON),
        *(CERTIFICATION, "bloc:a1", EQUIVALENCE, JURY),
    },
    "bloc.invalidated": {VALIDATION, REGISTRATION, PERSON, CERTIFICATION, "bloc:a1"},
    "certificate.awarded": {
        *(CERTIFICATE, REGISTRATION, PERSON, CERTIFICATION, JURY),
        *(VALIDATION, f"validation:{uid('validation', 2)}", *BLOCS),
    },
    "certificate.revoked": {CERTIFICATE, REGISTRATION, PERSON, CERTIFICATION},
}

every_fact = pytest.mark.parametrize("fact", EVERY_KIND.values(), ids=EVERY_KIND)


def test_every_kind_of_fact_is_looked_at() -> None:
    assert {fact.name for fact in FACTS.values()} == set(EVERY_KIND) == set(EXPECTED)


@every_fact
def test_an_event_carries_a_tag_for_each_id_in_its_data(fact: Fact) -> None:
    assert filter_tags(fact) == EXPECTED[fact.name]


@every_fact
def test_no_id_is_overlooked_in_the_wire_form(fact: Fact) -> None:
    """Looked for without the facts' classes, in the JSON that callers see."""
    assert filter_tags(fact) == set(_tags_in(msgspec.to_builtins(fact)))


def _tags_in(value: Any, member: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        if member == "bloc_codes":
            yield from (f"bloc:{bloc_id}" for bloc_id in value)
        for name, inner in value.items():
            yield from _tags_in(inner, name)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _tags_in(inner, member)
    elif member in MEMBERS and member != "bloc_codes":
        yield f"{MEMBERS[member]}:{value}".lower()


@every_fact
def test_decision_tags_are_among_them(fact: Fact) -> None:
    assert set(fact.tags()) - {REFERENCE} <= filter_tags(fact)


def test_every_member_that_names_a_thing_is_known() -> None:
    """A member that is added to a fact one day is an id with a tag, or said to have none."""
    named = {name for fact in FACTS.values() for name in _members(fact) if name.endswith(("_id", "_ids"))}
    assert named - OTHER_IDS <= set(MEMBERS)
    assert set(MEMBERS.values()) == set(KINDS)


def _members(part: Any) -> Iterator[str]:
    for name, hint in get_type_hints(part).items():
        yield name
        for inner in (hint, *get_args(hint)):
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                yield from _members(inner)


def test_a_tag_is_a_kind_and_an_id_of_its_form() -> None:
    for tag in (PERSON, CERTIFICATION, "bloc:a1", CERTIFICATE, EQUIVALENCE):
        assert canonical_tag(tag) == tag
    assert canonical_tag("certificate:CQPM-2018-00000001-X") == CERTIFICATE


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "person", "person:", "person:x", PERSON.upper(), f" {PERSON}", f"{PERSON}\n", f"{PERSON},{PERSON}"),
        *(
            "reference",
            "reference:",
            "bloc:A1",
            "bloc:a",
            "certificate:abc",
            "competence:a1-x",
            "bloc:a\x00",
            "Bloc:a1",
        ),
        *("seat:seat-1", "registration:cqpm-a", "certification:é"),
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert canonical_tag(text) is None
