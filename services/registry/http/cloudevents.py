"""CloudEvents as they are posted: JSON, binary mode, and what of their attributes the registry keeps."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import unquote

from msgspec import UNSET, UnsetType

from contracts.problems import Malformed, UnsupportedMediaType
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
_KEPT_WHEN_POSTED = ("correlationid", "causationid", "traceparent")


class PostedEvent(NamedTuple):
    """The attributes of a posted event that count, and its data. Attributes are checked, data is not."""

    id: str
    source: str
    type: str
    time: str | UnsetType
    correlationid: str | UnsetType
    causationid: str | UnsetType
    traceparent: str | UnsetType
    data: dict[str, Any]


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
    if time is not None:
        _refuse_no_time(time)
    if not isinstance(data, dict):
        raise Malformed("data must be a JSON object.")
    kept = {name: _optional(attributes, name) for name in _KEPT_WHEN_POSTED}
    return PostedEvent(
        id=id_,
        source=_required(attributes, "source"),
        type=_required(attributes, "type"),
        time=UNSET if time is None else time,
        data=data,
        **{name: UNSET if value is None else value for name, value in kept.items()},
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


def _refuse_no_time(time: str) -> None:
    """RFC 3339, with a day that exists. A leap second is a time."""
    if _TIMESTAMP.fullmatch(time):
        try:
            datetime.fromisoformat(time[:10])
        except ValueError:
            pass
        else:
            return
    raise Malformed("time must be a timestamp of RFC 3339.")
