"""The stored bytes: one event is one byte string everywhere. Section 6 of the contract.

An event is a CloudEvent in JSON in the form of RFC 8785. msgspec's sorted encoder writes that form for what occurs
here: no floats, and no key beyond ASCII.
"""

from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import UNSET, UnsetType

from contracts.facts import FACTS, Fact, Part
from contracts.upcasters import UPCASTERS, upcast

F = TypeVar("F", bound=Part)

ENTRY_BYTES_MAX = 65_535
"""An entry of a transparency log is no longer (c2sp.org/tlog-tiles); larger events are refused with 413."""

REGISTRY_SOURCE = "urn:certibranche:registry"
"""The source of the facts that the registry makes itself."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What an event says beside its data and its place: who posted it, under which name, when it occurred.

    authid: the token's client_id, a system and never a person.
    time: RFC 3339, as posted; the recorded time stands in when absent.
    """

    id: str
    source: str
    authid: str
    authtype: str = "service_account"
    time: str | UnsetType = UNSET
    correlationid: str | UnsetType = UNSET
    causationid: str | UnsetType = UNSET
    traceparent: str | UnsetType = UNSET


class StoredEvent(msgspec.Struct, Generic[F], frozen=True, kw_only=True):
    """An event as it is stored: the CloudEvent, member by member."""

    specversion: str = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str = "application/json"
    data: F
    recordedtime: str
    sequence: str
    authid: str
    authtype: str
    correlationid: str | UnsetType = UNSET
    causationid: str | UnsetType = UNSET
    traceparent: str | UnsetType = UNSET

    @property
    def position(self) -> int:
        return int(self.sequence)

    @property
    def recorded_at(self) -> datetime:
        return datetime.fromisoformat(self.recordedtime)


_encoder = msgspec.json.Encoder(order="sorted")


def encode(envelope: Envelope, fact: Fact, position: int, recorded_at: datetime) -> bytes:
    """The bytes of an event at a position (from 1), recorded at a moment (with a time zone; microseconds count)."""
    recordedtime = _timestamp(recorded_at)
    return canonical(
        StoredEvent(
            id=envelope.id,
            source=envelope.source,
            type=fact.type_name(),
            subject=partition_key(fact) or envelope.id,
            time=recordedtime if isinstance(envelope.time, UnsetType) else envelope.time,
            data=fact,
            recordedtime=recordedtime,
            sequence=f"{position:019d}",
            authid=envelope.authid,
            authtype=envelope.authtype,
            correlationid=envelope.correlationid,
            causationid=envelope.causationid,
            traceparent=envelope.traceparent,
        )
    )


@lru_cache(maxsize=8)
def _timestamp(moment: datetime) -> str:
    """Events recorded together share it, and writing it takes longer than all the rest of an event."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@cache
def _decoder(fact_type: type[F]) -> "msgspec.json.Decoder[StoredEvent[F]]":
    return msgspec.json.Decoder(StoredEvent[fact_type])  # type: ignore[valid-type]


class _TypeOnly(msgspec.Struct):
    type: str


_type_decoder = msgspec.json.Decoder(_TypeOnly)


def decode(entry: bytes, type_name: str | None = None) -> StoredEvent[Fact]:
    """The event of stored bytes. Who knows its type saves a look at the bytes.

    An older version's data is upcast to today's fact; its `type` stays what the bytes say.
    Raises KeyError for a type that is not in the contract.
    """
    name = type_name or _type_decoder.decode(entry).type
    if (fact_type := FACTS.get(name)) is not None:
        return _decoder(fact_type).decode(entry)
    return lifted(written(entry))


def written(entry: bytes) -> StoredEvent[Any]:
    """The event of stored bytes, its data in the version in which it was recorded.

    Raises KeyError for a type that is not in the contract, msgspec.DecodeError for what has not the form of its type.
    """
    name = _type_decoder.decode(entry).type
    form: type[Part] = FACTS[name] if name in FACTS else UPCASTERS[name].form
    return _decoder(form).decode(entry)


def lifted(event: StoredEvent[Any]) -> StoredEvent[Fact]:
    """The event with today's fact as its data; its `type` stays."""
    if event.type in FACTS:
        return event
    return cast("StoredEvent[Fact]", msgspec.structs.replace(event, data=upcast(event.type, event.data)))


def canonical(event: StoredEvent[Any]) -> bytes:
    """The bytes of an event."""
    return _encoder.encode(event)


@cache
def _key_members(fact_type: type[Fact]) -> tuple[str, ...]:
    members = ("person_id", "kept_id", "certification_id")
    return tuple(member for member in members if member in fact_type.__struct_fields__)


def partition_key(fact: Fact) -> str | None:
    """What keeps the facts of one thing together: data.person_id, else kept_id, else certification_id.

    None where the fact has none of them: then the event's own id is its key.
    """
    for member in _key_members(type(fact)):
        key: str = getattr(fact, member)
        return key
    return None
