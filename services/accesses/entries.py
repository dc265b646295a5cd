"""What is told of a read: by whom, when, of what, with which outcome. Ids and positions, never free text."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from contracts.tags import canonical_tag

_NUMBER = re.compile("[0-9]{1,19}").fullmatch
_PLACE = re.compile(r"/?[x0-9/]{1,40}(\.p/[0-9]{1,3})?").fullmatch

_NUMBERS = ("position", "after", "limit")
"""Parameters that are positions or counts."""


class Access(NamedTuple):
    """A row of `access.entry`, without its number."""

    at: datetime
    client_id: str
    method: str
    route: str
    status: int
    tags: list[str]
    target: dict[str, Any]


def access_of(scope: Mapping[str, Any], route: str, client_id: str, status: int) -> Access:
    """The access of an answered request. Whoever puts a name where an id belongs does not get it recorded."""
    path: Mapping[str, Any] = scope.get("path_params", {})
    query = parse_qsl(scope["query_string"].decode("latin-1"))
    tags, target = list(_tags(path, query)), dict[str, Any]()
    for name, value in (*path.items(), *query):
        if name in _NUMBERS and _NUMBER(str(value)):
            target[name] = int(value)
        elif name == "place" and _PLACE(str(value)):
            target[name] = str(value).lstrip("/")
    return Access(datetime.now(UTC), client_id, scope["method"], route, status, tags, target)


def _tags(path: Mapping[str, Any], query: list[tuple[str, str]]) -> Iterator[str]:
    named = [f"{kind}:{path[f'{kind}_id']}" for kind in ("person", "registration") if f"{kind}_id" in path]
    asked = [value for name, value in query if name == "tag"]
    asked += [f"person:{value}" for name, value in query if name == "person"]
    for text in dict.fromkeys((*named, *asked)):
        if (tag := canonical_tag(text)) is not None:
            yield tag
