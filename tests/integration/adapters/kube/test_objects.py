"""What the operator writes survives the CRDs' schemas unchanged."""

from __future__ import annotations

from typing import Any

import pytest

from fingerv7.adapters.kube.objects import assignment_to_json, worker_from_json
from fingerv7.adapters.kube.resources import FINGERWORKERS
from fingerv7.contract import assignment_hash
from fingerv7.core.model import Assignment, Grant, Stream, Token

pytestmark = pytest.mark.integration

STREAMS = [
    Stream("plain", "http://radio.example/plain"),
    Stream("named", "https://user:pass@radio.example/a?b=c&d=<e>", "Rádio “1” 📻"),
    Stream("heavy", "http://radio.example/heavy", weight=7, location="dc-1", capabilities=frozenset({"aac", "hls"})),
    Stream("told", "http://radio.example/told", metadata={"country": "PT", "codec": ""}),
]


async def test_an_assignment_is_stored_as_it_was_meant(api: Any, namespace: str) -> None:
    body = {
        "apiVersion": FINGERWORKERS.api_version,
        "kind": FINGERWORKERS.kind,
        "metadata": {"name": "w"},
        "spec": {"poolRef": {"name": "radio"}, "maxStreams": 5, "capabilities": ["audio_fingerprinting"]},
    }
    worker = worker_from_json(await api.create(FINGERWORKERS.path(namespace), body))
    assert worker.assignment == Assignment()
    grants = {stream.id: Grant(stream, Token(9, number)) for number, stream in enumerate(STREAMS)}
    assignment = Assignment(3, 9, grants, {"taken": 2, "away": 3})
    patch = {
        "metadata": {"resourceVersion": str(worker.resource_version)},
        "status": {"assignment": assignment_to_json(assignment, worker_uid=worker.uid)},
    }
    await api.merge_patch(FINGERWORKERS.path(namespace, "w", "status"), patch)
    raw = await api.get(FINGERWORKERS.path(namespace, "w"))
    assert worker_from_json(raw).assignment == assignment
    stored = raw["status"]["assignment"]
    assert stored["hash"] == assignment_hash(worker.uid, 3, stored["streams"])
