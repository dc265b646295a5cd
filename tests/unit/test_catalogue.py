"""The public catalogue: what is in force on a day, what was known at a position, what a search finds."""

from datetime import date
from typing import Any

import msgspec
import pytest

from contracts.facts import Bloc, Fact, ObjectiveSet
from contracts.facts.catalogue import Competence, Fiche
from services.projections.catalogue.answer import certification_detail, certification_row, equivalence_row
from services.projections.catalogue.fold import Catalogue
from services.projections.catalogue.search import finds, plain, searched
from tests.unit.careers import events, uid
from tests.unit.catalogues import partial, repealed, total, version, withdrawn

DAY = date(2020, 6, 15)


def as_json(answer: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(answer))


def folded(*facts: Fact) -> Catalogue:
    return Catalogue().folded(events(facts))


def row(*facts: Fact, at: date = DAY) -> Any:
    """What is said of the first certification."""
    [certification, *_] = folded(*facts).certifications.values()
    return as_json(certification_row(certification, at))


def status(*facts: Fact, at: date = DAY) -> str:
    """The status of the equivalence."""
    [equivalence] = folded(*facts).equivalences.values()
    return equivalence.status(at)


@pytest.mark.parametrize(
    ("at", "number"),
    [
        (date(2013, 12, 31), None),
        (date(2014, 1, 1), 1),
        (date(2018, 12, 31), 1),
        (date(2019, 1, 1), 3),
        (date(2030, 1, 1), 3),
    ],
)
def test_the_highest_version_whose_first_day_has_come_is_in_force(at: date, number: int | None) -> None:
    """Two versions may come into force on the same day."""
    second = version("cqpm-a", 2, effective_from=date(2019, 1, 1))
    third = version("cqpm-a", 3, effective_from=date(2019, 1, 1))
    assert row(version("cqpm-a"), second, third, at=at)["version"] == number


def test_a_certification_yet_to_come_is_shown_as_its_first_version_says() -> None:
    shown = row(version("cqpm-a", title="Premier"), version("cqpm-a", 2, title="Second"), at=date(2013, 12, 31))
    assert (shown["status"], shown["version"], shown["title"]) == ("UPCOMING", None, "Premier")
    assert shown["effective_from"] == "2014-01-01"


@pytest.mark.parametrize(("at", "shown"), [(date(2020, 6, 14), "IN_FORCE"), (date(2020, 6, 15), "WITHDRAWN")])
def test_a_withdrawal_holds_from_its_first_day_and_is_shown_as_soon_as_known(at: date, shown: str) -> None:
    found = row(version("cqpm-a"), version("cqpm-b"), withdrawn("cqpm-a", date(2020, 6, 15), "cqpm-b"), at=at)
    assert (found["status"], found["version"]) == (shown, 1)
    assert found["withdrawal"] == {
        "effective_from": "2020-06-15",
        "reason": "REPLACED",
        "replaced_by": "cqpm-b",
        "position": 3,
    }


def test_what_is_not_known_is_absent() -> None:
    assert not {"mq_code", "level", "rncp", "decision_ref", "withdrawal"} & row(version("cqpm-a")).keys()


def test_one_certification_is_told_with_its_competences_and_all_versions() -> None:
    later = version("cqpm-a", 2, "b1", effective_from=date(2030, 1, 1), title="Later")
    [certification] = folded(version("cqpm-a", 1, "a1"), later).certifications.values()
    told = as_json(certification_detail(certification, DAY))
    assert told["blocs"] == [
        {"bloc_id": "a1", "title": "Bloc a1", "competences": [{"competence_id": "a1-x", "label": "X"}]}
    ]
    assert told["versions"] == [
        {"version": 1, "title": "cqpm-a", "effective_from": "2014-01-01", "position": 1},
        {"version": 2, "title": "Later", "effective_from": "2030-01-01", "position": 2},
    ]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (date(2018, 12, 31), "UPCOMING"),
        (date(2019, 1, 1), "IN_FORCE"),
        (date(2021, 12, 31), "IN_FORCE"),
        (date(2022, 1, 1), "EXPIRED"),
    ],
)
def test_the_first_and_the_last_day_of_an_equivalence_are_included(at: date, expected: str) -> None:
    equivalence = total(1, "cqpm-a", "cqpm-b", valid_from=date(2019, 1, 1), valid_until=date(2021, 12, 31))
    assert status(equivalence, at=at) == expected


@pytest.mark.parametrize(("at", "expected"), [(date(2020, 6, 14), "IN_FORCE"), (date(2020, 6, 15), "REPEALED")])
def test_a_repeal_holds_from_its_first_day(at: date, expected: str) -> None:
    assert status(total(1, "cqpm-a", "cqpm-b"), repealed(1, date(2020, 6, 15)), at=at) == expected


def test_an_equivalence_is_told_with_its_repeal() -> None:
    recognised = partial(1, ("cqpm-a", ("a1",)), ("cqpm-b", ("b1",)), decision_ref="CPREFP 1")
    [equivalence] = folded(recognised, repealed(1, date(2030, 1, 1))).equivalences.values()
    assert as_json(equivalence_row(equivalence, DAY)) == {
        "equivalence_id": uid("equivalence", 1),
        "status": "IN_FORCE",
        "kind": "PARTIAL",
        "source": {"certification_id": "cqpm-a", "bloc_ids": ["a1"]},
        "target": {"certification_id": "cqpm-b", "bloc_ids": ["b1"]},
        "valid_from": "2014-01-01",
        "decision_ref": "CPREFP 1",
        "repeal": {"effective_from": "2030-01-01", "position": 2},
        "position": 1,
    }


HISTORY: list[Fact] = [
    version("cqpm-b"),
    version("cqpm-a"),
    total(2, "cqpm-a", "cqpm-b"),
    version("cqpm-b", 2),
    total(1, "cqpm-b", "cqpm-a"),
    repealed(2, date(2020, 1, 1)),
    withdrawn("cqpm-b", date(2021, 1, 1)),
]


@pytest.mark.parametrize("position", range(len(HISTORY) + 1))
def test_what_was_known_at_a_position_is_what_the_facts_up_to_there_say(position: int) -> None:
    then, now = folded(*HISTORY[:position]), folded(*HISTORY).as_of(position)
    assert (now.certifications, now.equivalences) == (then.certifications, then.equivalences)


@pytest.mark.parametrize("border", range(len(HISTORY) + 1))
def test_facts_are_folded_in_any_portions_and_what_was_known_before_stays(border: int) -> None:
    before = folded(*HISTORY[:border])
    after = before.folded(events(HISTORY)[border:])
    assert after == folded(*HISTORY)
    assert before == folded(*HISTORY[:border])
    assert list(after.certifications) == ["cqpm-a", "cqpm-b"]
    assert list(after.equivalences) == sorted(after.equivalences)


def test_another_fact_is_refused_loudly() -> None:
    with pytest.raises(TypeError):
        folded(ObjectiveSet(year=2020, beneficiaries=1))


SOUGHT = version(
    "cqpm-2014-0300",
    title="Chargé d'intégration en robotique – mise en œuvre",
    mq_code="MQ 2014 03 67 0300",
    rome=("H1208",),
    rncp=Fiche(
        code="RNCP38622",
        registered_from=date(2020, 1, 1),
        registered_until=date(2024, 12, 31),
        bloc_codes={"soudage": "RNCP38622BC01"},
    ),
    blocs=(
        Bloc(
            bloc_id="soudage",
            title="Assembler par SOUDAGE",
            competences=(Competence(competence_id="c1", label="Lire"),),
        ),
    ),
)


@pytest.mark.parametrize(
    "q",
    [
        "",
        "  ",
        "chargé",
        "CHARGE",
        "charge\u0301",  # the accent as a character of its own
        "d’intégration",
        "robotique integration",
        "mise en oeuvre",
        "MISE EN ŒUVRE",
        "robot",
        "mq 2014 03 67 0300",
        "2014-03",
        "rncp38622",
        "38622bc01",
        "soudage assembler",
        "cqpm-2014-0300",
        "h1208",
    ],
)
def test_a_search_finds_words_and_their_parts_without_accents_or_case(q: str) -> None:
    assert finds(plain(q).split(), searched(SOUGHT))


@pytest.mark.parametrize("q", ["chaudronnier", "robotique chaudronnier", "rncp38623", "soudeur", "lire"])
def test_a_search_finds_nothing_else(q: str) -> None:
    assert not finds(plain(q).split(), searched(SOUGHT))
