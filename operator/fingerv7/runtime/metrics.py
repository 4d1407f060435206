"""What /metrics of a replica says. Only the leader has figures of pools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

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
    "imbalancePercent": "How far the most uneven worker's load is from the mean load",
}
_CONDITIONS = (
    "Ready",
    "SourceReachable",
    "SourceChanged",
    "SourceShared",
    "Balanced",
    "TakeoverHeld",
    "StreamsSuspected",
    "WorkersReady",
)
_BRAKES = {
    "held_workers": "Silent workers whose takeover the brake on mass failure holds",
    "backing_off_workers": "Workers that died lately and get no streams for a while",
    "suspected_streams": "Streams kept from everybody because workers died of them",
}
_FLEET = {
    "replicas": "Workers that the operator runs, those on their way out included",
    "desired_replicas": "How many of them there are to be: spec.workers.replicas, or what autoscaling came to",
    "ready_replicas": "Those of them that are in service",
    "updated_replicas": "Those of them whose pod is made from the present template",
    "needed_replicas": "With autoscaling: how many would do for the present streams, before the stabilization window",
    "rollout_stopped": "1 while a rollout is stopped by a new pod that is not in service",
}


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
        self._moves = Counter(
            "fingerv7_pool_moves", "Moves begun, for each reason", (*_POOL, "reason"), registry=self.registry
        )
        self._proposed = Gauge(
            "fingerv7_pool_proposed_moves", "Moves of the proposal that waits", _POOL, registry=self.registry
        )
        self._deciding = Histogram(
            "fingerv7_pool_decision_seconds",
            "How long it takes to decide a round",
            _POOL,
            registry=self.registry,
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
        )
        self._counts = {
            field: Gauge(f"fingerv7_pool_{_snake(field)}", text, _POOL, registry=self.registry)
            for field, text in _COUNTS.items()
        }
        self._brakes = {
            name: Gauge(f"fingerv7_pool_{name}", text, _POOL, registry=self.registry)
            for name, text in _BRAKES.items()
        }
        self._fleet = {
            name: Gauge(f"fingerv7_pool_{name}", text, _POOL, registry=self.registry) for name, text in _FLEET.items()
        }
        self._pods_created = Counter(
            "fingerv7_pool_pods_created",
            "Pods made for managed workers, for each reason",
            (*_POOL, "reason"),
            registry=self.registry,
        )
        self._pods_deleted = Counter(
            "fingerv7_pool_pods_deleted",
            "Pods of managed workers deleted by the operator, for each reason",
            (*_POOL, "reason"),
            registry=self.registry,
        )
        self._condition = Gauge(
            "fingerv7_pool_condition", "1 when the condition is True", (*_POOL, "type"), registry=self.registry
        )

    def took_over(self, pool: PoolKey) -> None:
        self._takeovers.labels(*pool).inc()

    def moved(self, pool: PoolKey, reasons: Mapping[str, int]) -> None:
        for reason, count in reasons.items():
            self._moves.labels(*pool, reason).inc(count)

    def decided(self, pool: PoolKey, seconds: float) -> None:
        self._deciding.labels(*pool).observe(seconds)

    def show(self, pool: PoolKey, status: dict[str, Any]) -> None:
        """The figures of a StreamPool's status."""
        for field, gauge in self._counts.items():
            gauge.labels(*pool).set(status[field])
        self._proposed.labels(*pool).set(status["proposal"]["moves"] if status.get("proposal") else 0)
        shown = {condition["type"]: condition["status"] for condition in status["conditions"]}
        for name in _CONDITIONS:
            if name in shown:
                self._condition.labels(*pool, name).set(shown[name] == "True")
            else:
                self._condition.remove(*pool, name)

    def fleet(self, pool: PoolKey, **figures: int | None) -> None:
        """Of the workers that the pool manages; None for what it does not have, such as autoscaling."""
        for name, figure in figures.items():
            if figure is None:
                self._fleet[name].remove(*pool)
            else:
                self._fleet[name].labels(*pool).set(figure)

    def forget_fleet(self, pool: PoolKey) -> None:
        """The pool manages no workers, or none any more."""
        for gauge in self._fleet.values():
            gauge.remove(*pool)

    def made_pod(self, pool: PoolKey, reason: str) -> None:
        self._pods_created.labels(*pool, reason).inc()

    def deleted_pod(self, pool: PoolKey, reason: str) -> None:
        self._pods_deleted.labels(*pool, reason).inc()

    def brake(self, pool: PoolKey, **figures: int) -> None:
        """What is held back on purpose."""
        for name, figure in figures.items():
            self._brakes[name].labels(*pool).set(figure)

    def forget(self, pool: PoolKey) -> None:
        """A pool that is gone has no figures."""
        own = (self._takeovers, self._moves, self._proposed, self._deciding, self._condition)
        pods = (self._pods_created, self._pods_deleted)
        for metric in (*self._counts.values(), *self._brakes.values(), *self._fleet.values(), *pods, *own):
            metric.remove_by_labels(dict(zip(_POOL, pool, strict=True)))

    def text(self) -> bytes:
        """The exposition format of Prometheus."""
        return generate_latest(self.registry)


def _snake(field: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in field)
