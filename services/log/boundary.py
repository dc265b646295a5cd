"""What decisions read: the facts of tags, of some types, complete up to the head the transaction has seen.

A slice's boundary may grow with what it has folded (evaluation → registration → person). So a fresh slice is folded
again until its boundary stops growing; what is missing on the way is read for the whole group in one statement.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple

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


class Folded(NamedTuple):
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
        wanted[tag] = wanted.get(tag, 0) | _bits(tuple(selector.types))
        if isinstance(selector, Unused):
            wanted[tag] |= UNUSED
    return wanted


@dataclass(slots=True, eq=False)
class Layer:
    """What one group has decided and assumed, as long as that is not known to be recorded.

    journal: the tags of its facts, in order. touched: how many facts of each. assumed: tags taken to be unused.
    forgotten: it is no longer a part of the boundary.
    """

    journal: list[str] = field(default_factory=list)
    touched: dict[str, int] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)
    forgotten: bool = False


class Kept(NamedTuple):
    """What so many facts of a tag, as far as they have these bits, have made in a slice of this type."""

    slice_type: type[Slice[Fact]]
    bits: int
    facts: int
    members: tuple[Any, ...]


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
        self._read: Wanted = {}
        self._facts: dict[str, list[Placed]] = {}
        self._kept: dict[str, Kept] = {}
        self._layers: list[Layer] = []
        self._size = 0

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
            missing = {tag: bits for tag, bits in wanted.items() if bits & ~self._read.get(tag, UNUSED)}
            if self.assuming and missing:
                missing = self._not_assumed(missing)
            if missing or not self._replay(folded, wanted) or getattr(folded, FIXED, False):
                return Folded(folded, wanted, missing)
            grown = wanted_by(folded)
            if grown == wanted:
                return Folded(folded, wanted, missing)
            folded, wanted = make(), grown

    def _not_assumed(self, missing: Wanted) -> Wanted:
        """What is missing still when all that should be unused is."""
        assumed = [tag for tag, bits in missing.items() if bits & UNUSED and tag not in self._read]
        self._read.update(dict.fromkeys(assumed, EVERY))
        self._layers[-1].assumed += assumed
        return {tag: bits for tag, bits in missing.items() if tag not in assumed}

    def _replay(self, folded: Slice[Fact], wanted: Wanted) -> bool:
        """Let the slice fold the facts it wants, in order; whether there were any."""
        known = [(tag, facts) for tag in wanted if (facts := self._facts.get(tag))]
        if len(known) == 1:
            ((tag, facts),) = known
            return self._replay_one(folded, tag, facts, wanted[tag])
        found = {
            placed.position: placed.fact
            for tag, facts in known
            for placed in facts
            if _types(wanted[tag])[type(placed.fact)]
        }
        for position in sorted(found):
            folded.last_known_position = position
            found[position].mutate(folded)
        return bool(found)

    def _replay_one(self, folded: Slice[Fact], tag: str, facts: list[Placed], bits: int) -> bool:
        """As `_replay`, for the facts of one tag: from where a slice like this one came to, if that was kept."""
        names: tuple[str, ...] = getattr(folded, KEPT, ())
        kept = self._kept.get(tag) if names else None
        if kept is None or kept[:2] != (type(folded), bits):
            kept = Kept(type(folded), bits, 0, ())
        for name, member in zip(names, kept.members, strict=False):
            setattr(folded, name, member)
        types, any_ = _types(bits), kept.facts > 0
        for placed in facts[kept.facts :] if kept.facts else facts:
            if types[type(placed.fact)]:
                any_ = True
                folded.last_known_position = placed.position
                placed.fact.mutate(folded)
        if names and len(facts) >= KEPT_FROM:
            self._drop_kept(tag)
            self._kept[tag] = kept._replace(facts=len(facts), members=tuple(getattr(folded, name) for name in names))
            self._size += len(facts)
        return any_

    def _drop_kept(self, tag: str) -> None:
        if (kept := self._kept.pop(tag, None)) is not None:
            self._size -= kept.facts

    def prefetch(self, makes: Mapping[int, Make], begun: dict[int, Folded]) -> Wanted:
        """Fold all that can be folded, into `begun`, and say what is missing. What cannot be made, its turn tells."""
        missing: Wanted = {}
        for name, make in makes.items():
            if name in begun and not begun[name].missing:
                continue
            try:
                begun[name] = self.fold(make, begun.get(name))
            except (Problem, *BUGS):
                continue
            for tag, bits in begun[name].missing.items():
                missing[tag] = missing.get(tag, 0) | bits
        return missing

    def load(self, wanted: Wanted, read: Iterable[tuple[str, Placed]]) -> None:
        """Take in what was read of the log: all facts of these tags and types, in order of position for each tag."""
        found: dict[str, list[Placed]] = {}
        for tag, placed in read:
            found.setdefault(tag, []).append(placed)
        for tag, bits in wanted.items():
            self._read[tag] = self._read.pop(tag, UNUSED) | bits
            facts = found.get(tag, [])
            self._drop_kept(tag)
            if before := self._facts.pop(tag, None):  # of other types, or decided by the group: some may be read anew
                self._size -= len(before)
                facts = sorted({placed.position: placed for placed in before + facts}.values(), key=_position)
            if facts:
                self._facts[tag] = facts
                self._size += len(facts)

    def add(self, position: int, fact: Fact, tags: Sequence[str]) -> None:
        """A fact that the group has decided: those after it see it."""
        layer, placed = self._layers[-1], Placed(position, fact)
        for tag in tags:
            self._facts.setdefault(tag, []).append(placed)
            layer.touched[tag] = layer.touched.get(tag, 0) + 1
        layer.journal.extend(tags)
        self._size += len(tags)

    def touched(self, wanted: Wanted) -> bool:
        """Whether the group has decided a fact with one of these tags, be it one that was forgotten again."""
        return not self._layers[-1].touched.keys().isdisjoint(wanted)

    def mark(self) -> Mark:
        """A point to which `rewind` can return."""
        return Mark(len(self._layers[-1].journal), len(self._layers[-1].assumed))

    def rewind(self, mark: Mark) -> None:
        """Forget what the group has decided and assumed since the mark."""
        layer = self._layers[-1]
        while len(layer.journal) > mark.facts:
            tag = layer.journal.pop()
            self._facts[tag].pop()
            self._drop_kept(tag)
            layer.touched[tag] -= 1
            self._size -= 1
        for tag in layer.assumed[mark.assumed :]:
            self._read.pop(tag, None)
        del layer.assumed[mark.assumed :]

    def forget(self) -> None:
        """Nothing was written: of what the groups have decided or assumed nothing is so."""
        while self._layers:
            self.rewind(Mark(0, 0))
            layer = self._layers.pop()
            layer.forgotten = True
            self._drop_unread(layer.touched)

    def keep(self, recorded: Layer, facts_max: int) -> None:
        """This group is recorded: keep what is known whole, up to about so many facts, of the tags used last."""
        del self._layers[: self._layers.index(recorded) + 1]
        self._drop_unread(recorded.touched)
        for tag in recorded.touched:
            if (bits := self._read.pop(tag, None)) is not None:
                self._read[tag] = bits
        while self._size + len(self._read) > facts_max:
            oldest = [tag for tag in islice(self._read, DROPPED_AT_ONCE) if not self._decided(tag)]
            if not oldest:
                break
            for tag in oldest:
                self._drop(tag)
                del self._read[tag]

    def _drop_unread(self, tags: Iterable[str]) -> None:
        """Facts of these tags are not kept where those before them were never read."""
        for tag in tags:
            if tag not in self._read and not self._decided(tag):
                self._drop(tag)

    def _drop(self, tag: str) -> None:
        self._size -= len(self._facts.pop(tag, ()))
        self._drop_kept(tag)

    def _decided(self, tag: str) -> bool:
        """Whether a group that is not known to be recorded has decided facts with this tag."""
        return any(layer.touched.get(tag) for layer in self._layers)
