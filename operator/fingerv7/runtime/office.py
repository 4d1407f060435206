"""What everything that runs in one term of leadership shares."""

from __future__ import annotations

from dataclasses import dataclass, field

from fingerv7.adapters.kube.api import KubeApi
from fingerv7.adapters.kube.events import EventRecorder
from fingerv7.runtime.clocks import Clocks
from fingerv7.runtime.fleets import Fleets
from fingerv7.runtime.metrics import Metrics
from fingerv7.runtime.term import Term
from fingerv7.runtime.vitals import Vitals

AT_ONCE = 50
"""Writes besides assignments in one round, so that they never keep a takeover waiting for long."""


@dataclass(frozen=True, slots=True)
class Office:
    """The leader's connections, its right to write, and its clocks."""

    api: KubeApi
    fleets: Fleets
    term: Term
    recorder: EventRecorder
    clocks: Clocks = field(default_factory=Clocks)
    metrics: Metrics = field(default_factory=Metrics)
    vitals: Vitals = field(default_factory=Vitals)
    sidecar_image: str = ""
    """For managed workers of pools that name none."""
    sidecar_pull_policy: str = ""
    """For that image."""
