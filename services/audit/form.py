"""The form of each stored event, by section 6 of the contract, and the order of them all."""

import re
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET

from contracts.envelope import ENTRY_BYTES_MAX, REGISTRY_SOURCE, StoredEvent, canonical, lifted, partition_key, written
from contracts.facts import Fact
from contracts.problems import Problem
from services.audit.findings import Check
from services.registry.http.cloudevents import from_json

_RECORDEDTIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII).fullmatch
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_MEMBERS = frozenset(StoredEvent.__struct_fields__)
_POSTED = ("specversion", "id", "source", "type", "time", "correlationid", "causationid", "traceparent")


class Forms:
    """Looks at one entry after the other, in order of their positions."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._recordedtime = ""

    def event(self, position: int, entry: bytes) -> StoredEvent[Fact] | None:
        """The event, its data lifted to today's fact; None when it cannot be read. What is wrong is noted."""
        try:
            event = written(entry)
        except KeyError as unknown:
            self._find("type-unknown", f"{unknown} is no type of the contract that this program knows.", position)
            return None
        except msgspec.MsgspecError as error:
            self._find("not-an-event", f"The entry has not the form of its type: {error}.", position)
            return None
        if canonical(event) != entry:
            self._find("not-canonical", _difference(entry, canonical(event)), position)
        event = lifted(event)
        if len(entry) > ENTRY_BYTES_MAX:
            self._find("too-large", f"The entry has {len(entry)} bytes, {ENTRY_BYTES_MAX} are allowed.", position)
        self._attributes(position, event)
        return event if self._place(position, event) else None

    def _attributes(self, position: int, event: StoredEvent[Fact]) -> None:
        try:
            from_json({name: _given(getattr(event, name)) for name in _POSTED} | {"data": {}})
        except Problem as problem:
            self._find("attribute-wrong", problem.detail, position)
        if event.datacontenttype != "application/json":
            self._find("attribute-wrong", f"datacontenttype is {event.datacontenttype!r}.", position)
        if not event.authid:
            self._find("attribute-wrong", "authid is empty.", position)
        made_here = type(event.data).posted is None
        if event.authtype != ("system" if made_here else "service_account"):
            self._find("attribute-wrong", f"authtype of {event.type} is {event.authtype!r}.", position)
        if made_here and not (event.source == REGISTRY_SOURCE and _UUID(event.id)):
            said = f"A fact that the registry makes has source {event.source!r} and id {event.id!r}."
            self._find("attribute-wrong", said, position)
        subject = partition_key(event.data) or event.id
        if event.subject != subject:
            said = f"The subject is {event.subject!r}, the partition key {subject!r}."
            self._find("subject-wrong", said, position)

    def _place(self, position: int, event: StoredEvent[Fact]) -> bool:
        """Whether recordedtime can be read, so that the event can be judged by the day it was recorded on."""
        if event.sequence != f"{position:019d}":
            self._find("sequence-wrong", f"The sequence is {event.sequence!r}.", position)
        try:
            datetime.fromisoformat(event.recordedtime if _RECORDEDTIME(event.recordedtime) else "")
        except ValueError:
            self._find("attribute-wrong", f"recordedtime is {event.recordedtime!r}.", position)
            return False
        if event.recordedtime < self._recordedtime:  # of one form, so that they sort as their letters do
            said = f"recordedtime {event.recordedtime} comes after {self._recordedtime}."
            self._find("time-goes-back", said, position)
        self._recordedtime = max(self._recordedtime, event.recordedtime)
        return True

    def _find(self, what: str, says: str, position: int) -> None:
        self._check.find(what, says, position=position)


def _given(value: Any) -> Any:
    return None if value is UNSET else value


def _difference(entry: bytes, right: bytes) -> str:
    """In which way the bytes are not those of their event."""
    unknown = sorted(msgspec.json.decode(entry, type=dict[str, Any]).keys() - _MEMBERS)
    if unknown:
        return f"The event has the attributes {', '.join(name[:40] for name in unknown[:5])}, which none has."
    at = next((at for at, (one, other) in enumerate(zip(entry, right, strict=False)) if one != other), len(right))
    return f"The entry is not in the form of RFC 8785 from byte {at} on."
