"""What a change does to those who rely on a shipped schema.

Facts are read for ever in the form in which they were recorded, and subscribers check new ones by the schema they
have. So within a version nothing that exists may change, in either direction: narrower, and old facts are no longer
read; wider, and new facts are refused by those who subscribed. An optional member may come, and so may a new type.
"""

from collections.abc import Iterator, Mapping
from typing import Any

ADVICE = (
    "Facts recorded under a shipped schema are read for ever, and subscribers check by it. Within a version only new "
    "optional members (`| UnsetType = UNSET`) may be added. For anything else publish the next version beside it: "
    "contracts/upcasters.py tells how."
)

_ANNOTATIONS = frozenset({"$schema", "$id", "$defs", "title", "description"})
"""Keywords that no event is valid or invalid by."""


def incompatibilities(shipped: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """What breaks the shipped schemas: a sentence each, empty when nothing does. Both are schemas by their name."""
    found = []
    for name, schema in shipped.items():
        if name in current:
            differences = _differences(_plain(schema, schema), _plain(current[name], current[name]), "")
            found += [f"{name}: {difference}" for difference in differences]
        elif not name.endswith(".posted"):  # an older version is still read, but posted no more
            found.append(f"{name} is gone")
    return found


def refusal(shipped: Mapping[str, Any], current: Mapping[str, Any]) -> str | None:
    """Why today's schemas may not follow the shipped ones, and what to do; None when they may."""
    broken = incompatibilities(shipped, current)
    return "\n".join([*broken, ADVICE]) if broken else None


def _plain(part: Any, root: Mapping[str, Any]) -> Any:
    """A part of a schema with its references followed and without annotations. Facts do not contain themselves."""
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _plain(root["$defs"][part["$ref"].removeprefix("#/$defs/")], root)
    plain = {keyword: _plain(value, root) for keyword, value in part.items() if keyword not in _ANNOTATIONS}
    if "properties" in part:  # a member may well be called title
        plain["properties"] = {name: _plain(member, root) for name, member in part["properties"].items()}
    return plain


def _differences(shipped: Any, current: Any, path: str) -> Iterator[str]:
    if not (isinstance(shipped, dict) and isinstance(current, dict)):
        if shipped != current:
            yield f"{path} was {shipped}, now {current}"
        return
    members, members_now = shipped.get("properties", {}), current.get("properties", {})
    required, required_now = set(shipped.get("required", ())), set(current.get("required", ()))
    for name, member in members.items():
        at = f"{path}.{name}".lstrip(".")
        if name not in members_now:
            yield f"{at} is removed or renamed"
            continue
        if name in required_now - required:
            yield f"{at} was optional, now required"
        if name in required - required_now:
            yield f"{at} was required, now optional"
        yield from _differences(member, members_now[name], at)
    for name in members_now:
        if name not in members and name in required_now:
            yield f"{f'{path}.{name}'.lstrip('.')} is new and required"
    if "items" in shipped and "items" in current:
        yield from _differences(shipped["items"], current["items"], f"{path}[]")
    walked = {"properties", "required"} | ({"items"} if "items" in shipped and "items" in current else set())
    rest, rest_now = ({key: schema[key] for key in schema if key not in walked} for schema in (shipped, current))
    if rest != rest_now:
        yield f"{path or 'the event'} was {rest}, now {rest_now}"
