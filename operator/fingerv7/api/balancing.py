"""`spec.balancing` of a StreamPool: how the streams are shared, and how eagerly they are moved."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from fingerv7.api.fields import (
    ATOMIC,
    Duration,
    Keywords,
    Model,
    ObjectName,
    Percent,
    RotationTime,
    StreamId,
    validations,
)
from fingerv7.api.rules import EXCLUSION
from fingerv7.contract import parse_duration


class Strategy(StrEnum):
    """What an even share is."""

    CAPACITY = "Capacity"
    PERFORMANCE = "Performance"
    LOCATION = "Location"


class Mode(StrEnum):
    """What happens with a balancing plan."""

    AUTO = "Auto"
    ADVISORY = "Advisory"
    MANUAL = "Manual"


class Rotation(Model):
    """Streams change their worker regularly, even where the loads are even."""

    every: RotationTime
    """Each stream changes its worker once in this time, spread over all of it and within `maxMovesPerRoundPercent`,
    as far as the loads stay even."""

    @property
    def every_ms(self) -> int:
        return parse_duration(self.every)


class Pin(Model):
    """A stream that only one worker may have."""

    stream: StreamId
    """The stream's id."""
    worker: ObjectName
    """The FingerWorker's name. While it cannot have the stream, nobody has it."""


class Exclusion(Model):
    """What may not come together."""

    model_config = ConfigDict(json_schema_extra=validations(EXCLUSION))

    stream: StreamId | None = None
    """A stream's id. Without a worker: nobody may have it."""
    worker: ObjectName | None = None
    """A FingerWorker's name. Without a stream: it is given nothing new, and keeps what it has."""

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.stream is None and self.worker is None:
            raise ValueError(EXCLUSION.message)
        return self


def _each_stream_once(pins: list[Pin]) -> list[Pin]:
    seen: set[str] = set()
    for pin in pins:
        if pin.stream in seen:
            raise ValueError(f"stream {pin.stream!r} is pinned twice; a stream has one worker at most")
        seen.add(pin.stream)
    return pins


_BY_STREAM = Keywords((("x-kubernetes-list-type", "map"), ("x-kubernetes-list-map-keys", ("stream",))))
"""The API server refuses a second entry of a stream itself, which costs nothing of the rules' budget."""


class Balancing(Model):
    """How streams are shared among the workers, and how eagerly they are moved."""

    strategy: Strategy = Strategy.CAPACITY
    """`Capacity`: every worker gets the same share of its capacity. `Performance`: the same, with each capacity
    weighted by the worker's performance score. `Location`: a stream's own location comes first, and loads are even
    within a location."""
    mode: Mode = Mode.AUTO
    """What happens with a plan of balancing moves. `Auto`: it is applied. `Advisory`: it is only shown, as
    `status.proposal`. `Manual`: it is shown and waits for the annotation `fingerv7.io/approve` with its id. Repairs
    (streams of lost workers, new streams, drains) are applied in every mode."""
    imbalance_threshold_percent: Percent = 15
    """How far a worker's load may be from the mean load before streams move for balance."""
    max_stream_difference: Annotated[int, Field(ge=0, le=1000)] = 3
    """How many streams a worker may be away from its fair share before streams move for balance; both tolerances
    have to be exceeded."""
    cooldown: Duration = "300s"
    """How long after a round of balancing moves no other one begins. Repairs never wait."""
    max_moves_per_round_percent: Annotated[int, Field(ge=1, le=100)] = 10
    """The largest share of all streams that one round may move for balance."""
    target_load_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    """A worker loaded above this share of its capacity gets nothing while another that could take it is below; no
    such target when absent."""
    rotation: Rotation | None = None
    """Regular changes of worker; none when absent."""
    pins: Annotated[list[Pin], Field(max_length=256), _BY_STREAM, AfterValidator(_each_stream_once)] = Field(
        default_factory=list
    )
    """Streams that only one worker may have, each at most once."""
    exclusions: Annotated[list[Exclusion], Field(max_length=256), ATOMIC] = Field(default_factory=list)
    """Streams and workers that are left out, or kept apart."""

    @property
    def cooldown_ms(self) -> int:
        return parse_duration(self.cooldown)
