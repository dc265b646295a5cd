"""The CloudEvents that the demo posts. Their ids never change, so that a demo that runs again records nothing twice."""

from datetime import date
from uuid import UUID, uuid5

import msgspec

from contracts.facts import FACTS, Part

SOURCE = "urn:certibranche:demo:2018"
NAMESPACE = UUID("2a6b9a52-3c3f-5d0c-8f0e-6f2f0f5b2018")

TYPES: dict[type[Part], str] = {fact.posted: type_name for type_name, fact in FACTS.items() if fact.posted is not None}


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A CloudEvent in structured form."""

    specversion: str = "1.0"
    id: str
    source: str = SOURCE
    type: str
    time: str
    datacontenttype: str = "application/json"
    data: Part


def event(event_id: str, day: date, data: Part) -> Event:
    """The event that tells `data`, which occurred at noon of that day."""
    return Event(id=event_id, type=TYPES[type(data)], time=f"{day}T12:00:00Z", data=data)


def stable_id(name: str) -> str:
    """The same UUID (version 5) for the same name, in every run."""
    return str(uuid5(NAMESPACE, name))
