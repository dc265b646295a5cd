"""What is known of the log, with what groups have decided on top of it: as a plain list of facts would have it."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from eventsourcing.dcb.domain import Selector, Slice
from eventsourcing.domain import event
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contracts.facts import Fact, ObjectiveSet
from services.log import boundary
from services.log.boundary import BITS, Boundary, Layer, Mark
from services.log.proposal import Placed

TAGS = "abcd"
FACT = ObjectiveSet(year=2030, beneficiaries=1)

Facts = list[tuple[int, tuple[str, ...]]]


class Positions(Slice[Fact]):
    """The positions of the facts with some tags."""

    kept = ("found",)

    def __init__(self, tags: Sequence[str]) -> None:
        self.tags = tags
        self.found: list[int] = []

    def consistency_boundary(self) -> Sequence[Selector]:
        return [Selector(types=(ObjectiveSet,), tags=(tag,)) for tag in self.tags]

    @event(ObjectiveSet)
    def _(self) -> None:
        self.found.append(self.last_known_position or 0)


@pytest.fixture(autouse=True, scope="module")
def _few_are_kept() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boundary, "KEPT_FROM", 2)
        yield


class Layers(RuleBasedStateMachine):
    """At most three groups at once: recorded in order, or all forgotten. Reads may see the first of them or not."""

    def __init__(self) -> None:
        super().__init__()
        self.boundary = Boundary()
        self.recorded: Facts = []
        self.groups: list[tuple[Layer, Facts]] = []
        self.mark: tuple[Mark, int] | None = None

    def facts(self) -> Facts:
        return [*self.recorded, *(fact for _, facts in self.groups for fact in facts)]

    @precondition(lambda self: len(self.groups) < 3)
    @rule()
    def begin(self) -> None:
        self.groups.append((self.boundary.begin(assuming=False), []))
        self.mark = None

    @precondition(lambda self: self.groups)
    @rule(tags=st.sets(st.sampled_from(TAGS), min_size=1))
    def add(self, tags: set[str]) -> None:
        fact = (len(self.facts()) + 1, tuple(sorted(tags)))
        self.boundary.add(fact[0], FACT, fact[1])
        self.groups[-1][1].append(fact)

    @precondition(lambda self: self.groups)
    @rule()
    def remember(self) -> None:
        self.mark = self.boundary.mark(), len(self.groups[-1][1])

    @precondition(lambda self: self.mark)
    @rule()
    def rewind(self) -> None:
        assert self.mark is not None
        self.boundary.rewind(self.mark[0])
        del self.groups[-1][1][self.mark[1] :]

    @precondition(lambda self: len(self.groups) > 1)
    @rule(facts_max=st.sampled_from([0, 5, 1000]))
    def the_first_is_recorded(self, facts_max: int) -> None:
        layer, facts = self.groups.pop(0)
        self.boundary.keep(layer, facts_max)
        self.recorded += facts

    @rule()
    def nothing_is_recorded(self) -> None:
        self.boundary.forget()
        assert all(layer.forgotten for layer, _ in self.groups)
        self.groups.clear()
        self.mark = None

    @rule(tag=st.sampled_from(TAGS), first_visible=st.booleans())
    def load(self, tag: str, *, first_visible: bool) -> None:
        seen = self.recorded + (self.groups[0][1] if len(self.groups) > 1 and first_visible else [])
        self.boundary.load({tag: BITS[ObjectiveSet]}, [(tag, Placed(at, FACT)) for at, tags in seen if tag in tags])

    @invariant()
    def what_is_known_is_right(self) -> None:
        for tags in (*TAGS, "ab", "bcd"):
            folded = self.boundary.fold(lambda tags=tags: Positions(tags))  # type: ignore[misc]
            if not folded.missing:
                found: Any = folded.slice
                assert found.found == [at for at, with_tags in self.facts() if set(tags) & set(with_tags)]


TestLayers = Layers.TestCase
TestLayers.settings = settings(max_examples=150, stateful_step_count=30)
