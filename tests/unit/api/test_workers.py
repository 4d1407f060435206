"""`spec.workers`: what is filled in, what is kept as it is, and what is refused with which sentence."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from fingerv7.api.streampool import StreamPool

SOURCE = {"postgres": {"secretRef": {"name": "streams-db"}, "table": "streams"}}
TEMPLATE = {
    "metadata": {"labels": {"team": "radio"}},
    "spec": {
        "nodeSelector": {"disk": "fast"},
        "containers": [{"name": "fingerv7", "image": "fingerv7:1", "ports": [{"containerPort": 80}]}],
    },
}


def parse(liveness=None, **workers):
    spec = {"source": SOURCE, "workers": {"template": TEMPLATE, **workers}, "liveness": liveness or {}}
    return StreamPool.parse({"metadata": {"name": "radio"}, "spec": spec})


def test_a_template_is_enough_and_is_kept_as_it_is():
    workers = parse().spec.workers
    assert workers.template.dump() == {**TEMPLATE, "metadata": {"labels": {"team": "radio"}, "annotations": {}}}
    assert (workers.replicas, workers.container, workers.fence_check) == (1, "fingerv7", "Guard")
    assert (workers.defaults.max_streams, workers.defaults.capabilities) == (50, ["audio_fingerprinting"])
    assert (workers.rollout.max_unavailable, workers.rollout.progress_timeout_ms) == (1, 600_000)
    assert workers.autoscaling is None


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"container": "worker"}, "has no container of the name in spec.workers.container"),
        ({"template": {"spec": {"containers": []}}}, "at least 1 item"),
        ({"fenceCheck": "Nobody"}, "Input should be 'Guard' or 'Worker'"),
        ({"replicas": 5001}, "less than or equal to 5000"),
        ({"autoscaling": {"minReplicas": 3, "maxReplicas": 2}}, "minReplicas must be at most maxReplicas"),
        ({"defaults": {"capabilities": ["vpn"]}}, "capabilities must contain audio_fingerprinting"),
        ({"overrides": [{"name": "radio-003", "capabilities": ["vpn"]}]}, "must contain audio_fingerprinting"),
        ({"sidecar": {"env": [{"name": "ack", "value": "File"}]}}, "should match pattern"),
        ({"liveness": {"takeoverAfter": "10s"}}, "needs a liveness.stopTime of at least 6s"),
        ({"liveness": {"takeoverAfter": "60s", "stopTime": "5s"}}, "needs a liveness.stopTime of at least 6s"),
    ],
)
def test_what_cannot_work_is_refused(wrong, sentence):
    with pytest.raises(ValidationError, match=sentence):
        parse(**wrong)


def test_the_derived_stop_time_is_enough_for_a_kubelet_from_twenty_seconds_on():
    assert parse(liveness={"takeoverAfter": "20s"}).spec.liveness.timing().stop_time_ms == 6_000
    with pytest.raises(ValidationError, match="leave it out where takeoverAfter is at least 20s"):
        parse(liveness={"takeoverAfter": "19s"})


def test_without_workers_the_template_is_no_concern():
    pool = StreamPool.parse({"metadata": {"name": "radio"}, "spec": {"source": SOURCE}})
    assert pool.spec.workers is None
