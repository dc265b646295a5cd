"""Subjects of the NATS stream. Section 5 of the contract."""

from functools import lru_cache

from contracts.envelope import StoredEvent
from contracts.facts import Fact

STREAM = "CERTIBRANCHE"
SUBJECT_PREFIX = "certibranche.v1"
PARTITIONS = 64


def fnv1a_32(key: bytes) -> int:
    """The FNV-1a hash, 32 bits (draft-eastlake-fnv): what NATS's own `partition()` mapping computes."""
    digest = 0x811C9DC5
    for byte in key:
        digest = ((digest ^ byte) * 0x01000193) & 0xFFFFFFFF
    return digest


def subject(event: StoredEvent[Fact]) -> str:
    """`certibranche.v1.<partition>.<name of the fact>.<certification_id or ->`."""
    certification_id = getattr(event.data, "certification_id", "-")
    return f"{SUBJECT_PREFIX}.{partition(event.subject)}.{event.data.name}.{certification_id}"


@lru_cache(maxsize=4096)
def partition(key: str) -> int:
    """The partition of a partition key, from 0 to 63."""
    return fnv1a_32(key.encode()) % PARTITIONS
