"""What the edge counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Requests by method, route template and status; their latency; those in flight. One for each registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("method", "route")
        self._requests = Counter("http_requests", "Requests answered", (*labels, "status"), registry=registry)
        self._seconds = Histogram(
            "http_request_duration_seconds", "Time to the last byte", labels, registry=registry, buckets=SECONDS
        )
        in_flight = Gauge("http_requests_in_flight", "Requests being answered", registry=registry)
        in_flight.set_function(lambda: self.in_flight)
        self.in_flight = 0
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def count(self, method: str, route: str, status: int, duration_s: float) -> None:
        """One request answered. Unknown methods are counted together: a caller must not make label values."""
        key = (method if method in METHODS else "OTHER", route, status)
        children = self._children.get(key)
        if children is None:
            children = self._requests.labels(*key), self._seconds.labels(*key[:2])
            self._children[key] = children
        children[0].inc()
        children[1].observe(duration_s)
