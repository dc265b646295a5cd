"""JSON Schemas (draft 2020-12) of events as they are stored and published, and of the data that callers post.

They are made from the very types that read and write facts, and completed by what those take for granted.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from contracts.envelope import StoredEvent
from contracts.facts import FACTS, Part
from contracts.upcasters import UPCASTERS

DRAFT = "https://json-schema.org/draft/2020-12/schema"
NOT_A_LINE_FEED = "(?!\\n)"
"""What `whole` adds for Python, whose `$` lets a last line feed through. That of JSON Schema does not."""

ATTRIBUTES: dict[str, dict[str, Any]] = {
    "specversion": {"const": "1.0"},
    "id": {"minLength": 1, "maxLength": 128, "description": "Names the event together with its source."},
    "source": {"minLength": 1},
    "subject": {"minLength": 1, "description": "The partition key: events with the same one keep their order."},
    "time": {"format": "date-time", "description": "When it occurred, as posted; else when it was recorded."},
    "datacontenttype": {"const": "application/json"},
    "recordedtime": {
        "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$",
        "description": "When the registry recorded it. Never decreases.",
    },
    "sequence": {"pattern": "^[0-9]{19}$", "description": "The position in the log, from 1, without gaps."},
    "authid": {"minLength": 1, "description": "The client that posted it: a system, never a person."},
    "authtype": {"enum": ["service_account", "system"]},
}
"""What the attributes of a stored event hold beyond their JSON type. Section 6 of the contract."""


def schemas() -> dict[str, dict[str, Any]]:
    """Every schema by its name: a fact's type for the stored event, type and `.posted` for what is posted."""
    stored = FACTS | {type_name: upcaster.form for type_name, upcaster in UPCASTERS.items()}
    posted = {f"{type_name}.posted": fact.posted for type_name, fact in FACTS.items() if fact.posted is not None}
    return {
        **{name: stored_schema(name, form) for name, form in stored.items()},
        **{name: _schema(name, form) for name, form in posted.items()},
    }


def stored_schema(type_name: str, form: type[Part]) -> dict[str, Any]:
    """Of an event of this type as stored and published.

    Open to more members, for a later addition must be valid to those who check by this one. All that has a default
    is there, for defaults are written out.
    """
    schema = _schema(type_name, StoredEvent[form])  # type: ignore[valid-type]
    for part in _parts(schema):
        if part.get("additionalProperties") is False:
            del part["additionalProperties"]
        if "properties" in part:
            _require_defaults(part)
    attributes = ATTRIBUTES | {"type": {"const": type_name}}
    for name, rest in attributes.items():
        schema["properties"][name].update(rest)
    return schema


def _schema(name: str, form: Any) -> dict[str, Any]:
    """Of a type on its own, closed where the type is."""
    (reference,), components = msgspec.json.schema_components([form], ref_template="#/$defs/{name}")
    root = components.pop(reference["$ref"].removeprefix("#/$defs/"))
    made = {"$schema": DRAFT, "$id": f"urn:certibranche:schema:{name}", **root, "title": name}
    if components:
        made["$defs"] = components
    # Defaults are Python values until they are written as JSON.
    schema: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(made))
    for part in _parts(schema):
        if isinstance(part.get("pattern"), str):
            part["pattern"] = part["pattern"].removesuffix(NOT_A_LINE_FEED)
    return schema


def _require_defaults(part: dict[str, Any]) -> None:
    written = [name for name, member in part["properties"].items() if "default" in member]
    for name in written:
        del part["properties"][name]["default"]
    required = {*part.get("required", ()), *written}
    part["required"] = [name for name in part["properties"] if name in required]


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object within a JSON value, itself included."""
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from _parts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _parts(part)
