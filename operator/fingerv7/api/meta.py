"""What both kinds have in common around their spec and status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from fingerv7.api.fields import Model

MAX_DEPTH = 64
"""Levels of objects and lists below `spec`; a pod needs about a dozen."""
_SHOWN = 6


def too_deep(document: object, most: int) -> Sequence[str] | None:
    """The way to something below so many levels of objects and lists, or None. Does not recurse."""
    level: list[tuple[object, tuple[str, ...]]] = [(document, ())]
    for _ in range(most + 1):
        level = [
            (each, (*way, str(key)) if len(way) < _SHOWN else way)
            for value, way in level
            for key, each in _inside(value)
            if isinstance(each, (Mapping, list))
        ]
        if not level:
            return None
    return level[0][1]


def _inside(value: object) -> Iterable[tuple[object, object]]:
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


class ObjectMeta(Model):
    """The part of Kubernetes' object metadata that the operator reads; empty where it is not set."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: list[str] = Field(default_factory=list)
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value}


class Resource(Model):
    """A Kubernetes object of this API group."""

    api_version: Literal["fingerv7.io/v1alpha1"] = "fingerv7.io/v1alpha1"
    kind: str
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
