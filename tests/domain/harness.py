"""Given facts, when a command, then a fact or a refusal.

A decision is made as the log makes it: through a `Boundary` that grows, over the facts that their own tags lead to,
with the reference folded from the facts tagged `reference`. Members are compared in their wire form; None is absent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

import msgspec
from eventsourcing.dcb.domain import Slice, decorated_funcs

from contracts.boundaries import FIXED
from contracts.facts import Fact, Part
from contracts.facts.fact import REFERENCE
from contracts.problems import Problem
from contracts.refusals import Refusal
from services.log.boundary import BITS, Boundary, Wanted, wanted_by
from services.log.proposal import Placed
from services.registry.domain import DECISIONS
from services.registry.domain.certificates import CertificateToAward
from services.registry.domain.circumstances import Circumstances
from services.registry.domain.reference import Reference
from services.registry.limits import limited

F = TypeVar("F", bound=Fact)

TODAY = "2024-06-15"
FIRST_DAY = "2024-01-01"
"""The day of position 1, where a test says no other."""


@dataclass(frozen=True)
class Needed:
    """A fact that the decision must have read."""

    fact: Fact


needed = Needed


def given(*facts: Fact | Needed) -> "Given":
    """The facts of positions 1, 2, 3 …"""
    return Given(
        [fact.fact if isinstance(fact, Needed) else fact for fact in facts],
        {position for position, fact in enumerate(facts, 1) if isinstance(fact, Needed)},
    )


@dataclass(frozen=True)
class Given:
    facts: Sequence[Fact]
    needed: set[int]

    def when(self, command: Part, today: str = TODAY, first_day: str = FIRST_DAY) -> "Decided":
        """What is decided: the same, whether the facts are in the log or decided by the running group."""
        decided = decide(self.facts, command, today, first_day)
        in_group = decide(self.facts, command, today, first_day, in_log=0)
        assert decided.said() == in_group.said()
        for position in self.needed - decided.read:
            raise AssertionError(f"{decided.slice_name} does not read {self.facts[position - 1]}, at {position}")
        return decided


@dataclass(frozen=True)
class Decided:
    """A decision: a fact or a problem, what it asked for (tag and name of fact), what it read, in how many rounds."""

    command: Part
    slice_name: str
    outcome: Fact | Problem
    asked: frozenset[tuple[str, str]]
    read: frozenset[int]
    rounds: int

    def said(self) -> tuple[type, Any]:
        """The outcome, for comparison."""
        return type(self.outcome), _wire(self.outcome)

    def then(self, fact_type: type[F], **members: Any) -> F:
        """A fact of this type that says what the command said, and these members."""
        if isinstance(self.outcome, Problem):
            raise AssertionError(f"refused by {self.outcome.rule}: {self.outcome.detail}") from self.outcome
        assert type(self.outcome) is fact_type
        said = _wire(self.outcome)
        expected = _wire(self.command) | members
        assert {name: said.get(name) for name in expected} == expected
        assert msgspec.convert(said, fact_type) == self.outcome, "its form is the contract's"
        return self.outcome

    def then_exactly(self, fact: Fact) -> None:
        """This fact, member by member."""
        assert self.then(type(fact)) == fact

    def refused(self, refusal: type[Problem], rule: str | None, status: int, **values: Any) -> None:
        """A refusal of this class, by this rule, with these values among its own."""
        assert isinstance(self.outcome, Problem), f"recorded: {self.outcome}"
        assert (type(self.outcome), self.outcome.rule, self.outcome.status) == (refusal, rule, status)
        members = _wire(self.outcome)
        assert {name: members.get(name) for name in values} == values
        assert "None" not in self.outcome.detail
        if isinstance(self.outcome, Refusal):
            assert None not in members.values(), "a value that a refusal speaks of is known"


def decide(
    facts: Sequence[Fact],
    command: Part,
    today: str = TODAY,
    first_day: str = FIRST_DAY,
    *,
    in_log: int | None = None,
    preloaded: bool = False,
    organisers: frozenset[str] | None = None,
) -> Decided:
    """Decide a command on some facts.

    in_log: how many of them the log holds; the others are decided by the running group. All of them, as a rule.
    preloaded: whether all facts are at hand before the slice asks for any.
    organisers: those that the caller is limited to; None: it is not limited.
    """
    placed = list(enumerate(facts, 1))
    split = len(placed) if in_log is None else in_log
    log = placed[:split]
    boundary = Boundary()
    boundary.begin(assuming=False)
    for position, fact in placed[split:]:
        boundary.add(position, fact, fact.tags())
    if preloaded:
        everything = {tag: sum(BITS.values()) for _, fact in log for tag in fact.tags()}
        boundary.load(everything, _read(log, everything))
    reference = Reference().folded([(position, fact) for position, fact in placed if REFERENCE in fact.tags()])
    circumstances = Circumstances(date.fromisoformat(today), date.fromisoformat(first_day), reference)
    decision = DECISIONS[type(command)]

    def make() -> Slice[Fact]:
        made = decision(command, circumstances)
        return made if organisers is None else limited(made, command, organisers)

    rounds = 0
    while (folded := boundary.fold(make)).missing:
        boundary.load(folded.missing, _read(log, folded.missing))
        rounds += 1
    asked = {(tag, fact_type) for tag, bits in folded.wanted.items() for fact_type in _types(bits)}
    for _, fact_type in asked:
        assert (type(folded.slice), fact_type) in decorated_funcs, f"{decision} ignores {fact_type}"
    if getattr(decision, FIXED, False):
        assert wanted_by(folded.slice) == folded.wanted, f"the boundary of {decision} grows"
    return Decided(
        command=command.award if isinstance(command, CertificateToAward) else command,
        slice_name=decision.__name__,
        outcome=_outcome(folded.slice),
        asked=frozenset((tag, fact_type.name) for tag, fact_type in asked),
        read=frozenset(found.position for _, found in _read(placed, folded.wanted))
        | {position for position, fact in placed if REFERENCE in fact.tags()},
        rounds=rounds,
    )


def _types(bits: int) -> list[type[Fact]]:
    return [fact_type for fact_type, bit in BITS.items() if bit & bits]


def _read(placed: Sequence[tuple[int, Fact]], wanted: Wanted) -> list[tuple[str, Placed]]:
    """What the log answers: the facts of each tag that are of the types wanted of it, in order of position."""
    return [
        (tag, Placed(position, fact))
        for tag, bits in wanted.items()
        for position, fact in placed
        if tag in fact.tags() and BITS[type(fact)] & bits
    ]


def _wire(said: Part | Problem) -> dict[str, Any]:
    """The members of a fact, a command or a problem as JSON gives them."""
    members: dict[str, Any] = msgspec.json.decode(
        said.encode() if isinstance(said, Problem) else msgspec.json.encode(said)
    )
    return members


def _outcome(folded: Slice[Fact]) -> Fact | Problem:
    try:
        folded.execute()
    except Problem as problem:
        return problem
    (tagged,) = folded.collect_events()
    return tagged.decision
