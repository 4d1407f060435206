"""`spec.liveness` of a StreamPool: the times of the protocol, and what to do when many workers go silent at once."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from fingerv7.api.fields import Duration, Interval, Model, TakeoverTime, validations
from fingerv7.api.rules import TIMES
from fingerv7.contract import Timing, parse_duration


class MassFailure(Model):
    """A brake: when so many workers go silent at once, the network is the likelier cause."""

    threshold_percent: Annotated[int, Field(ge=1, le=100)] = 50
    """Takeovers are held when more than this share of the pool's workers, and more than two, go silent within
    one `takeoverAfter`."""
    max_hold: Duration = "60s"
    """How long takeovers are held at most; afterwards they proceed at a bounded rate."""

    @property
    def max_hold_ms(self) -> int:
        return parse_duration(self.max_hold)


class Liveness(Model):
    """When a worker counts as late, stops by itself, and loses its streams. What is left out is derived."""

    model_config = ConfigDict(json_schema_extra=validations(*(time.rule() for time in TIMES)))

    takeover_after: TakeoverTime = "20s"
    """A worker silent for so long loses its streams to others."""
    renew_interval: Interval | None = None
    """How often a sidecar renews its Lease; 5/12 of `fenceAfter`, at most 10s, when absent."""
    request_timeout: Interval | None = None
    """How long one request of a sidecar may take; 1/6 of `fenceAfter`, at most 5s, when absent."""
    fence_after: Interval | None = None
    """A sidecar that could not renew for so long empties its worker's config; 9/10 of `takeoverAfter` less
    `stopTime` when absent."""
    stop_time: Interval | None = None
    """How long a worker may take to stop after its config was emptied; 3/10 of `takeoverAfter`, at most 6s, when
    absent. In pods at least 6s."""
    warning_after: Interval | None = None
    """A worker silent for so long is shown as late; half of `takeoverAfter` when absent."""
    remove_after: Interval = "24h"
    """A silent worker that the operator created itself is deleted after so long."""
    mass_failure: MassFailure = MassFailure()
    """What to do when many workers go silent at once."""

    def timing(self) -> Timing:
        """The five times of the protocol, derived where they are left out."""
        return Timing.derive(
            parse_duration(self.takeover_after),
            renew_interval_ms=_optional_ms(self.renew_interval),
            request_timeout_ms=_optional_ms(self.request_timeout),
            fence_after_ms=_optional_ms(self.fence_after),
            stop_time_ms=_optional_ms(self.stop_time),
        )

    @property
    def takeover_after_ms(self) -> int:
        return parse_duration(self.takeover_after)

    @property
    def warning_after_ms(self) -> int:
        given = _optional_ms(self.warning_after)
        return self.takeover_after_ms // 2 if given is None else given

    @property
    def remove_after_ms(self) -> int:
        return parse_duration(self.remove_after)

    @model_validator(mode="after")
    def _keeps_the_inequalities(self) -> Self:
        timing = self.timing()
        broken = [time.message for time in TIMES if not time.holds(timing, self.warning_after_ms)]
        if broken:
            raise ValueError("; ".join(broken))
        return self


def _optional_ms(text: str | None) -> int | None:
    return None if text is None else parse_duration(text)
