"""The events of a person under all its ids, out of the log itself."""

from collections.abc import Collection

from contracts.facts import Fact, PersonsMerged
from contracts.facts.fact import person as person_tag
from contracts.tags import canonical_tag
from services.projections.tagged import Tagged, TaggedEvents


async def read_career(
    tagged: TaggedEvents, person_id: str, *, until: int | None = None, types: Collection[type[Fact]] | None = None
) -> Tagged:
    """The events about this id and about all ids that had been merged with it by then, merges among them.

    until, types: as in `TaggedEvents.read`. Nothing for what is no person's id. Each merge names one id more, whose
    events may name others: so it is read again until no id is new, and what was read last is complete.
    """
    wanted: set[type[Fact]] | None = None if types is None else {*types, PersonsMerged}
    tags = {tag} if (tag := canonical_tag(f"person:{person_id}")) else set()
    while True:
        career = await tagged.read(tags, until=until, types=wanted)
        merges = [event.data for event in career.events() if isinstance(event.data, PersonsMerged)]
        known = tags | {person_tag(id_) for merge in merges for id_ in (merge.kept_id, merge.merged_id)}
        if known == tags:
            return career
        tags = known
