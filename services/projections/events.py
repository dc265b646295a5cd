"""Events as folds see them, decoded as fast as can be: what was checked when it was recorded is not checked again."""

from functools import cache
from types import SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Protocol, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from contracts.envelope import decode
from contracts.facts import FACTS, Fact, Part


class Event(Protocol):
    """A fact and its place in the log."""

    @property
    def position(self) -> int: ...

    @property
    def data(self) -> Fact: ...


class Placed(NamedTuple):
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
    if type_name not in FACTS:  # an older version of a fact: lifted
        return Placed(position, decode(entry, type_name).data)
    fact: Fact = _decoder(type_name).decode(entry).data
    return Placed(position, fact)


def unreadable(position: int, entry: bytes, error: Exception) -> Unreadable:
    """What can be said of an event that `placed` refuses. Raises what msgspec raises when it is not even JSON."""
    data = msgspec.json.decode(entry)["data"]
    return Unreadable(position, SimpleNamespace(**data), error)


@cache
def _decoder(type_name: str) -> "msgspec.json.Decoder[Any]":
    event = msgspec.defstruct("Event", [("data", _unchecked_struct(FACTS[type_name]))])
    return msgspec.json.Decoder(event)


@cache
def _unchecked_struct(part: type[Part]) -> type[Part]:
    """A subclass with the same members, of the same types but without bounds and patterns (a third of the time)."""
    hints = get_type_hints(part, include_extras=True)
    members: list[Any] = [
        (field.name, _unchecked(hints[field.name]))
        if field.required
        else (field.name, _unchecked(hints[field.name]), field.default)
        for field in msgspec.structs.fields(part)
    ]
    unchecked: Any = msgspec.defstruct(part.__name__, members, bases=(part,), frozen=True, kw_only=True)
    return cast(type[Part], unchecked)


def _unchecked(hint: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _unchecked(arguments[0])
    if origin is None:
        return _unchecked_struct(hint) if isinstance(hint, type) and issubclass(hint, Part) else hint
    if origin is Literal:
        return str
    inner = tuple(argument if argument is Ellipsis else _unchecked(argument) for argument in arguments)
    return Union[inner] if origin in (Union, UnionType) else origin[inner]  # noqa: UP007 - made at run time
