"""StreamPool: what is wanted of a pool as a whole, and what the operator sees of it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from fingerv7.api.balancing import Balancing
from fingerv7.api.fields import Duration, Interval, Model, validations
from fingerv7.api.liveness import Liveness
from fingerv7.api.meta import MAX_DEPTH, Resource, too_deep
from fingerv7.api.pool_status import StreamPoolStatus
from fingerv7.api.rules import POD_STOP_TIME, POD_STOP_TIME_MS, POOL
from fingerv7.api.source import Source
from fingerv7.api.workers import Workers
from fingerv7.contract import parse_duration


class Registration(StrEnum):
    """Who may add workers to a pool."""

    DECLARED = "Declared"
    OPEN = "Open"


class StreamPoolSpec(Model):
    """What is wanted of a pool."""

    model_config = ConfigDict(json_schema_extra=validations(POD_STOP_TIME))

    source: Source
    """Where the streams come from."""
    registration: Registration = Registration.DECLARED
    """`Declared`: only FingerWorkers that somebody created take part. `Open`: a worker may register itself through
    its Lease."""
    balancing: Balancing = Balancing()
    """How streams are shared among the workers."""
    liveness: Liveness = Liveness()
    """How failures are judged."""
    workers: Workers | None = None
    """The fleet that the operator runs for the pool; absent: none, and what it ran before is drained and removed."""
    drain_timeout: Duration = "10m"
    """How long a draining worker keeps streams that have no room elsewhere before it gives them up."""
    paused: bool = False
    """Plan nothing new and follow no change of the source. Hand-overs that have begun finish, and takeovers go on."""
    status_refresh_interval: Interval = "30s"
    """How often figures that change with every heartbeat are copied into the workers' status at most."""

    @property
    def drain_timeout_ms(self) -> int:
        return parse_duration(self.drain_timeout)

    @property
    def status_refresh_interval_ms(self) -> int:
        return parse_duration(self.status_refresh_interval)

    @model_validator(mode="after")
    def _gives_a_kubelet_time(self) -> Self:
        if self.workers and self.liveness.timing().stop_time_ms < POD_STOP_TIME_MS:
            raise ValueError(POD_STOP_TIME.message)
        return self


class StreamPool(Resource):
    """A table of streams and the rules by which a fleet of FingerWorkers shares it."""

    model_config = ConfigDict(json_schema_extra=validations(*POOL))

    kind: Literal["StreamPool"] = "StreamPool"
    spec: StreamPoolSpec
    """What is wanted."""
    status: StreamPoolStatus = Field(default_factory=StreamPoolStatus)
    """What the operator sees."""

    @model_validator(mode="before")
    @classmethod
    def _is_shallow(cls, document: object) -> object:
        """Before anything recurses into it: parts of a pod template are whatever somebody wrote."""
        deep = too_deep(document.get("spec"), MAX_DEPTH) if isinstance(document, Mapping) else None
        if deep is not None:
            raise PydanticCustomError(
                "too_deep",
                "{where} is nested too deep; at most {most} levels are accepted",
                {"where": ".".join(["spec", *deep[:5]]) + ("…" if len(deep) > 5 else ""), "most": MAX_DEPTH},
            )
        return document
