"""JSON as callers must send it: UTF-8, no key twice, no number or string that JSON or Unicode does not have."""

import json
from typing import Any

import msgspec

from contracts.problems import Malformed

_canonical = msgspec.json.Encoder(order="sorted")
_array = msgspec.json.Decoder(list[msgspec.Raw])


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Malformed(f"The member {twice[:64]!r} occurs twice in one object.")
    return members


def _number(text: str) -> int | float:
    """1.0 and 1e2 are the integers 1 and 100: RFC 8785 writes them so."""
    number = float(text)
    return int(number) if number.is_integer() else number


def _constant(text: str) -> None:
    raise Malformed(f"{text} is not JSON.")


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_float=_number, parse_constant=_constant)


def parse(content: bytes) -> Any:
    """The value of JSON content; raises Malformed."""
    try:
        return _decoder.decode(content.decode())
    except UnicodeDecodeError as error:
        raise Malformed("The content is not UTF-8.") from error
    except RecursionError as error:
        raise Malformed("The content is nested too deeply.") from error
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "a number is out of range"
        raise Malformed(f"The content is not valid JSON: {reason}.") from error


def items(content: bytes) -> list[bytes]:
    """The contents of the items of a JSON array, not looked into; raises Malformed."""
    try:
        return [bytes(item) for item in _array.decode(content)]
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed("The content is not a JSON array.") from error


def canonical(value: Any) -> bytes:
    """The form of RFC 8785 of a parsed value that holds no fractions; raises Malformed for lone surrogates."""
    try:
        return _canonical.encode(value)
    except UnicodeEncodeError as error:
        raise Malformed("A string holds half of a surrogate pair.") from error
    except (OverflowError, RecursionError) as error:
        raise Malformed("The content is out of range.") from error
