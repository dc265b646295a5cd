"""What operators see of the followers: one answer for people, metrics for Prometheus, both out of the database.

Followers have no HTTP port. Where they are is in their builds' rows; what they have counted comes with their leases.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import asyncpg
import msgspec
from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.projections.builds import OLD
from services.projections.metrics import FOLLOWERS
from services.projections.unreachable import UNREACHABLE
from services.tasks import cancelled

REFRESH_S = 1.0
STALE_S = 10.0
"""Figures that could not be read again for so long are shown no more: an alert sees that they are missing."""

KEYS_MAX = 100

_HEAD = "SELECT position FROM log.event ORDER BY position DESC LIMIT 1"

# Every build and every other follower, with its lease. oldest: when the first event behind the position was recorded.
_FOLLOWERS = """
SELECT coalesce(v.name, l.follower) AS name, v.schema, v.version, v.position, v.events, v.parked,
       encode(v.digest, 'hex') AS digest, l.holder, l.fence, l.expires_at > clock_timestamp() AS held,
       (SELECT extract(epoch FROM clock_timestamp() - e.recorded_at)::float8 FROM log.event e
        WHERE e.position = v.position + 1) AS lag_seconds,
       (SELECT count(DISTINCT p.key) FROM projections.parked p
        WHERE v.parked > 0 AND p.schema = v.schema) AS parked_keys,
       l.metrics
FROM projections.view v FULL JOIN projections.lease l ON l.follower = v.name
ORDER BY 1
"""

# $1: schema, $2: how many at most. Returns the keys that have waited longest, with what they wait for.
_PARKED = """
SELECT key, count(*)::int AS events, min(position) AS first_position,
       min(parked_at) AS since, (array_agg(error ORDER BY position) FILTER (WHERE error IS NOT NULL))[1] AS error
FROM projections.parked WHERE schema = $1 GROUP BY key ORDER BY first_position, key LIMIT $2
"""


class ParkedKey(Struct, frozen=True, kw_only=True):
    """Events of one key that wait for a repair. error: what the fold said; null when they wait behind another key's."""

    key: str
    events: int
    first_position: int
    since: str
    error: str | None


class FollowerState(Struct, frozen=True, kw_only=True):
    """One follower: a view's live tables, one that is being filled (`:next`), one that is kept (`:old`), or a relay.

    holder: who runs it, null when nobody does. Members that only views have are null for others.
    """

    name: str
    holder: str | None
    fence: int | None
    version: int | None
    position: int | None
    lag_positions: int | None
    lag_seconds: float | None
    events: int | None
    digest: str | None
    parked_events: int
    parked_keys: int
    parked: list[ParkedKey]


class Followers(Struct, frozen=True, kw_only=True):
    """The followers, and the head of the log. `parked` names at most 100 keys of each."""

    head: int
    followers: list[FollowerState]


class _Sample(Struct):
    name: str
    labels: dict[str, str]
    value: float


class _Family(Struct):
    name: str
    documentation: str
    type: str
    samples: list[_Sample]


_families = msgspec.json.Decoder(list[_Family])


def counted(follower: str) -> str:
    """What this process has counted for a follower, as JSON for its lease.

    Of the views' metrics those that are labelled with it, of the others those that are named after it.
    """
    families = []
    for metric in FOLLOWERS.collect():
        own = metric.name.startswith(f"certibranche_{follower}_")
        samples = [
            _Sample(sample.name, sample.labels, sample.value)
            for sample in metric.samples
            if own or sample.labels.get("view") == follower
        ]
        if samples:
            families.append(_Family(metric.name, metric.documentation, metric.type, samples))
    return msgspec.json.encode(families).decode()


async def followers(pool: asyncpg.Pool) -> Followers:
    """Where every follower is."""
    head = await pool.fetchval(_HEAD) or 0
    states = []
    for row in await pool.fetch(_FOLLOWERS):
        parked = await pool.fetch(_PARKED, row["schema"], KEYS_MAX) if row["parked"] else []
        behind = None if row["position"] is None else max(0, head - row["position"])
        states.append(
            FollowerState(
                name=row["name"],
                holder=row["holder"] if row["held"] else None,
                fence=row["fence"],
                version=row["version"],
                position=row["position"],
                lag_positions=behind,
                lag_seconds=None if behind is None else row["lag_seconds"] or 0.0,
                events=row["events"],
                digest=row["digest"],
                parked_events=row["parked"] or 0,
                parked_keys=row["parked_keys"],
                parked=[ParkedKey(**dict(key) | {"since": key["since"].isoformat()}) for key in parked],
            )
        )
    return Followers(head=head, followers=states)


class FollowerCollector(Collector):
    """Metrics of all followers, as read from the database a second ago at most; `kept_fresh` reads them."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._rows: list[Any] = []
        self._head = 0
        self._read_at = -STALE_S

    def describe(self) -> list[Metric]:
        """None: registering asks for no figures."""
        return []

    def collect(self) -> Iterator[Metric]:
        if time.monotonic() - self._read_at > STALE_S:
            return
        yield from _gauges(self._rows, self._head)
        families: dict[str, Metric] = {}
        for row in self._rows:
            for family in _families.decode(row["metrics"] or "[]") if row["held"] else ():
                metric = Metric(family.name, family.documentation, family.type)
                metric = families.setdefault(family.name, metric)
                for sample in family.samples:
                    metric.add_sample(sample.name, sample.labels, sample.value)
        yield from families.values()

    def head(self) -> int | None:
        """The log's last position, None when it could not be read for a while."""
        return None if time.monotonic() - self._read_at > STALE_S else self._head

    async def refresh(self) -> None:
        """Read the figures. Raises what asyncpg raises."""
        self._head = await self._pool.fetchval(_HEAD) or 0
        self._rows = await self._pool.fetch(_FOLLOWERS)
        self._read_at = time.monotonic()

    @contextlib.asynccontextmanager
    async def kept_fresh(self, registry: CollectorRegistry) -> AsyncIterator["FollowerCollector"]:
        """Part of the registry's metrics, read again every second."""
        registry.register(self)
        refreshing = asyncio.create_task(self._refreshed(), name="follower metrics")
        try:
            yield self
        finally:
            registry.unregister(self)
            await cancelled(refreshing)

    async def _refreshed(self) -> None:
        while True:
            with contextlib.suppress(*UNREACHABLE, asyncpg.PostgresError):
                await self.refresh()
            await asyncio.sleep(REFRESH_S)


def _gauges(rows: list[Any], head: int) -> Iterator[Metric]:
    builds = [row for row in rows if row["position"] is not None and not row["name"].endswith(OLD)]  # that one rests
    figures: dict[str, tuple[str, Callable[[Any], float]]] = {
        "position": ("Last position of the log that the view has applied", lambda row: row["position"]),
        "lag_positions": ("Positions the view has yet to apply", lambda row: max(0, head - row["position"])),
        "lag_seconds": ("Age of the oldest event that the view has yet to apply", lambda row: row["lag_seconds"] or 0),
        "events_applied": ("Events that are in the rows of the view", lambda row: row["events"]),
        "parked_events": ("Events that wait for a repair", lambda row: row["parked"]),
        "parked_keys": ("Keys whose events wait for a repair", lambda row: row["parked_keys"]),
        "version": ("The meaning of the rows, as the code counts it", lambda row: row["version"]),
    }
    for name, (documentation, figure) in figures.items():
        family = GaugeMetricFamily(f"certibranche_view_{name}", documentation, labels=["view"])
        for row in builds:
            family.add_metric([row["name"]], figure(row))
        yield family
    holders = GaugeMetricFamily(
        "certibranche_lease", "1 for who runs a follower, 0 when the lease has expired", labels=["follower", "holder"]
    )
    for row in rows:
        if row["holder"] is not None:
            holders.add_metric([row["name"], row["holder"]], float(row["held"]))
    yield holders
    log = GaugeMetricFamily("certibranche_log_position", "The log's last position")
    log.add_metric([], float(head))
    yield log
