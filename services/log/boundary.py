"""What decisions read: the facts of tags, of some types, complete up to the head the transaction has seen.

A slice's boundary may grow with what it has folded (evaluation → registration → person). So a fresh slice is folded
again until its boundary stops growing; what is missing on the way is read for the whole group in one statement.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
from eventsourcing.dcb.domain import Selector, Slice

from contracts.boundaries import FIXED, KEPT, Unused
from contracts.facts import FACTS, Fact
from contracts.problems import Problem
from services.log.proposal import BUGS, Placed

Make = Callable[[], Slice[Fact]]

Wanted = dict[str, int]
"""The types wanted of each tag, as the sum of their bits."""


BITS: dict[type[Fact], int] = {fact_type: 1 << index for index, fact_type in enumerate(FACTS.values(), 1)}
"""One bit for each type of fact, of this process alone."""

UNUSED = 1
"""The bit beside them: the tag should not have been used yet."""

EVERY = -1
"""All bits there may be."""

DROPPED_AT_ONCE = 5_000
"""Tags that leave the boundary when there are too many: so few that nobody has to wait for it."""

KEPT_FROM = 8
"""What so many facts of a tag or more make is kept: fewer are soon folded again."""

_position = attrgetter("position")


class Folded(msgspec.Struct, frozen=True):
    """A slice that has folded the boundary it wants; or nothing yet, where some of that is missing."""

    slice: Slice[Fact]
    wanted: Wanted
    missing: Wanted


@cache
def _bit(fact_type: type[Fact]) -> int:
    """The bit of a type, or of the subclass that facts of the log have."""
    return BITS[FACTS[fact_type.type_name()]]


class _Types(dict[type[Fact], bool]):
    """Whether a type is among those of some bits."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self._bits = bits

    def __missing__(self, fact_type: type[Fact]) -> bool:
        self[fact_type] = chosen = bool(_bit(fact_type) & self._bits)
        return chosen


_types = cache(_Types)


@cache
def _bits(types: tuple[type[Fact], ...]) -> int:
    assert types, "a boundary names its types"
    return sum(BITS[fact_type] for fact_type in types)


def wanted_by(folded: Slice[Fact]) -> Wanted:
    """The consistency boundary of a slice. Each of its selectors names one tag and at least one type."""
    boundary = folded.consistency_boundary()
    wanted: Wanted = {}
    for selector in (boundary,) if isinstance(boundary, Selector) else boundary:
        (tag,) = selector.tags
        bits = _bits(tuple(selector.types))
        wanted[tag] = wanted.get(tag, 0) | (bits | UNUSED if isinstance(selector, Unused) else bits)
    return wanted


class Kept(NamedTuple):
    """What so many facts of a thing, as far as they have these bits, have made in a slice of this type."""

    slice_type: type[Slice[Fact]]
    bits: int
    facts: int
    members: tuple[Any, ...]


class Thing(msgspec.Struct, gc=False):
    """What is known of that which has a tag. Refers to nothing that refers back (`Placed`).

    read: the types of which all facts are known, none as long as nothing was read. facts: in order. pending: how many
    of them, the last ones, are not known to be recorded. used: anew since it was last looked for things to drop.
    """

    tag: str
    read: int = 0
    facts: list[Placed] = msgspec.field(default_factory=list)
    pending: int = 0
    kept: Kept | None = None
    used: bool = False


@dataclass(slots=True, eq=False)
class Layer:
    """What one group has decided and assumed, as long as that is not known to be recorded.

    journal: the things that its facts are about, in order. touched: the tags of its facts, and of those that were
    forgotten again. assumed: tags taken to be unused. forgotten: it is no longer a part of the boundary.
    """

    journal: list[Thing] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    assumed: list[str] = field(default_factory=list)
    forgotten: bool = False


class Mark(NamedTuple):
    """How much there was: facts by their tags, and tags taken to be unused."""

    facts: int
    assumed: int


class Boundary:
    """The facts read so far and, behind them, in layers, those that groups have decided.

    Kept from group to group while no other writer appends: what was read then still is all there is. The last layer is
    that of the group which is being decided; those below it are being put.

    assuming: whether tags that should not have been used yet are taken to be so.
    """

    def __init__(self) -> None:
        self.assuming = False
        self._things: dict[str, Thing] = {}
        self._layers: list[Layer] = []
        self._size = 0
        self._reads = 0
        self._unread: list[Thing] = []

    def begin(self, *, assuming: bool) -> Layer:
        """A layer for the next group to be decided. A group that comes to nothing need not give it back."""
        self.assuming = assuming
        self._layers.append(Layer())
        return self._layers[-1]

    def fold(self, make: Make, begun: Folded | None = None) -> Folded:
        """A slice with its boundary folded as far as it is loaded.

        begun: an earlier answer for the same command, in the same circumstances, that missed something.
        """
        folded, wanted = (begun.slice, begun.wanted) if begun else (make(), None)
        wanted = wanted_by(folded) if wanted is None else wanted
        while True:
            known, missing = self._known(wanted)
            if missing or not self._replay(folded, known) or getattr(folded, FIXED, False):
                return Folded(folded, wanted, missing)
            grown = wanted_by(folded)
            if grown == wanted:
                return Folded(folded, wanted, missing)
            folded, wanted = make(), grown

    def _known(self, wanted: Wanted) -> tuple[list[tuple[Thing, int]], Wanted]:
        """The things that have facts, with the types wanted of each; and what is missing."""
        known: list[tuple[Thing, int]] = []
        missing: Wanted = {}
        for tag, bits in wanted.items():
            thing = self._things.get(tag)
            if thing is None or bits & ~(thing.read | UNUSED):
                if self.assuming and bits & UNUSED and (thing is None or not thing.read):
                    thing = self._assumed(tag)
                else:
                    missing[tag] = bits
                    continue
            if thing.facts:
                known.append((thing, bits))
        return known, missing

    def _assumed(self, tag: str) -> Thing:
        """The thing that has this tag, taken to be unused."""
        thing = self._thing(tag)
        thing.read = EVERY
        self._layers[-1].assumed.append(tag)
        return thing

    def _thing(self, tag: str) -> Thing:
        thing = self._things.get(tag)
        if thing is None:
            thing = self._things[tag] = Thing(tag)
        return thing

    def _replay(self, folded: Slice[Fact], known: list[tuple[Thing, int]]) -> bool:
        """Let the slice fold the facts it wants, in order; whether there were any."""
        if len(known) == 1:
            return self._replay_one(folded, *known[0])
        found = {
            placed.position: placed.fact
            for thing, bits in known
            for placed in thing.facts
            if _types(bits)[type(placed.fact)]
        }
        for position in sorted(found):
            folded.last_known_position = position
            found[position].fold_into(folded)
        return bool(found)

    def _replay_one(self, folded: Slice[Fact], thing: Thing, bits: int) -> bool:
        """As `_replay`, for the facts of one thing: from where a slice like this one came to, if that was kept."""
        facts, after = thing.facts, 0
        names: tuple[str, ...] = getattr(folded, KEPT, ())
        if names and (kept := thing.kept) is not None and kept[:2] == (type(folded), bits):
            after = kept.facts
            for name, member in zip(names, kept.members, strict=True):
                setattr(folded, name, member)
        types, any_ = _types(bits), after > 0
        for placed in facts[after:] if after else facts:
            if types[type(placed.fact)]:
                any_ = True
                folded.last_known_position = placed.position
                placed.fact.fold_into(folded)
        if names and len(facts) >= KEPT_FROM:
            self._drop_kept(thing)
            thing.kept = Kept(type(folded), bits, len(facts), tuple(getattr(folded, name) for name in names))
            self._size += len(facts)
        return any_

    def _drop_kept(self, thing: Thing) -> None:
        if thing.kept is not None:
            self._size -= thing.kept.facts
            thing.kept = None

    def prefetch(self, makes: Mapping[int, Make], begun: dict[int, Folded]) -> Wanted:
        """Fold all that can be folded, into `begun`, and say what is missing. What cannot be made, its turn tells."""
        missing: Wanted = {}
        for name, make in makes.items():
            early = begun.get(name)
            if early is not None and not early.missing:
                continue
            try:
                begun[name] = early = self.fold(make, early)
            except (Problem, *BUGS):
                continue
            for tag, bits in early.missing.items():
                missing[tag] = missing.get(tag, 0) | bits
        return missing

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While the log is read nothing is dropped that may be recorded too late to be among what is found."""
        self._reads += 1
        try:
            yield
        finally:
            self._reads -= 1
            unread, self._unread = self._unread, []
            for thing in unread:
                if self._things.get(thing.tag) is thing:
                    self._drop_unread(thing)

    def load(self, wanted: Wanted, read: Iterable[tuple[str, Placed]]) -> None:
        """Take in what was read of the log: all facts of these tags and types, in order of position for each tag."""
        found: dict[str, list[Placed]] = {}
        for tag, placed in read:
            found.setdefault(tag, []).append(placed)
        for tag, bits in wanted.items():
            thing = self._thing(tag)
            thing.used = thing.read != 0
            thing.read |= bits | UNUSED
            self._drop_kept(thing)
            facts = found.get(tag, [])
            if before := thing.facts:  # of other types, or decided by the group: some may be read anew
                facts = sorted({placed.position: placed for placed in before + facts}.values(), key=_position)
            thing.facts = facts
            self._size += len(facts) - len(before)

    def add(self, position: int, fact: Fact, tags: Sequence[str]) -> None:
        """A fact that the group has decided: those after it see it."""
        layer, placed = self._layers[-1], Placed(position, fact)
        for tag in tags:
            thing = self._thing(tag)
            thing.used = bool(thing.facts)
            thing.facts.append(placed)
            thing.pending += 1
            layer.journal.append(thing)
        layer.touched.update(tags)
        self._size += len(tags)

    def touched(self, wanted: Wanted) -> bool:
        """Whether the group has decided a fact with one of these tags, be it one that was forgotten again."""
        return not self._layers[-1].touched.isdisjoint(wanted)

    def mark(self) -> Mark:
        """A point to which `rewind` can return."""
        return Mark(len(self._layers[-1].journal), len(self._layers[-1].assumed))

    def rewind(self, mark: Mark) -> None:
        """Forget what the group has decided and assumed since the mark."""
        layer = self._layers[-1]
        while len(layer.journal) > mark.facts:
            thing = layer.journal.pop()
            thing.facts.pop()
            thing.pending -= 1
            self._size -= 1
            self._drop_kept(thing)
            self._drop_unread(thing)
        for tag in layer.assumed[mark.assumed :]:
            if (assumed := self._things.get(tag)) is not None:
                assumed.read = 0
                self._drop_unread(assumed)
        del layer.assumed[mark.assumed :]

    def forget(self) -> None:
        """Nothing was written: of what the groups have decided or assumed nothing is so."""
        while self._layers:
            self.rewind(Mark(0, 0))
            self._layers.pop().forgotten = True

    def keep(self, recorded: Layer, facts_max: int) -> None:
        """This group is recorded: keep what is known whole, up to about so many facts, of the tags used last."""
        ended = self._layers.index(recorded) + 1
        for layer in self._layers[:ended]:
            for thing in layer.journal:
                thing.pending -= 1
                self._drop_unread(thing)
        del self._layers[:ended]
        if self._size + len(self._things) > facts_max and not self._reads:
            self._drop_some()

    def _drop_some(self) -> None:
        """Of the things that have been known longest drop those not used anew: those have another turn, as the last."""
        for thing in list(islice(self._things.values(), DROPPED_AT_ONCE)):
            if thing.used or thing.pending:
                thing.used = False
                self._things[thing.tag] = self._things.pop(thing.tag)
            else:
                self._drop(thing)

    def _drop_unread(self, thing: Thing) -> None:
        """Facts are not kept where those before them were never read, once all are recorded."""
        if thing.read or thing.pending:
            return
        if self._reads:
            self._unread.append(thing)
        else:
            self._drop(thing)

    def _drop(self, thing: Thing) -> None:
        self._drop_kept(thing)
        self._size -= len(thing.facts)
        del self._things[thing.tag]
