"""What holds for all decisions, facts and refusals: nothing is left out, nothing is ignored silently."""

import re
from collections.abc import Iterator
from typing import TypeVar, cast

import pytest
from eventsourcing.dcb.domain import Slice, decorated_funcs

from contracts.facts import (
    FACTS,
    AwardCertificate,
    Fact,
    PersonErased,
    PersonRectified,
    PersonRegistered,
    PersonsMerged,
)
from contracts.problems import Problem
from contracts.refusals import Refusal
from services.registry.domain import DECISIONS
from services.registry.domain.certificates import CertificateToAward
from services.registry.domain.persons import PersonsToMerge, PersonToErase, PersonToRectify, PersonToRegister
from tests.domain import world
from tests.domain.harness import decide
from tests.domain.test_boundaries import ROWS
from tests.domain.world import ANNA, ANNE, EVAL_1, JURY_1, REG_1, VAL_1

SLICES = tuple(DECISIONS.values())

CERTIFICATE = "certificate:cqpm-2024-77"
TAGS = {
    "certification.published": {"reference"},
    "certification.withdrawn": {"reference"},
    "equivalence.recognised": {"reference"},
    "equivalence.repealed": {"reference"},
    "objective.set": set(),
    "person.registered": {f"person:{ANNA}"},
    "person.rectified": {f"person:{ANNA}"},
    "person.erased": {f"person:{ANNA}"},
    "persons.merged": {f"person:{ANNA}", f"person:{ANNE}", "reference"},
    "candidate.registered": {f"registration:{REG_1}", f"person:{ANNA}"},
    "registration.closed": {f"registration:{REG_1}", f"person:{ANNA}"},
    "registration.reopened": {f"registration:{REG_1}", f"person:{ANNA}"},
    "evaluation.recorded": {f"evaluation:{EVAL_1}", f"registration:{REG_1}", f"person:{ANNA}"},
    "evaluation.corrected": {f"evaluation:{EVAL_1}", f"registration:{REG_1}", f"person:{ANNA}"},
    "jury.held": {f"jury:{JURY_1}"},
    "bloc.validated": {f"validation:{VAL_1}", f"registration:{REG_1}", f"person:{ANNA}"},
    "bloc.invalidated": {f"validation:{VAL_1}", f"registration:{REG_1}", f"person:{ANNA}"},
    "certificate.awarded": {CERTIFICATE, f"registration:{REG_1}", f"person:{ANNA}"},
    "certificate.revoked": {CERTIFICATE, f"registration:{REG_1}", f"person:{ANNA}"},
}
"""The decision tags of the design's table, of the usual fact of each type."""


def usual_facts() -> dict[str, Fact]:
    """A fact of each type, with the members that are usual in the tests' world."""
    makers = (
        world.published, world.withdrawn, world.recognised, world.repealed, world.objective_set,
        world.person_registered, world.rectified, world.merged, world.erased,
        world.registered, world.closed, world.reopened, world.evaluated, world.corrected, world.jury_held,
        world.validated, world.invalidated, world.awarded, world.revoked,
    )  # fmt: skip
    return {fact.name: fact for fact in (maker() for maker in makers)}


P = TypeVar("P", bound=Problem)


def kinds(of: type[P]) -> Iterator[type[P]]:
    """The kinds of problem below one, those only that are answered."""
    for kind in of.__subclasses__():
        if "slug" in vars(kind):
            yield kind
        yield from kinds(kind)


REFUSALS = sorted(kinds(Refusal), key=lambda refusal: refusal.slug)


@pytest.mark.parametrize("slice_type", SLICES, ids=lambda slice_type: slice_type.__name__)
def test_every_type_that_a_slice_selects_has_a_handler_and_no_other_type_has(
    slice_type: type[Slice[Fact]],
) -> None:
    rows = [row for row in ROWS if DECISIONS[type(row.command)] is slice_type]
    assert rows, "every decision has a row of the table"
    selected = {name for row in rows for names in row.boundary.values() for name in names}
    handled = {cast("type[Fact]", fact_type).name for handler, fact_type in decorated_funcs if handler is slice_type}
    assert handled == selected


def test_no_slice_subclasses_a_slice() -> None:
    for slice_type in SLICES:
        assert [base for base in slice_type.__mro__[1:] if issubclass(base, Slice)] == [Slice]


def test_every_slice_of_the_domain_decides_one_command() -> None:
    declared = {sub for sub in Slice.__subclasses__() if sub.__module__.startswith("services.registry.domain.")}
    assert declared == set(SLICES)
    assert len(SLICES) == len(set(SLICES))


def test_every_posted_fact_has_a_decision_and_every_command_a_fact() -> None:
    posted = {fact_type.posted for fact_type in FACTS.values() if fact_type.posted}
    made_here = {PersonToRegister, PersonToRectify, PersonsToMerge, PersonToErase}
    assert set(DECISIONS) == posted - {AwardCertificate} | {CertificateToAward} | made_here


def test_every_row_of_the_table_records_its_fact() -> None:
    recorded = {}
    for row in ROWS:
        outcome = decide(row.facts, row.command).outcome
        assert isinstance(outcome, Fact), outcome
        assert row.name.startswith(outcome.name)
        recorded[outcome.name] = type(outcome)
    assert set(recorded.values()) == set(FACTS.values())


def test_only_what_the_registry_does_itself_is_not_posted() -> None:
    not_posted = {fact_type for fact_type in FACTS.values() if fact_type.posted is None}
    assert not_posted == {PersonRegistered, PersonRectified, PersonsMerged, PersonErased}
    assert all(fact_type.scope for fact_type in FACTS.values() if fact_type.posted)


@pytest.mark.parametrize("fact", usual_facts().values(), ids=lambda fact: fact.name)
def test_a_fact_has_the_tags_of_the_table(fact: Fact) -> None:
    assert set(fact.tags()) == TAGS[fact.name]
    assert len(fact.tags()) == len(set(fact.tags()))


def test_the_table_of_tags_is_complete() -> None:
    assert set(TAGS) == set(usual_facts()) == {fact_type.name for fact_type in FACTS.values()}


def test_the_certificate_tag_is_without_case() -> None:
    for fact in (world.awarded(certificate_number="CqPm-1"), world.revoked(certificate_number="cQpM-1")):
        assert "certificate:cqpm-1" in fact.tags()


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.slug)
def test_a_refusal_has_a_slug_a_title_and_a_status_of_its_own(refusal: type[Refusal]) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", refusal.slug)
    assert {"slug", "title"} <= set(vars(refusal)), "not inherited"
    assert refusal.status in (409, 422)
    first, again = (refusal(detail, rule=refusal.rules[0], day=1) for detail in ("Once.", "Again."))
    for member in ("type", "title", "status"):
        assert first.members()[member] == again.members()[member]


def test_no_two_problems_share_a_slug_or_a_title() -> None:
    problems = list(kinds(Problem))
    assert len({problem.slug for problem in problems}) == len(problems)
    assert len({problem.title for problem in problems}) == len(problems)


def test_every_rule_that_can_refuse_a_command_has_a_refusal() -> None:
    letters = {"P": 1, "M": 2, "T": 1, "C": 8, "E": 4, "R": 11, "K": 2, "V": 7, "J": 3, "B": 9, "A": 5}
    rules = {f"{letter}{number}" for letter, last in letters.items() for number in range(1, last + 1)}
    derive_only = {"R4", "R8", "R11", "V6", "B5"}
    assert {rule for refusal in REFUSALS for rule in refusal.rules} == rules - derive_only
