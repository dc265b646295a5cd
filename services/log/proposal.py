"""What the log is asked to append, and what it answers."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol, Self

import msgspec
from eventsourcing.dcb.domain import Slice
from msgspec import Struct

from contracts.facts import Fact
from contracts.problems import Problem


class Placed(msgspec.Struct, frozen=True, gc=False):
    """A fact and its position.

    A writer keeps hundreds of thousands: the garbage collector is not to look at each of them, and need not, for facts
    refer to nothing that refers back.
    """

    position: int
    fact: Fact


BUGS = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a decision with a bug in it raises: it fails its own command, never the group. Trouble of the log is other."""


class Reference(Protocol):
    """Facts so widely needed that every decision gets them folded: those with the tag `reference`, up to the head.

    Immutable, so that a group that fails, or an atomic batch that is refused, leaves no trace in it.
    """

    types: Sequence[type[Fact]]

    def folded(self, facts: Sequence[tuple[int, Fact]]) -> Self:
        """What is known after these facts too, in their order."""
        ...


class Circumstances(NamedTuple):
    """What a decision stands on beside its boundary.

    recorded_at: when its fact will have been recorded. began_at: when position 1 was.
    """

    recorded_at: datetime
    began_at: datetime
    reference: Any


def idempotency_key(source: str, id_: str) -> bytes:
    """What names a command for ever (I1)."""
    return hashlib.sha256(source.encode() + b"\x00" + id_.encode()).digest()


def _unknown(_entry: bytes) -> bool:
    """Whether a proposal says what is stored, where nobody can tell."""
    return False


class Proposal(Struct, frozen=True, eq=False):
    """A command that may be decided any number of times before it is recorded, each time from the start.

    decide: a fresh slice, given the circumstances. Pure.
    encode: the bytes to store, given the fact, its position and the moment of recording. Pure.
    key, content: SHA-256 of what names the command and of what it says (rule I1). 32 bytes each.
    repeats: whether it says what stored bytes say: asked for those whose content is not known (`restoring`). Pure.
    """

    decide: Callable[[Circumstances], Slice[Fact]]
    encode: Callable[[Fact, int, datetime], bytes]
    key: bytes
    content: bytes
    repeats: Callable[[bytes], bool] = _unknown


class Recorded(NamedTuple):
    """A fact that is in the log. `repeated`: it was there before this proposal came."""

    position: int
    type: str
    entry: bytes
    repeated: bool


Outcome = Recorded | Problem


Answer = asyncio.Future[list[Outcome] | Problem]
"""What becomes of a unit: an outcome for each of its proposals, or the problem that none of them is recorded for."""


@dataclass(slots=True, eq=False)
class Unit:
    """Proposals that are decided in order in one transaction, each seeing those before it.

    atomic: if one is refused, none is recorded.
    after: what becomes of the unit before it, of the same caller: if that is a problem, this has the same one.
    perhaps_committed: an earlier try ended without an answer, so what it may have recorded is its own and no repeat.
    """

    proposals: Sequence[Proposal]
    atomic: bool = False
    after: Answer | None = None
    perhaps_committed: bool = field(default=False, init=False)
