"""What decisions read: facts by (tag, type), complete up to the head the transaction has seen.

A slice's boundary may grow with what it has folded (evaluation → registration → person). So a fresh slice is folded
again until its boundary stops growing; what is missing on the way is read for the whole group in one statement.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from operator import itemgetter

from eventsourcing.dcb.domain import Selector, Slice

from contracts.facts import Fact
from contracts.problems import Problem
from services.log.proposal import BUGS, Placed

Key = tuple[str, type[Fact]]
"""A tag and a type of fact."""

Fetch = Callable[[Sequence[Key]], Awaitable[Iterable[tuple[Key, Placed]]]]
"""Reads the facts of some keys from the log, each key's in order of position."""

_position = itemgetter(0)


def keys(boundary: Selector | Sequence[Selector]) -> list[Key]:
    """The keys of a consistency boundary. Each selector names one tag and at least one type."""
    selectors = [boundary] if isinstance(boundary, Selector) else boundary
    found: dict[Key, None] = {}
    for selector in selectors:
        (tag,) = selector.tags
        assert selector.types, f"{tag}: a boundary names its types"
        for fact_type in selector.types:
            found[tag, fact_type] = None  # type: ignore[index]
    return list(found)


class Boundary:
    """The facts read so far, and on top of them those that the running group has decided."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._read: dict[Key, list[Placed]] = {}
        self._decided: dict[Key, list[Placed]] = defaultdict(list)
        self._journal: list[Key] = []

    def fold(self, make: Callable[[], Slice[Fact]]) -> tuple[Slice[Fact], list[Key]]:
        """A slice with its whole boundary folded, or the keys that must be loaded before."""
        folded = make()
        wanted = keys(folded.consistency_boundary())
        while True:
            missing = [key for key in wanted if key not in self._read]
            if missing:
                return folded, missing
            self._replay(folded, wanted)
            grown = keys(folded.consistency_boundary())
            if len(grown) == len(wanted):
                return folded, []
            wanted = grown
            folded = make()

    def _replay(self, folded: Slice[Fact], wanted: Sequence[Key]) -> None:
        placed = {position: fact for key in wanted for position, fact in self._read[key]}
        placed.update((position, fact) for key in wanted for position, fact in self._decided.get(key, ()))
        for position, fact in sorted(placed.items(), key=_position):
            folded.last_known_position = position
            fact.mutate(folded)

    async def load(self, wanted: Iterable[Key]) -> None:
        """Read the keys from the log, in one statement."""
        missing = list(dict.fromkeys(wanted))
        for key in missing:
            self._read[key] = []
        for key, placed in await self._fetch(missing):
            self._read[key].append(placed)

    async def folded(self, make: Callable[[], Slice[Fact]]) -> Slice[Fact]:
        """A slice with its whole boundary folded; reads what is missing."""
        while True:
            folded, missing = self.fold(make)
            if not missing:
                return folded
            await self.load(missing)

    async def prefetch(self, makes: Iterable[Callable[[], Slice[Fact]]]) -> None:
        """Load what slices will want, a round for all of them together, as far as can be seen before deciding."""
        waiting = list(makes)
        while waiting:
            missing: dict[Key, None] = {}
            still = []
            for make in waiting:
                try:
                    wanted = self.fold(make)[1]
                except (Problem, *BUGS):  # its own turn tells what is wrong with it
                    continue
                if wanted:
                    missing.update(dict.fromkeys(wanted))
                    still.append(make)
            if missing:
                await self.load(missing)
            waiting = still

    def add(self, position: int, fact: Fact, tags: Sequence[str]) -> None:
        """A fact that the group has decided: those after it see it."""
        for tag in tags:
            key = (tag, type(fact))
            self._decided[key].append((position, fact))
            self._journal.append(key)

    def mark(self) -> int:
        """A point to which `rewind` can return."""
        return len(self._journal)

    def rewind(self, mark: int) -> None:
        """Forget the facts added since the mark."""
        while len(self._journal) > mark:
            self._decided[self._journal.pop()].pop()
