"""CloudEvents as they are posted: JSON, binary mode, and what of their attributes the registry keeps."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from contracts.problems import Malformed, Problem, UnsupportedMediaType
from services.registry.http import strict_json

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
NDJSON = "application/x-ndjson"

ID_LENGTH_MAX = 128
ATTRIBUTE_LENGTH_MAX = 1_024

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_TIMESTAMP = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
P = TypeVar("P")
T = TypeVar("T")


class PostedEvent(msgspec.Struct, kw_only=True):
    """The attributes of a posted event that count, and its data. Attributes are checked, data is not.

    canonical: the data in the form of RFC 8785, where reading it has told.
    """

    id: str
    source: str
    type: str
    data: dict[str, Any]
    canonical: bytes | None = None
    time: str | UnsetType = UNSET
    correlationid: str | UnsetType = UNSET
    causationid: str | UnsetType = UNSET
    traceparent: str | UnsetType = UNSET


_Attribute = Annotated[str, Meta(min_length=1, max_length=ATTRIBUTE_LENGTH_MAX)]


class _Plain(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An event as most programs write it: with attributes that CloudEvents itself names, none of them null."""

    specversion: Literal["1.0"]
    id: Annotated[str, Meta(min_length=1, max_length=ID_LENGTH_MAX)]
    source: _Attribute
    type: _Attribute
    data: Raw
    datacontenttype: Literal["application/json"] | UnsetType = UNSET
    dataschema: str | UnsetType = UNSET
    subject: str | UnsetType = UNSET
    time: _Attribute | UnsetType = UNSET
    correlationid: _Attribute | UnsetType = UNSET
    causationid: _Attribute | UnsetType = UNSET
    traceparent: _Attribute | UnsetType = UNSET


_one = msgspec.json.Decoder(_Plain)
_many = msgspec.json.Decoder(list[_Plain])
_encoder = msgspec.json.Encoder()


def from_content(content: bytes) -> PostedEvent:
    """The event of JSON content (structured mode). Raises Malformed, UnsupportedMediaType."""
    plain = _plainly(_one, content)
    event = None if plain is None else _event(plain)
    return from_json(strict_json.parse(content)) if event is None else event


def from_batch(content: bytes) -> list[PostedEvent | Problem]:
    """The events of a JSON array, or what is wrong with one of them. Raises Malformed where it is no such array."""
    plain = _plainly(_many, content) or ()
    events = [event for one in plain if (event := _event(one)) is not None]
    if not events or len(events) < len(plain):
        return [event_or_problem(from_json, item) for item in strict_json.items(content)]
    return [*events]


def _plainly(decoder: "msgspec.json.Decoder[P]", content: bytes) -> P | None:
    """What the decoder reads, None where it reads nothing, or where something is in the content more than once.

    Written again it is as long as the content: what has spaces, needless escapes or a member twice is longer.
    """
    try:
        plain = decoder.decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return plain if len(_encoder.encode(plain)) == len(content) else None


def _event(plain: _Plain) -> PostedEvent | None:
    """The event; None where it takes a closer look whether something is wrong with it."""
    read = strict_json.plain(plain.data)
    attributes = (plain.id, plain.source, plain.type, plain.time)
    traced = (plain.correlationid, plain.causationid, plain.traceparent)
    if read is None or not "".join([text for text in (*attributes, *traced) if text is not UNSET]).isprintable():
        return None
    if plain.time is not UNSET and not _is_timestamp(plain.time):
        return None
    data, canonical = read
    if type(data) is not dict:
        return None
    return PostedEvent(
        id=plain.id,
        source=plain.source,
        type=plain.type,
        data=data,
        canonical=canonical,
        time=plain.time,
        correlationid=plain.correlationid,
        causationid=plain.causationid,
        traceparent=plain.traceparent,
    )


def event_or_problem(read: Callable[[T], PostedEvent], item: T | Problem) -> PostedEvent | Problem:
    """What is read of one item among many, or what is wrong with it."""
    if isinstance(item, Problem):
        return item
    try:
        return read(item)
    except Problem as problem:
        return problem


def media_type(content_type: str) -> str:
    """The media type without parameters, lower case; raises UnsupportedMediaType for a charset other than UTF-8."""
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8", "us-ascii"):
            raise UnsupportedMediaType(f"The charset {value[:40]} is not understood; use UTF-8.")
    return kind


def is_json(kind: str) -> bool:
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def from_json(value: Any) -> PostedEvent:
    """The event of a parsed JSON object (structured mode)."""
    if not isinstance(value, dict):
        raise Malformed("A CloudEvent is a JSON object.")
    if "data_base64" in value:
        raise Malformed("data_base64 is not taken; give data as JSON.")
    content_type = _optional(value, "datacontenttype")
    if content_type is not None and not is_json(media_type(content_type)):
        raise UnsupportedMediaType("data must be JSON: datacontenttype is application/json.")
    return _checked(value, value.get("data"))


def from_binary(headers: Iterable[tuple[bytes, bytes]], content_type: str, body: bytes) -> PostedEvent:
    """The event of `ce-` headers and a body (binary mode). Header values are percent-encoded UTF-8."""
    if not is_json(media_type(content_type)):
        raise UnsupportedMediaType("The data of an event must be application/json.")
    attributes: dict[str, Any] = {}
    for name, value in headers:
        if name.startswith(b"ce-"):
            attribute = name[3:].decode("latin-1")
            if attribute in attributes:
                raise Malformed(f"The header {name.decode('latin-1')} occurs twice.")
            try:
                attributes[attribute] = unquote(value.decode().strip().strip('"'), errors="strict")
            except UnicodeDecodeError as error:
                raise Malformed(f"The header {name.decode('latin-1')} is not UTF-8.") from error
    if "datacontenttype" in attributes:
        raise Malformed("In binary mode the Content-Type says what the data is, not ce-datacontenttype.")
    return _checked(attributes, strict_json.parse(body))


def _checked(attributes: Mapping[str, Any], data: Any) -> PostedEvent:
    if attributes.get("specversion") != "1.0":
        raise Malformed('specversion must be "1.0".')
    id_ = _required(attributes, "id")
    if len(id_) > ID_LENGTH_MAX:
        raise Malformed(f"id has {len(id_)} characters, {ID_LENGTH_MAX} are allowed.")
    time = _optional(attributes, "time")
    if time is not None and not _is_timestamp(time):
        raise Malformed("time must be a timestamp of RFC 3339.")
    if not isinstance(data, dict):
        raise Malformed("data must be a JSON object.")
    return PostedEvent(
        id=id_,
        source=_required(attributes, "source"),
        type=_required(attributes, "type"),
        data=data,
        time=UNSET if time is None else time,
        correlationid=_optional(attributes, "correlationid") or UNSET,
        causationid=_optional(attributes, "causationid") or UNSET,
        traceparent=_optional(attributes, "traceparent") or UNSET,
    )


def _required(attributes: Mapping[str, Any], name: str) -> str:
    value = _optional(attributes, name)
    if value is None:
        raise Malformed(f"The attribute {name} is required.")
    return value


def _optional(attributes: Mapping[str, Any], name: str) -> str | None:
    value = attributes.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= ATTRIBUTE_LENGTH_MAX:
        raise Malformed(f"The attribute {name} is a string of 1 to {ATTRIBUTE_LENGTH_MAX} characters.")
    if _CONTROL.search(value):
        raise Malformed(f"The attribute {name} holds a control character.")
    return value


def _is_timestamp(text: str) -> bool:
    """Whether it is one of RFC 3339, with a day that exists. A leap second is a time."""
    if not _TIMESTAMP.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text[:10])
    except ValueError:
        return False
    return True
