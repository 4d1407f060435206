"""What the sidecar shows of itself: readiness in sentences, metrics in Prometheus' text format."""

from __future__ import annotations

from fingerv7_sidecar.clock import Clock
from fingerv7_sidecar.mode import Mode
from fingerv7_sidecar.protocol import Sidecar


def readiness(sidecar: Sidecar) -> tuple[bool, str]:
    """Whether the Lease is held and the config applied, and one line for each reason why not."""
    problems = sidecar.problems()
    return not problems, "\n".join(problems or ["ready"]) + "\n"


def metrics(sidecar: Sidecar, now: Clock) -> str:
    holding, view, disk = sidecar.holding, sidecar.mirror.view, sidecar.config.on_disk
    last = holding.last
    rows: list[tuple[str, str, str, float | None]] = [
        ("epoch", "gauge", "Epoch of the FingerWorker's assignment.", view.epoch if view else None),
        ("applied_epoch", "gauge", "Epoch that the Lease acknowledges.", sidecar.applied_epoch),
        ("streams", "gauge", "Streams in the config on disk.", disk.streams if disk else 0),
        ("lease_held", "gauge", "1 while the Lease is held and proven.", int(sidecar.lease_held)),
        ("lease_writes_total", "counter", "Acknowledged Lease writes.", holding.ok),
        ("lease_failures_total", "counter", "Lease requests that failed.", holding.failed),
        (
            "renewal_age_seconds",
            "gauge",
            "Since the last acknowledged renewal.",
            now.since(last.sent) if last else None,
        ),
        ("fence_after_seconds", "gauge", "Fence deadline in force.", sidecar.times.fence_s),
        ("fenced", "gauge", "1 while nothing proves that the worker may run.", int(sidecar.fenced)),
        ("fences_total", "counter", "How often the config was emptied by a fence.", sidecar.fences),
        ("released", "gauge", "1 while released or drained.", int(sidecar.mode is Mode.RELEASED)),
        ("worker_suspect", "gauge", "1 while the worker does not follow.", int(sidecar.mode is Mode.SUSPECT)),
        ("confirm_latency_seconds", "gauge", "From the last write to its confirmation.", sidecar.config.latency_s),
    ]
    lines = []
    for name, kind, text, value in rows:
        if value is not None:
            full = f"fingerv7_sidecar_{name}"
            lines += [f"# HELP {full} {text}", f"# TYPE {full} {kind}", f"{full} {value:.15g}"]
    return "\n".join(lines) + "\n"
