"""Deciding a group: units one after the other, each seeing the facts of those before it. Nothing is written here."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import structlog
from eventsourcing.dcb.domain import Slice
from msgspec import Struct

from contracts.envelope import ENTRY_BYTES_MAX
from contracts.facts import Fact
from contracts.facts.fact import REFERENCE
from contracts.problems import Bug, IdempotencyConflict, Problem, TooLarge
from services.log.boundary import Boundary, Folded, Layer, Mark, Wanted
from services.log.proposal import BUGS, Circumstances, Outcome, Proposal, Recorded, Reference, Unit

log = structlog.get_logger()

GROUP_BYTES_MAX = 4 << 20
"""A group decides units until it has so many bytes to write: the last unit may exceed it, the others wait."""

Load = Callable[[Wanted], Awaitable[None]]


class Doubt(Exception):
    """What was assumed may not be so: the log must be looked at before this group is answered. Nothing was written."""


class Receipt(Struct, frozen=True):
    """What is recorded under a key. content: None where only the bytes are known (`restoring`)."""

    content: bytes | None
    recorded: Recorded


class Append(Struct, frozen=True):
    """An event that the group will write."""

    fact: Fact
    tags: Sequence[str]
    proposal: Proposal
    entry: bytes


class Known(NamedTuple):
    """What is known of the end of the log. began_at: when position 1 was recorded; None as long as there is none."""

    head: int
    recorded_at: datetime
    began_at: datetime | None
    reference: Reference


class _Mark(NamedTuple):
    boundary: Mark
    appends: int
    reference: Reference


@dataclass(slots=True)
class Group:
    """The state of a group while it is decided.

    head: the log's last position. recorded_at: when its facts will have been recorded. began_at: when position 1 was.
    receipts: what the log holds under the proposals' keys. layer: the group's own, of the boundary. folded: the slices
    begun, by their proposals' identity. entry_bytes: of all appends.
    """

    head: int
    recorded_at: datetime
    began_at: datetime
    reference: Reference
    receipts: Mapping[bytes, Receipt]
    boundary: Boundary
    layer: Layer
    folded: dict[int, Folded] = field(default_factory=dict)
    appends: list[Append] = field(default_factory=list)
    decided: dict[bytes, Receipt] = field(default_factory=dict)
    entry_bytes: int = 0
    first_reference: Reference = field(init=False)

    def known(self) -> Known:
        """What is known once this group is recorded."""
        head = self.head + len(self.appends)
        return Known(head, self.recorded_at, self.began_at if head else None, self.reference)

    async def decide(self, units: Sequence[Unit], load: Load) -> list[list[Outcome] | Problem]:
        """Outcomes for each unit: one for each proposal, or the problem for which an atomic unit is refused.

        Of the first units only, when the group is large enough with them. load: reads more of the log. May be called
        again, for units that come later. When it raises nothing has changed.
        """
        mark = self._mark()
        try:
            return await self._decide_units(units, load)
        except BaseException:
            if not self.layer.forgotten:
                self._rewind(mark)
            raise
        finally:
            self.folded.clear()  # the next proposals may have the identity of these

    async def _decide_units(self, units: Sequence[Unit], load: Load) -> list[list[Outcome] | Problem]:
        circumstances = self._circumstances()
        self.first_reference = self.reference
        makes = {
            id(proposal): partial(proposal.decide, circumstances)
            for unit in units
            for proposal in unit.proposals
            if proposal.key not in self.receipts
        }
        while missing := self.boundary.prefetch(makes, self.folded):
            await load(missing)
        outcomes = []
        for unit in units:
            if self.entry_bytes >= GROUP_BYTES_MAX:
                break
            outcomes.append(await self._decide_unit(unit, load))
        return outcomes

    def _circumstances(self) -> Circumstances:
        return Circumstances(self.recorded_at, self.began_at, self.reference)

    async def _fold(self, proposal: Proposal, load: Load) -> Slice[Fact]:
        """The proposal's slice, with its boundary folded as of this point of the group."""
        early = self.folded.pop(id(proposal), None)
        if early is not None and self.reference is self.first_reference and not self.boundary.touched(early.wanted):
            return early.slice
        make = partial(proposal.decide, self._circumstances())
        while (folded := self.boundary.fold(make)).missing:
            await load(folded.missing)
        return folded.slice

    async def _decide_unit(self, unit: Unit, load: Load) -> list[Outcome] | Problem:
        mark = self._mark()
        outcomes: list[Outcome] = []
        for index, proposal in enumerate(unit.proposals):
            outcome = await self._decide(proposal, unit.perhaps_committed, load)
            if unit.atomic and isinstance(outcome, Problem):
                self._rewind(mark)
                outcome.values["index"] = index
                return outcome
            outcomes.append(outcome)
        return outcomes

    def _mark(self) -> _Mark:
        return _Mark(self.boundary.mark(), len(self.appends), self.reference)

    def _rewind(self, mark: _Mark) -> None:
        """Forget what was decided since."""
        self.boundary.rewind(mark.boundary)
        for append in self.appends[mark.appends :]:
            del self.decided[append.proposal.key]
            self.entry_bytes -= len(append.entry)
        del self.appends[mark.appends :]
        self.reference = mark.reference

    async def _decide(self, proposal: Proposal, perhaps_committed: bool, load: Load) -> Outcome:
        if (receipt := self.decided.get(proposal.key)) is not None:
            return _repeated(receipt, proposal, repeated=True)
        if (receipt := self.receipts.get(proposal.key)) is not None:
            return _repeated(receipt, proposal, repeated=not perhaps_committed)
        try:
            folded = await self._fold(proposal, load)
            folded.execute()
            (tagged,) = folded.collect_events()
            return self._append(proposal, tagged.decision)
        except (Problem, *BUGS) as error:
            if self.boundary.assuming:
                raise Doubt("a refusal may come of an assumption") from error
            if isinstance(error, Problem):
                return error
            log.exception("a decision failed")
            return Bug("This command could not be decided.")

    def _append(self, proposal: Proposal, fact: Fact) -> Recorded:
        position = self.head + len(self.appends) + 1
        entry = proposal.encode(fact, position, self.recorded_at)
        if len(entry) > ENTRY_BYTES_MAX:
            raise TooLarge(
                f"The event has {len(entry)} bytes, {ENTRY_BYTES_MAX} are allowed.",
                bytes=len(entry),
                bytes_max=ENTRY_BYTES_MAX,
            )
        tags = fact.tags()
        if REFERENCE in tags:
            self.reference = self.reference.folded([(position, fact)])
        self.boundary.add(position, fact, tags)
        self.appends.append(Append(fact, tags, proposal, entry))
        self.entry_bytes += len(entry)
        recorded = Recorded(position, fact.type_name(), entry, repeated=False)
        self.decided[proposal.key] = Receipt(proposal.content, recorded)
        return recorded

    def columns(self, type_ids: Mapping[str, int]) -> tuple[Any, ...]:
        """The arguments of `log.put`, each a column of the group; the tags a line each, so that none has a line end."""
        return (
            self.head,
            self.recorded_at,
            [type_ids[append.fact.type_name()] for append in self.appends],
            [append.proposal.key for append in self.appends],
            [append.proposal.content for append in self.appends],
            [append.entry for append in self.appends],
            "\n".join([tag for append in self.appends for tag in append.tags]),
            [ordinal for ordinal, append in enumerate(self.appends, 1) for _ in append.tags],
        )


def _repeated(receipt: Receipt, proposal: Proposal, *, repeated: bool) -> Outcome:
    content, entry = receipt.content, receipt.recorded.entry
    if proposal.repeats(entry) if content is None else content == proposal.content:
        return receipt.recorded._replace(repeated=repeated)
    return IdempotencyConflict(
        f"Another fact is recorded under this source and id, at position {receipt.recorded.position}.",
        rule="I1",
        position=receipt.recorded.position,
    )
