"""Commands as proposals for the log: named, decided by the slices, encoded."""

from datetime import date, datetime
from functools import lru_cache, partial
from zoneinfo import ZoneInfo

from eventsourcing.dcb.domain import Slice

from contracts.envelope import Envelope, encode
from contracts.facts import Fact, Part
from contracts.problems import Problem
from services.log.proposal import Circumstances as Recording
from services.log.proposal import Proposal, idempotency_key
from services.registry.domain import DECISIONS
from services.registry.domain.circumstances import Circumstances
from services.registry.limits import limited, refuse_other_organisers
from services.registry.repeats import repeats

PARIS = ZoneInfo("Europe/Paris")


@lru_cache(maxsize=8)
def paris_day(moment: datetime) -> date:
    """The day in Europe/Paris: what *today* means in the rules."""
    return moment.astimezone(PARIS).date()


@lru_cache(maxsize=8)
def _circumstances(recording: Recording) -> Circumstances:
    """Those of a group: its decisions share them."""
    return Circumstances(paris_day(recording.recorded_at), paris_day(recording.began_at), recording.reference)


def propose(command: Part, envelope: Envelope, content: bytes, organisers: frozenset[str] | None = None) -> Proposal:
    """A proposal that decides a command. content: SHA-256 of what was posted.

    organisers: those that the caller is limited to; None: it is not limited. Raises OrganiserNotAllowed.
    """
    if organisers is not None:
        refuse_other_organisers(command, organisers)

    def decide(recording: Recording) -> Slice[Fact]:
        decision = DECISIONS[type(command)](command, _circumstances(recording))
        return decision if organisers is None else limited(decision, command, organisers)

    key = idempotency_key(envelope.source, envelope.id)
    return Proposal(decide, partial(encode, envelope), key, content, partial(repeats, command))


def refuse(problem: Problem) -> Proposal:
    """A proposal that is refused in its turn, for what is wrong with it before any rule."""

    def decide(_: Recording) -> Slice[Fact]:
        raise problem

    return Proposal(decide, partial(encode, Envelope(id="", source="", authid="")), b"", b"")
