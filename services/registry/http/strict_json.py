"""JSON as callers must send it: UTF-8, no key twice, no number or string that JSON or Unicode does not have."""

import json
from typing import Any

import msgspec
from msgspec import UNSET

from contracts.problems import Malformed

DEPTH_MAX = 64
"""How many arrays and objects may be within one another. Facts have seven; what no fact needs is no event."""

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


def _fraction(text: str) -> None:
    raise ValueError(f"{text} may be written in another form")


_whole_numbers = msgspec.json.Decoder(float_hook=_fraction)
_quick = msgspec.json.Decoder(float_hook=_number)
_as_decoded = msgspec.json.Encoder()

_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_float=_number, parse_constant=_constant)
_lenient = json.JSONDecoder(object_pairs_hook=_Members, parse_float=_number, parse_constant=_constant)


def parse(content: bytes) -> Any:
    """The value of JSON content; raises Malformed."""
    value = _written_plainly(content)
    if value is UNSET:
        value = _parse(_decoder, content)
    if content.count(b"{") + content.count(b"[") > DEPTH_MAX and _is_deeper(value, DEPTH_MAX):
        raise _too_deep()
    return value


def plain(content: bytes | msgspec.Raw) -> tuple[Any, bytes] | None:
    """The value of a member, as most programs write it, and its form of RFC 8785; None where it takes `parse` to tell.

    That form has the same length: what has spaces, needless escapes or a member twice is longer. Only fractions could
    be shorter, and there are none.
    """
    try:
        value = _whole_numbers.decode(content)
        written = _canonical.encode(value)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return None
    if len(written) != len(content) or written.count(b"{") + written.count(b"[") >= DEPTH_MAX:
        return None
    return value, written


def items(content: bytes) -> list[Any]:
    """The items of a JSON array: values, or the problem of one with a member twice. Raises Malformed."""
    plain = _written_plainly(content)
    values = _parse(_lenient, content) if plain is UNSET else plain
    if type(values) is not list:
        raise Malformed("The content is not a JSON array.")
    if plain is UNSET:
        return [_item(value) for value in values]
    return [_too_deep() if _is_deeper(value, DEPTH_MAX) else value for value in values]


def _written_plainly(content: bytes) -> Any:
    """The value of content as most programs write it, without spaces and needless escapes; UNSET of any other.

    Quick: where the value is written as the same bytes again, no member was in it twice, and no number in another form.
    """
    try:
        value = _quick.decode(content)
        return value if _as_decoded.encode(value) == content else UNSET
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return UNSET


def _item(value: Any) -> Any:
    try:
        return _strict(value)
    except Malformed as problem:
        return problem


def _strict(value: Any, levels: int = DEPTH_MAX) -> Any:
    if not isinstance(value, list):
        return value
    if levels == 0:
        raise _too_deep()
    if isinstance(value, _Members):
        return _object([(name, _strict(member, levels - 1)) for name, member in value])
    return [_strict(item, levels - 1) for item in value]


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether more containers than so many are within one another."""
    if not isinstance(value, dict | list):
        return False
    members = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(member, levels - 1) for member in members)


def _too_deep() -> Malformed:
    return Malformed(f"The content is nested more than {DEPTH_MAX} levels deep.", levels_max=DEPTH_MAX)


def _parse(decoder: json.JSONDecoder, content: bytes) -> Any:
    try:
        return decoder.decode(content.decode())
    except UnicodeDecodeError as error:
        raise Malformed("The content is not UTF-8.") from error
    except RecursionError as error:
        raise _too_deep() from error
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
