"""What the HTTP process shows of the checkpoint that it serves, whether a publisher runs or not."""

import contextlib
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from contracts.problems import NotFound
from services.projections.transparency.note import NoteRefused
from services.projections.transparency.published import Published


class ServedCollector(Collector):
    """The size of the served checkpoint, and what it does not cover yet. head: the log's, None while unknown."""

    def __init__(self, published: Published, head: Callable[[], int | None]) -> None:
        self._published = published
        self._head = head

    def describe(self) -> list[Metric]:
        """None: registering asks for no figures."""
        return []

    def collect(self) -> Iterator[Metric]:
        if not self._published.anywhere:
            return
        try:
            size = self._published.size()
        except NotFound:
            size = 0
        except (NoteRefused, OSError):
            return
        name = "certibranche_transparency_served_size"
        yield GaugeMetricFamily(name, "Entries in the checkpoint that is served", value=size)
        if (head := self._head()) is not None:
            name = "certibranche_transparency_waiting_entries"
            yield GaugeMetricFamily(
                name, "Entries that the served checkpoint does not cover", value=max(0, head - size)
            )

    @contextlib.contextmanager
    def shown(self, registry: CollectorRegistry) -> Iterator[None]:
        """Part of the registry's metrics."""
        registry.register(self)
        try:
            yield
        finally:
            registry.unregister(self)
