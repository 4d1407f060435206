"""What /metrics of a replica says. Only the leader has figures of pools."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from fingerv7.runtime.fleet import PoolKey

_POOL = ("namespace", "pool")
_COUNTS = {
    "streams": "Active streams in the source",
    "assigned": "Streams that a live worker was given",
    "unassigned": "Streams that nobody was given",
    "quarantined": "Rows that cannot be served",
    "workers": "FingerWorkers of the pool",
    "readyWorkers": "FingerWorkers that are alive",
    "capacity": "Streams that the ready workers may have together",
}
_CONDITIONS = ("Ready", "SourceReachable", "SourceChanged", "SourceShared", "Balanced", "TakeoverHeld")


class Metrics:
    """One registry a process, so that tests can have several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.leader = Gauge("fingerv7_operator_leader", "1 in office, 0 standing by", registry=self.registry)
        self.known_workers = Gauge(
            "fingerv7_operator_known_workers", "FingerWorkers in the store", registry=self.registry
        )
        self.watch_gaps = Gauge(
            "fingerv7_operator_watch_gaps", "How often the watch of Leases was lost", registry=self.registry
        )
        self._takeovers = Counter(
            "fingerv7_pool_takeovers", "Workers whose streams were given to others", _POOL, registry=self.registry
        )
        self._counts = {
            field: Gauge(f"fingerv7_pool_{_snake(field)}", text, _POOL, registry=self.registry)
            for field, text in _COUNTS.items()
        }
        self._condition = Gauge(
            "fingerv7_pool_condition", "1 when the condition is True", (*_POOL, "type"), registry=self.registry
        )

    def took_over(self, pool: PoolKey) -> None:
        self._takeovers.labels(*pool).inc()

    def show(self, pool: PoolKey, status: dict[str, Any]) -> None:
        """The figures of a StreamPool's status."""
        for field, gauge in self._counts.items():
            gauge.labels(*pool).set(status[field])
        for condition in status["conditions"]:
            if condition["type"] in _CONDITIONS:
                self._condition.labels(*pool, condition["type"]).set(condition["status"] == "True")

    def forget(self, pool: PoolKey) -> None:
        """A pool that is gone has no figures."""
        for metric in (*self._counts.values(), self._takeovers):
            metric.remove_by_labels(dict(zip(_POOL, pool, strict=True)))
        self._condition.remove_by_labels(dict(zip(_POOL, pool, strict=True)))

    def text(self) -> bytes:
        """The exposition format of Prometheus."""
        return generate_latest(self.registry)


def _snake(field: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in field)
