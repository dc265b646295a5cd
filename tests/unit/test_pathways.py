"""Pathways: what a person holds of each certification in force, what an equivalence would give, what is missing."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from contracts.facts import (
    BlocInvalidated,
    BlocValidated,
    CertificateAwarded,
    CertificateRevoked,
    CertificationPublished,
    Component,
    EquivalenceRecognised,
    Fact,
    PersonRegistered,
    PersonsMerged,
)
from services.projections.catalogue.fold import FACTS as CATALOGUE_FACTS
from services.projections.catalogue.fold import Catalogue
from services.projections.pathways.answer import pathways
from services.projections.pathways.fold import FACTS, career, erased
from tests.unit.careers import awarded, events, histories, invalidated, merged, person, revoked, uid, validated
from tests.unit.careers import erased as erasure
from tests.unit.catalogues import partial, repealed, total, version, withdrawn

DAY = date(2019, 1, 1)
ONE = timedelta(days=1)
CATALOGUE: list[Fact] = [version("cqpm-a", 1, "a1", "a2", "common"), version("cqpi-b", 1, "b1", "common")]
PERSONS: list[Fact] = [person(1), person(2), person(3)]


def read(facts: Sequence[Fact], of: int, at: date, as_of: int) -> Any:
    """The pathways by certification id, in their order; None for nobody known."""
    recorded = events(facts)
    catalogue = Catalogue().folded(event for event in recorded if isinstance(event.data, CATALOGUE_FACTS))
    held = career([event for event in recorded if isinstance(event.data, FACTS)], uid("person", of), as_of=as_of)
    if held is None:
        return None
    found = [msgspec.to_builtins(one) for one in pathways(held, catalogue.as_of(as_of), at)]
    return {one.pop("certification_id"): one for one in found}


def now(*facts: Fact, of: int = 1, at: date = DAY) -> Any:
    return read([*CATALOGUE, *PERSONS, *facts], of, at, as_of=10_000)


def a(*facts: Fact, of: int = 1, at: date = DAY) -> tuple[list[str], list[str], list[str]]:
    """held, equivalent and missing of the first certification."""
    found = now(*facts, of=of, at=at)["cqpm-a"]
    return found["held"], found["equivalent"], found["missing"]


NOTHING: tuple[list[str], list[str], list[str]] = ([], [], ["a1", "a2", "common"])


def certificate(number: int = 1, of: int = 1, *bloc_ids: str, **changed: Any) -> CertificateAwarded:
    """Awarded on 2018-09-01, to the second certification unless said otherwise."""
    components = tuple(
        Component(bloc_id=id_, validation_id=uid("validation", 1), basis="EVALUATION") for id_ in bloc_ids
    )
    members: dict[str, Any] = {
        "certificate_number": f"CQPM-2018-{number}",
        "certification_id": "cqpi-b",
        "components": components,
        "awarded_on": date(2018, 9, 1),
    }
    return awarded(number, of, **members | changed)


def test_who_holds_nothing_misses_every_bloc() -> None:
    assert now() == {
        "cqpi-b": {"version": 1, "held": [], "equivalent": [], "missing": ["b1", "common"]},
        "cqpm-a": {"version": 1, "held": [], "equivalent": [], "missing": ["a1", "a2", "common"]},
    }


def test_fewest_missing_comes_first_then_the_id() -> None:
    assert list(now()) == ["cqpi-b", "cqpm-a"]
    assert list(now(validated(1, 1, 1, "a1"))) == ["cqpi-b", "cqpm-a"]
    assert list(now(validated(1, 1, 1, "a1"), validated(2, 1, 1, "a2"))) == ["cqpm-a", "cqpi-b"]


def test_a_common_bloc_is_held_under_every_certification() -> None:
    found = now(validated(1, 1, 1, "common", certification_id="cqpi-b"))
    assert (found["cqpm-a"]["held"], found["cqpi-b"]["held"]) == (["common"], ["common"])


@pytest.mark.parametrize(
    ("at", "held"),
    [("2018-05-31", []), ("2018-06-01", ["a1"]), ("2020-06-01", ["a1"]), ("2020-06-02", [])],
)
def test_a_bloc_is_held_from_its_validation_to_its_last_day(at: str, held: list[str]) -> None:
    assert a(validated(1, 1, 1, "a1"), at=date.fromisoformat(at))[0] == held


def test_an_invalidated_bloc_is_not_held() -> None:
    validation = validated(1, 1, 1, "a1")
    assert a(validation, invalidated(validation, 1)) == NOTHING


@pytest.mark.parametrize(
    ("at", "held"), [(date(2018, 8, 31), []), (date(2018, 9, 1), ["a1"]), (date(2040, 1, 1), ["a1"])]
)
def test_a_component_of_a_live_certificate_is_held_for_ever_from_the_award_on(at: date, held: list[str]) -> None:
    assert a(certificate(1, 1, "a1"), at=at)[0] == held


def test_a_component_of_a_revoked_certificate_or_of_one_for_blocs_is_not_held() -> None:
    assert a(certificate(1, 1, "a1"), revoked(certificate(1, 1, "a1"), 1)) == NOTHING
    blocs = certificate(1, 1, "a1", kind="BLOCS", family="BLOC")
    assert a(blocs) == NOTHING
    assert a(blocs, revoked(blocs, 1)) == NOTHING


def test_who_holds_every_source_bloc_of_a_partial_equivalence_has_its_target_as_equivalent() -> None:
    recognised = partial(1, ("cqpi-b", ("b1", "common")), ("cqpm-a", ("a1",)))
    one, other = validated(1, 1, 1, "b1", certification_id="cqpi-b"), validated(2, 1, 1, "common")
    assert a(recognised, one)[1] == []
    assert a(recognised, one, other) == (["common"], ["a1"], ["a2"])


def test_a_source_bloc_may_be_held_as_a_component() -> None:
    recognised = partial(1, ("cqpi-b", ("b1",)), ("cqpm-a", ("a1",)))
    assert a(recognised, certificate(1, 1, "b1"))[1] == ["a1"]


def test_a_bloc_held_is_not_equivalent_too() -> None:
    recognised = partial(1, ("cqpi-b", ("b1",)), ("cqpm-a", ("a1",)))
    facts = [recognised, validated(1, 1, 1, "b1", certification_id="cqpi-b"), validated(2, 1, 1, "a1")]
    assert a(*facts) == (["a1"], [], ["a2", "common"])


def test_what_an_equivalence_would_give_is_not_the_source_of_another() -> None:
    chain = [
        partial(1, ("cqpi-b", ("b1",)), ("cqpm-a", ("a1",))),
        partial(2, ("cqpm-a", ("a1",)), ("cqpm-a", ("a2",))),
    ]
    assert a(*chain, validated(1, 1, 1, "b1", certification_id="cqpi-b")) == ([], ["a1"], ["a2", "common"])


def test_a_total_equivalence_gives_the_whole_to_holders_of_a_live_certificate_of_its_source() -> None:
    recognised = total(1, "cqpi-b", "cqpm-a")
    held = certificate()
    assert a(recognised, held) == ([], ["a1", "a2", "common"], [])
    assert a(recognised, held, at=date(2018, 8, 31)) == NOTHING
    assert a(recognised, held, revoked(held, 1)) == NOTHING
    assert a(recognised, certificate(kind="BLOCS", family="BLOC")) == NOTHING
    assert a(recognised, certificate(certification_id="cqpm-a")) == NOTHING


@pytest.mark.parametrize(
    ("at", "equivalent"),
    [
        (date(2018, 12, 31), []),
        (date(2019, 1, 1), ["a1"]),
        (date(2019, 3, 31), ["a1"]),
        (date(2019, 4, 1), []),
    ],
)
def test_an_equivalence_counts_from_its_first_to_its_last_day(at: date, equivalent: list[str]) -> None:
    side = (("cqpi-b", ("b1",)), ("cqpm-a", ("a1",)))
    recognised = partial(1, *side, valid_from=date(2019, 1, 1), valid_until=date(2019, 3, 31))
    validation = validated(1, 1, 1, "b1", certification_id="cqpi-b")
    assert a(recognised, validation, at=at)[1] == equivalent
    unlimited = partial(1, *side, valid_from=date(2019, 1, 1))
    assert a(unlimited, repealed(1, date(2019, 4, 1)), validation, at=at)[1] == equivalent


def test_the_version_in_force_that_day_says_which_blocs() -> None:
    second = version("cqpi-b", 2, "b1", "b2", effective_from=DAY)
    assert now(second)["cqpi-b"] == {"version": 2, "held": [], "equivalent": [], "missing": ["b1", "b2"]}
    assert now(second, at=DAY - ONE)["cqpi-b"]["version"] == 1


def test_only_certifications_in_force_that_day_have_a_pathway() -> None:
    facts = [withdrawn("cqpi-b", DAY), version("cqpm-c", effective_from=DAY)]
    assert set(now(*facts)) == {"cqpm-a", "cqpm-c"}
    assert set(now(*facts, at=DAY - ONE)) == {"cqpm-a", "cqpi-b"}


@pytest.mark.parametrize("merged_at", range(5))
def test_merged_persons_hold_what_either_holds_under_both_ids(merged_at: int) -> None:
    validation, award = validated(1, 2, 2, "a2"), certificate(1, 2, "common")
    facts: list[Fact] = [validated(2, 1, 1, "a1"), validation, award, invalidated(validation, 2)]
    facts.insert(merged_at, merged(1, 2))
    assert a(*facts) == a(*facts, of=2) == (["a1", "common"], [], ["a2"])
    assert a(*facts, of=3) == NOTHING


def test_merges_may_follow_each_other() -> None:
    facts = [validated(1, 1, 1, "a1"), validated(2, 2, 2, "a2"), validated(3, 3, 3, "common")]
    for of in (1, 2, 3):
        assert a(*facts, merged(1, 2), merged(3, 1), of=of) == (["a1", "a2", "common"], [], [])


def test_before_a_merge_each_id_is_a_person_of_its_own() -> None:
    facts = [*CATALOGUE, *PERSONS, validated(1, 1, 1, "a1"), validated(2, 2, 2, "a2"), merged(1, 2)]
    assert read(facts, 2, DAY, as_of=len(facts))["cqpm-a"]["held"] == ["a1", "a2"]
    assert read(facts, 2, DAY, as_of=len(facts) - 1)["cqpm-a"]["held"] == ["a2"]


def test_nobody_is_known_before_registration() -> None:
    assert now(of=9) is None
    assert read([*CATALOGUE, *PERSONS], 1, DAY, as_of=len(CATALOGUE)) is None


def test_an_erasure_is_seen_among_a_persons_events() -> None:
    assert erased(events([person(1), merged(1, 2), erasure(1)]))
    assert not erased(events([person(1)]))


def naive(facts: Sequence[Fact], person_id: str, at: date) -> Any:
    """Section 3 of the contract and rule B3 in the plainest words; for catalogues without withdrawals and repeals."""
    names: dict[str, str] = {}
    for fact in facts:
        if isinstance(fact, PersonRegistered):
            names[fact.person_id] = fact.person_id
        if isinstance(fact, PersonsMerged):
            names = {id_: fact.kept_id if kept == fact.merged_id else kept for id_, kept in names.items()}
    if person_id not in names:
        return None

    def own(kind: type[Any]) -> Iterable[Any]:
        return [fact for fact in facts if isinstance(fact, kind) and names[fact.person_id] == names[person_id]]

    invalid = {fact.validation_id for fact in own(BlocInvalidated)}
    gone = {fact.certificate_number.lower() for fact in own(CertificateRevoked)}
    whole = [
        award
        for award in own(CertificateAwarded)
        if award.certificate_number.lower() not in gone and award.kind == "CERTIFICATION" and award.awarded_on <= at
    ]
    held = {
        v.bloc_id
        for v in own(BlocValidated)
        if v.validation_id not in invalid and v.validated_on <= at <= v.usable_until
    }
    held |= {component.bloc_id for award in whole for component in award.components}

    def gives(equivalence: EquivalenceRecognised, certification_id: str, bloc_id: str) -> bool:
        source, target = equivalence.source, equivalence.target
        if target.certification_id != certification_id or equivalence.valid_from > at:
            return False
        if equivalence.kind == "TOTAL":
            return source.certification_id in [award.certification_id for award in whole]
        return bloc_id in target.bloc_ids and all(id_ in held for id_ in source.bloc_ids)

    latest = {fact.certification_id: fact for fact in facts if isinstance(fact, CertificationPublished)}
    recognised = [fact for fact in facts if isinstance(fact, EquivalenceRecognised)]
    found = {}
    for id_, published in latest.items():
        blocs = [bloc.bloc_id for bloc in published.blocs]
        equivalent = [bloc for bloc in blocs if bloc not in held and any(gives(one, id_, bloc) for one in recognised)]
        found[id_] = {
            "version": published.version,
            "held": [bloc for bloc in blocs if bloc in held],
            "equivalent": equivalent,
            "missing": [bloc for bloc in blocs if bloc not in held and bloc not in equivalent],
        }
    return found


RECOGNISED: list[Fact] = [
    total(1, "cqpi-b", "cqpm-a", valid_from=date(2018, 6, 1)),
    partial(2, ("cqpm-a", ("a1", "a2")), ("cqpi-b", ("b1",))),
    partial(3, ("cqpi-b", ("common",)), ("cqpm-a", ("a2",))),
]


@for_any(
    histories, st.sampled_from((date(2018, 3, 2), date(2018, 12, 31), date(2019, 12, 2), date(2021, 6, 1))), st.data()
)
def test_any_history_gives_what_the_contract_says_in_words_as_of_any_position(
    history: list[Fact], at: date, data: st.DataObject
) -> None:
    facts = [*RECOGNISED, *history]
    then = data.draw(st.integers(0, len(facts)))
    for number in range(sum(isinstance(fact, PersonRegistered) for fact in facts)):
        assert read(facts, number, at, as_of=then) == naive(facts[:then], uid("person", number), at)
