"""Facts of stored bytes, decoded as fast as can be: what was checked when it was recorded is not checked again.

Patterns cost most: each is a call of Python's `re`, and all together five times what the rest of an event does.
"""

from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from contracts.envelope import StoredEvent, decode
from contracts.facts import FACTS, Fact, Part


def fact_of(entry: bytes, type_name: str) -> Fact:
    """The fact of an entry of that type: an instance of a subclass of the fact's class, or of that class.

    Raises what msgspec raises when the bytes are not of that type, KeyError of no type.
    """
    if type_name not in FACTS:  # an older version of a fact: lifted
        return decode(entry, type_name).data
    fact: Fact = _data_decoder(type_name).decode(entry).data
    return fact


def event_of(entry: bytes, type_name: str) -> StoredEvent[Fact]:
    """As `fact_of`, with what the event says beside its data."""
    if type_name not in FACTS:
        return decode(entry, type_name)
    event: StoredEvent[Fact] = _event_decoder(type_name).decode(entry)
    return event


@cache
def _data_decoder(type_name: str) -> "msgspec.json.Decoder[Any]":
    event = msgspec.defstruct("Event", [("data", _unchecked_struct(FACTS[type_name]))])
    return msgspec.json.Decoder(event)


@cache
def _event_decoder(type_name: str) -> "msgspec.json.Decoder[Any]":
    fact_type: Any = _unchecked_struct(FACTS[type_name])
    return msgspec.json.Decoder(StoredEvent[fact_type])


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
