"""Events as folds see them."""

from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

import msgspec

from contracts.facts import Fact
from contracts.unchecked import fact_of


class Event(Protocol):
    """A fact and its place in the log."""

    @property
    def position(self) -> int: ...

    @property
    def data(self) -> Fact: ...


class Placed(msgspec.Struct, frozen=True, gc=False):
    """An event without its envelope."""

    position: int
    data: Fact


class Unreadable(NamedTuple):
    """An event whose bytes are not what its type says: for its keys only. `data` has what members could be read."""

    position: int
    data: Any
    error: Exception


def placed(position: int, type_name: str, entry: bytes) -> Placed:
    """The event of an entry. Raises what msgspec raises when the bytes are not of that type, KeyError of no type."""
    return Placed(position, fact_of(entry, type_name))


def unreadable(position: int, entry: bytes, error: Exception) -> Unreadable:
    """What can be said of an event that `placed` refuses. Raises what msgspec raises when it is not even JSON."""
    data = msgspec.json.decode(entry)["data"]
    return Unreadable(position, SimpleNamespace(**data), error)
