"""JSON as callers must send it: UTF-8, no key twice, no number or string that JSON or Unicode does not have."""

import json
from typing import Any

import msgspec

from contracts.problems import Malformed

_canonical = msgspec.json.Encoder(order="sorted")


class _Members(list[tuple[str, Any]]):
    """The members of an object as they came."""


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(members)
    if len(value) != len(members):
        names = [name for name, _ in members]
        twice = next(name for name in names if names.count(name) > 1)
        raise Malformed(f"The member {twice[:64]!r} occurs twice in one object.")
    return value


def _number(text: str) -> int | float:
    """1.0 and 1e2 are the integers 1 and 100: RFC 8785 writes them so."""
    number = float(text)
    return int(number) if number.is_integer() else number


def _constant(text: str) -> None:
    raise Malformed(f"{text} is not JSON.")


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_float=_number, parse_constant=_constant)
_lenient = json.JSONDecoder(object_pairs_hook=_Members, parse_float=_number, parse_constant=_constant)


def parse(content: bytes) -> Any:
    """The value of JSON content; raises Malformed."""
    return _parse(_decoder, content)


def items(content: bytes) -> list[Any]:
    """The items of a JSON array: values, or the problem of one with a member twice. Raises Malformed."""
    values = _parse(_lenient, content)
    if type(values) is not list:
        raise Malformed("The content is not a JSON array.")
    return [_item(value) for value in values]


def _item(value: Any) -> Any:
    try:
        return _strict(value)
    except Malformed as problem:
        return problem
    except RecursionError:
        return Malformed("The content is nested too deeply.")


def _strict(value: Any) -> Any:
    if isinstance(value, _Members):
        return _object([(name, _strict(member)) for name, member in value])
    return [_strict(item) for item in value] if isinstance(value, list) else value


def _parse(decoder: json.JSONDecoder, content: bytes) -> Any:
    try:
        return decoder.decode(content.decode())
    except UnicodeDecodeError as error:
        raise Malformed("The content is not UTF-8.") from error
    except RecursionError as error:
        raise Malformed("The content is nested too deeply.") from error
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "a number is out of range"
        raise Malformed(f"The content is not valid JSON: {reason}.") from error


def canonical(value: Any) -> bytes:
    """The form of RFC 8785 of a parsed value that holds no fractions; raises Malformed for lone surrogates."""
    try:
        return _canonical.encode(value)
    except UnicodeEncodeError as error:
        raise Malformed("A string holds half of a surrogate pair.") from error
    except (OverflowError, RecursionError) as error:
        raise Malformed("The content is out of range.") from error
