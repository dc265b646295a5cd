"""Who is limited to some organisers posts about their registrations, and about no others."""

from collections.abc import Sequence

import msgspec
import pytest

from contracts.facts import CandidateRegistered, Fact, Part
from contracts.problems import OrganiserNotAllowed
from services.registry.domain import DECISIONS
from services.registry.domain.persons import PersonsToMerge, PersonToErase, PersonToRectify, PersonToRegister
from services.registry.limits import NAMING, OF_A_REGISTRATION, refuse_other_organisers
from tests.domain.harness import decide
from tests.domain.test_boundaries import ROWS, Row
from tests.domain.world import (
    OPEN,
    REG_1,
    WORLD,
    close,
    correct,
    hold_jury,
    invalidate,
    publish,
    recognise,
    register,
    registered,
    repeal,
    revoke,
    set_objective,
    withdraw,
)

OURS, THEIRS = "afpi-lyon", "uimm-grenoble"
ABOUT_A_REGISTRATION = [row for row in ROWS if isinstance(row.command, OF_A_REGISTRATION)]

each_row = pytest.mark.parametrize("row", ABOUT_A_REGISTRATION, ids=lambda row: row.name)


def organised(facts: Sequence[Fact], organiser: str | None) -> list[Fact]:
    """The facts, with an organiser for the registration that commands are about; all others are somebody else's."""

    def with_organiser(fact: Fact) -> Fact:
        if not isinstance(fact, CandidateRegistered):
            return fact
        own = fact.registration_id == REG_1
        given = organiser if own else THEIRS if organiser == OURS else OURS
        return msgspec.structs.replace(fact, **({} if given is None else {"organiser": given}))

    return [with_organiser(fact) for fact in facts]


def test_every_command_about_a_registration_is_tried_here() -> None:
    assert {type(row.command) for row in ABOUT_A_REGISTRATION} == set(OF_A_REGISTRATION)
    persons = {PersonToRegister, PersonToRectify, PersonsToMerge, PersonToErase}  # the vault's, which nobody posts
    of_the_branch = {type(made()) for made in (publish, withdraw, recognise, repeal, set_objective)}
    assert set(DECISIONS) == {*NAMING, *OF_A_REGISTRATION} | of_the_branch | persons


@each_row
@pytest.mark.parametrize("in_log", [None, 0], ids=["in the log", "in the group"])
def test_what_is_about_ones_own_registration_is_decided_as_for_anybody(row: Row, in_log: int | None) -> None:
    facts = organised(row.facts, OURS)
    limited = decide(facts, row.command, in_log=in_log, organisers=frozenset({OURS, "another"}))
    assert limited.said() == decide(facts, row.command, in_log=in_log).said()
    assert isinstance(limited.outcome, Fact)


@each_row
@pytest.mark.parametrize("organiser", [THEIRS, None, OURS.upper(), OURS + "x", OURS[:-1]])
def test_what_is_about_another_organisers_registration_is_refused(row: Row, organiser: str | None) -> None:
    for in_log in (None, 0):
        decided = decide(organised(row.facts, organiser), row.command, in_log=in_log, organisers=frozenset({OURS}))
        decided.refused(OrganiserNotAllowed, None, 403, registration_id=REG_1)


@each_row
def test_the_limit_goes_before_the_rules(row: Row) -> None:
    """Whoever may not post about a registration learns nothing of the state it is in."""
    facts = [*organised(row.facts, THEIRS)]
    once = decide(facts, row.command).outcome
    assert isinstance(once, Fact)
    decide([*facts, once], row.command, organisers=frozenset({OURS})).refused(OrganiserNotAllowed, None, 403)


@pytest.mark.parametrize(
    "command", [close(), correct(), invalidate(), revoke()], ids=lambda command: type(command).__name__
)
def test_what_is_about_nothing_known_is_refused_by_its_own_rule(command: Part) -> None:
    limited = decide(WORLD, command, organisers=frozenset({OURS}))
    assert limited.said() == decide(WORLD, command).said()


def test_no_organiser_at_all_may_post_nothing() -> None:
    decide(organised(OPEN, OURS), close(), organisers=frozenset()).refused(OrganiserNotAllowed, None, 403)


@pytest.mark.parametrize("command", [register(organiser=OURS), hold_jury(organiser=OURS)])
def test_a_fact_that_names_its_organiser_names_ones_own(command: Part) -> None:
    refuse_other_organisers(command, frozenset({OURS}))


@pytest.mark.parametrize(
    "command",
    [
        *(register(organiser=THEIRS), register(), hold_jury(organiser=THEIRS)),
        *(publish(), withdraw(), recognise(), repeal(), set_objective()),
    ],
    ids=lambda command: type(command).__name__,
)
def test_facts_of_other_organisers_and_of_the_branch_are_refused(command: Part) -> None:
    with pytest.raises(OrganiserNotAllowed):
        refuse_other_organisers(command, frozenset({OURS}))


def test_a_registration_is_looked_at_by_its_own_inscription_only() -> None:
    """Another registration of the same person, which is ours, opens nothing."""
    facts = [*WORLD, registered(organiser=THEIRS), registered(registration_id=register().person_id, organiser=OURS)]
    decide(facts, close(), organisers=frozenset({OURS})).refused(OrganiserNotAllowed, None, 403)
