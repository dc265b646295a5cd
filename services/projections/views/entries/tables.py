"""The table of view `entries`: how batches of events get in."""

from collections import defaultdict
from collections.abc import Sequence
from importlib import resources

from contracts import facts
from contracts.facts import Fact
from contracts.tags import filter_tags
from services.projections.builds import Asked
from services.projections.events import Event, Placed
from services.projections.writes import Folded, Write

# $1, $2: tags, and the position of the event that carries each.
_SAVE = "INSERT INTO {schema}.tag (tag, position) SELECT * FROM unnest($1::text[], $2::bigint[]) WHERE {due}"


class EntriesView:
    """The view as its follower sees it."""

    name = "entries"
    version = 1
    layout = 1
    ddl = (resources.files(__package__) / "tables.sql").read_text(encoding="utf-8")
    merges = False
    facts: Sequence[type[Fact]] = tuple(facts.FACTS.values())

    def keys(self, event: Event) -> Sequence[str]:
        """The event alone: its tags are its own."""
        return [f"event:{event.position}"]

    async def fold(self, asked: Asked, schema: str, events: Sequence[Placed], before: None = None) -> Folded:
        """The tags that the log has not."""
        carried: defaultdict[str, list[int]] = defaultdict(list)
        for event in events:
            for tag in missing_tags(event.data):
                carried[tag].append(event.position)
        tags: list[str] = []
        positions: list[int] = []
        for tag, its in sorted(carried.items()):
            tags += [tag] * len(its)
            positions += its
        return Folded([Write(_SAVE, [tags, positions])] if tags else [])


def missing_tags(fact: Fact) -> frozenset[str]:
    """The tags that the event of this fact carries, but for its decision tags: those are in log.tag."""
    return filter_tags(fact).difference(fact.tags())
