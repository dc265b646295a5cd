"""Facts that the rules would have refused, honestly hashed and signed: deciding again finds each of them."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings

from contracts.envelope import decode
from contracts.facts import FACTS, Fact, ObjectiveSet, Part
from contracts.upcasters import UPCASTERS, Upcaster
from services.audit.findings import Finding
from services.audit.rules import MADE_BY_THE_REGISTRY, Rules, command_of
from services.audit.spool import Read, Spool
from tests.audit.history import DAY, EVERYTHING, Lived, Published, audited, check_of, decided, entries_of, found, stored
from tests.domain import world
from tests.domain.careers import Step, steps
from tests.domain.test_structure import usual_facts
from tests.domain.world import ANNA, BENO, REG_2, VAL_2, VAL_3, acquired, seat

BEGUN = decided([*world.CATALOGUE, *world.PERSONS], world.register())
"""Anna's registration to the welder's certification is open."""

AWARDED = decided(
    BEGUN,
    world.evaluate(),
    world.evaluate(evaluation_id=world.EVAL_2, bloc_id="read", outcomes=acquired("plans")),
    world.hold_jury(),
    world.validate(jury_id=world.JURY_1, validated_on="2024-04-01"),
    world.validate(validation_id=VAL_2, bloc_id="read"),
    world.award(),
)
"""She has been awarded its certificate."""


def judged(entries: list[bytes], *, a_bundle: int = 256) -> list[Finding]:
    """What the rules say against a log, read in bundles of so many entries."""
    spool = Spool()
    rules, findings = Rules(spool), list[Finding]()
    for first in range(0, len(entries), a_bundle):
        events = [Read(decode(e), e, at) for at, e in enumerate(entries[first : first + a_bundle], first + 1)]
        for event, _, position in events:
            findings += rules.judge(position, event)
        spool.add(events)
        rules.keep()
    spool.close()
    return findings


@settings(max_examples=15)
@given(steps())
def test_whatever_the_rules_allowed_is_allowed_again(tried: list[Step]) -> None:
    entries = Lived(tried).entries()
    assert judged(entries) == judged(entries, a_bundle=1) == []


def test_nearly_all_that_can_happen_is_allowed_again(tmp_path: Path) -> None:
    lived = Lived(EVERYTHING)
    assert len({fact.name for fact in lived.facts}) >= 15
    report = audited(Published(tmp_path / "log", lived.entries()).folder, entries=True)
    assert (report.verdict, found(report)) == ("HELD", [])


def test_things_whose_tags_are_kept_alike_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.audit.spool.hash", len, raising=False)
    entries = Lived(EVERYTHING).entries()
    assert judged(entries, a_bundle=1) == []


def test_every_fact_has_a_command() -> None:
    for fact in usual_facts().values():
        command_of(fact)
    assert {fact for fact in FACTS.values() if fact.posted is None} == MADE_BY_THE_REGISTRY.keys()


REFUSED: list[tuple[str, list[Fact], Fact]] = [
    ("C1", BEGUN, world.published(version=3)),
    ("C2", BEGUN, world.published(certification_id="cqpm-empty", blocs=[])),
    ("C5", BEGUN, world.published(version=2, blocs=[world.bloc("weld", "cut")])),
    ("C8", BEGUN, world.withdrawn(certification_id="cqpm-nowhere")),
    ("E3", BEGUN, world.recognised(source={"certification_id": "cqpm-fitter", "bloc_ids": ["weld"]})),
    ("E4", BEGUN, world.repealed()),
    ("P1", BEGUN, world.person_registered()),
    ("P1", BEGUN, world.registered(registration_id=REG_2, person_id=world.uid("nobody"))),
    ("M1", BEGUN, world.merged(merged_id=ANNA)),
    ("M2", BEGUN, world.erased()),
    ("R1", BEGUN, world.registered(registration_id=REG_2, person_id=BENO, version=2)),
    ("R3", BEGUN, world.registered(registration_id=REG_2, person_id=BENO, target="BLOCS", family="BLOC")),
    ("R6", BEGUN, world.registered(registration_id=REG_2)),
    ("R7", AWARDED, world.registered(registration_id=REG_2)),
    ("R9", BEGUN, world.registered(person_id=BENO)),
    ("R10", BEGUN, world.registered(registration_id=REG_2, person_id=BENO, registered_on="2024-06-16")),
    ("K1", AWARDED, world.closed()),
    ("K2", BEGUN, world.reopened()),
    ("T1", BEGUN, world.closed(closed_on="2024-01-09")),
    ("V1", AWARDED, world.evaluated(evaluation_id=world.EVAL_3)),
    ("V3", BEGUN, world.evaluated(outcomes=acquired("plans"))),
    ("V4", BEGUN, world.evaluated(evaluated_on="2024-06-16")),
    ("V5", BEGUN, world.corrected()),
    ("J1", BEGUN, world.jury_held(seats=[seat("employer-1", "EMPLOYEURS")])),
    ("J2", BEGUN, world.jury_held(invited_on="2024-03-18")),
    ("J3", AWARDED, world.jury_held()),
    ("B1", AWARDED, world.validated(validation_id=VAL_3)),
    ("B2", BEGUN, world.validated()),
    ("B3", BEGUN, world.validated(basis="EQUIVALENCE", equivalence_id=world.EQUI_1)),
    ("B4", BEGUN, world.validated(basis="CARRIED_OVER", source_validation_id=VAL_2)),
    ("B9", BEGUN, world.validated(basis="ARCHIVE")),
    ("B8", AWARDED, world.invalidated()),
    ("A2", BEGUN, world.awarded()),
    ("A5", BEGUN, world.revoked()),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "before", "fact"), REFUSED, ids=[f"{rule}-{f.name}" for rule, _, f in REFUSED])
def test_a_fact_that_a_rule_refuses_is_found(tmp_path: Path, rule: str, before: list[Fact], fact: Fact) -> None:
    position = len(before) + 1
    report = audited(Published(tmp_path / "log", entries_of([*before, fact])).folder, entries=True)
    assert found(report) == [("rules", "rule-broken", position)], "hashes and form are honest"
    (finding,) = check_of(report, "rules").findings
    assert finding.rule == rule
    assert finding.values["today"] == DAY.isoformat()


WRONG: list[tuple[str, list[Fact], Fact]] = [
    ("family", BEGUN, world.registered(registration_id=REG_2, person_id=BENO, family="CQPI")),
    ("reporting_status", BEGUN, world.registered(registration_id=REG_2, person_id=BENO, reporting_status="AUTRE")),
    ("person_id", BEGUN, world.closed(person_id=BENO)),
    ("certification_id", BEGUN, world.evaluated(certification_id="cqpm-fitter")),
    ("usable_until", AWARDED[:9], world.validated(usable_until="2036-03-15")),
]  # fmt: skip
AWARD = AWARDED[-1]
WRONG += [
    (member, AWARDED[:-1], msgspec.structs.replace(AWARD, **{member: value}))
    for member, value in {
        "title": "Master welder", "level": 8, "kind": "BLOCS", "rncp_code": "RNCP1", "branch": "elsewhere",
        "components": AWARD.components[:1],  # type: ignore[attr-defined]
    }.items()
]  # fmt: skip


@pytest.mark.parametrize(("member", "before", "fact"), WRONG, ids=[f"{member}-{f.name}" for member, _, f in WRONG])
def test_a_member_that_the_registry_added_wrongly_is_found(
    tmp_path: Path, member: str, before: list[Fact], fact: Fact
) -> None:
    report = audited(Published(tmp_path / "log", entries_of([*before, fact])).folder, entries=True)
    assert found(report) == [("rules", "member-wrong", len(before) + 1)]
    (finding,) = check_of(report, "rules").findings
    assert finding.values["member"] == member
    assert finding.values["recorded"] != finding.values.get("derived")


def test_a_fact_is_judged_by_the_paris_day_on_which_it_was_recorded() -> None:
    later = world.registered(registration_id=REG_2, person_id=BENO, registered_on="2024-06-16")
    entries = entries_of(BEGUN)
    place = len(entries) + 1
    assert judged([*entries, stored(later, place, DAY + timedelta(days=1))]) == []
    assert [finding.rule for finding in judged([*entries, stored(later, place, DAY)])] == ["R10"]


def test_what_follows_from_a_broken_rule_says_so() -> None:
    unknown = world.registered(version=7)
    before = decided([*world.CATALOGUE, *world.PERSONS])
    findings = judged(entries_of([*before, unknown, world.evaluated()]))
    first, second = findings
    assert (first.rule, first.values.get("may_follow_from")) == ("R1", None)
    assert second.what == "undecidable"
    assert second.values["may_follow_from"] == len(before) + 1


def test_what_was_refused_happened_all_the_same() -> None:
    """A second closing is refused whether or not the first one should have been."""
    findings = judged(entries_of([*BEGUN, world.closed(closed_on="2024-01-09"), world.closed()]))
    assert [finding.rule for finding in findings] == ["T1", "K1"]


class ObjectiveAtFirst(Part, frozen=True, kw_only=True):
    """An older version of objective.set, as a later release would keep it."""

    year: int
    goal: int


def test_an_older_version_is_looked_at_as_it_was_and_decided_as_what_it_is_lifted_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lift(first: ObjectiveAtFirst) -> ObjectiveSet:
        return ObjectiveSet(year=first.year, beneficiaries=first.goal)

    monkeypatch.setitem(UPCASTERS, "certibranche.objective.set.v0", Upcaster(ObjectiveAtFirst, lift))
    today = stored(ObjectiveSet(year=2024, beneficiaries=30), 1)
    older = today.replace(b'"beneficiaries":30', b'"goal":30').replace(b"set.v1", b"set.v0")
    log = Published(tmp_path / "log", [older])
    assert (audited(log.folder, entries=True).verdict, decode(older).data) == ("HELD", decode(today).data)
    log.begin([older.replace(b'"goal":30', b'"goal":30,"hue":1')])
    assert found(audited(log.folder, entries=True)) == [("form", "not-an-event", 1)]
