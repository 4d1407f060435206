from __future__ import annotations

import pytest

from fingerv7.cli.errors import CliError
from fingerv7.cli.planning.fleet import read_fleet
from fingerv7.cli.planning.rules import from_balancing
from fingerv7.core.planner.model import Strategy

AUDIO = "audio_fingerprinting"


def worker(name="w1", *, status=None, pool="radio", **spec):
    return {
        "apiVersion": "fingerv7.io/v1alpha1",
        "kind": "FingerWorker",
        "metadata": {"name": name},
        "spec": {"poolRef": {"name": pool}, "maxStreams": 50, "capabilities": [AUDIO], **spec},
        **({"status": status} if status else {}),
    }


def pool(name="radio", **spec):
    source = {"postgres": {"secretRef": {"name": "db"}, "table": "streams", "columns": {"location": "place"}}}
    return {"kind": "StreamPool", "metadata": {"name": name}, "spec": {"source": source, **spec}}


def granted(*streams, token=1):
    entry = {"url": "https://u:hidden@radio.example/?key=hidden", "token": f"{token}-1", "weight": 2}
    return {"assignment": {"epoch": 3, "streams": [{"id": each, **entry} for each in streams]}}


def read(*objects, pool=None, assume_ready=False):
    return read_fleet(objects, pool=pool, assume_ready=assume_ready, where="fleet.yaml")


def refusal(*objects, **options):
    with pytest.raises(CliError) as error:
        read(*objects, **options)
    return str(error.value)


def test_a_manifest():
    found = read(worker(location="berlin", performanceScorePercent=80, capabilities=[AUDIO, "vpn"])).workers["w1"]
    assert (found.max_streams, found.location, found.score_percent) == (50, "berlin", 80)
    assert (found.capabilities, found.eligible, found.keeps) == ({AUDIO, "vpn"}, True, True)


def test_what_workers_hold_now():
    revoking = {"assignment": {"revoking": [{"id": "c", "epoch": 4}, {"id": "a", "epoch": 4}]}}
    fleet = read(worker("w1", status=granted("a", "b")), worker("w2", status=revoking))
    assert fleet.owners == {"a": "w1", "b": "w1", "c": "w2"}
    assert [(row["id"], row["weight"]) for row in fleet.held] == [("a", 2), ("b", 2)]


def test_of_two_holders_the_newer_token_counts():
    fleet = read(worker("w1", status=granted("a", token=10)), worker("w2", status=granted("a", token=9)))
    assert fleet.owners == {"a": "w1"}
    assert len(fleet.held) == 1


def test_a_worker_that_drains_or_is_deleted():
    deleting = worker("w3")
    deleting["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    fleet = read(worker("w1", drain=True), worker("w2", status={"phase": "Draining"}), deleting)
    assert not any(each.keeps or each.eligible for each in fleet.workers.values())
    assert fleet.notes == ["Draining: w1, w2, w3: not given anything, and relieved of what they have"]


def test_a_worker_that_is_silent_has_lost_what_it_had():
    gone = worker("w1", status={"phase": "Inactive", **granted("a")})
    fleet = read(gone, worker("w2"))
    assert (sorted(fleet.workers), fleet.owners) == (["w2"], {"a": "w1"})
    assert "Inactive: w1: counted as lost" in fleet.notes[0]
    assert sorted(read(gone, worker("w2"), assume_ready=True).workers) == ["w1", "w2"]


def test_a_worker_that_is_not_ready_gets_nothing_new():
    condition = {"type": "Ready", "status": "False", "reason": "NoLease"}
    waiting = worker("w1", status={"phase": "Pending", "conditions": [condition]})
    found = read(waiting).workers["w1"]
    assert (found.eligible, found.keeps) == (False, True)
    assert "NoLease: w1: not given anything new" in read(waiting).notes[0]
    assert read(waiting, assume_ready=True).workers["w1"].eligible


def test_the_pool_gives_the_rules():
    balancing = {
        "strategy": "Location",
        "cooldown": "1m",
        "targetLoadPercent": 80,
        "pins": [{"stream": "a", "worker": "w1"}],
        "exclusions": [{"stream": "b"}, {"worker": "w2"}, {"stream": "c", "worker": "w3"}],
    }
    fleet = read(pool(balancing=balancing), worker())
    assert (fleet.pool.table, fleet.pool.columns["location"], fleet.pool.columns["id"]) == ("streams", "place", "id")
    rules = from_balancing(fleet.pool.balancing)
    assert (rules.cooldown_ms, rules.policy.strategy, rules.policy.target_load_percent) == (
        60_000, Strategy.Location, 80,
    )  # fmt: skip
    assert rules.policy.pins == {"a": "w1"}
    assert rules.policy.excluded_streams == {"b"}
    assert rules.policy.excluded_workers == {"w2"}
    assert rules.policy.excluded_pairs == {("c", "w3")}


@pytest.mark.parametrize(
    ("spec", "note"),
    [
        ({"paused": True}, "pool radio is paused"),
        ({"balancing": {"mode": "Advisory"}}, "would only be proposed"),
        ({"balancing": {"mode": "Manual"}}, "would wait for an approval"),
        ({"balancing": {"rotation": {"every": "24h"}}}, "rotation depends on times"),
    ],
)
def test_what_keeps_the_plan_from_happening_is_told(spec, note):
    assert note in read(pool(**spec), worker()).notes[0]


def test_several_pools_are_asked_about():
    two = (worker("w1"), worker("w2", pool="tv"))
    assert refusal(*two) == "fleet.yaml has workers of the pools radio, tv; name one with --pool"
    assert refusal(*two, pool="tb") == "fleet.yaml has nothing of pool tb; it has radio, tv"
    assert list(read(*two, pool="tv").workers) == ["w2"]


def test_the_short_form():
    fleet = read(
        {
            "workers": [
                {"name": "w", "replicas": 3, "maxStreams": 300, "location": "berlin"},
                {"name": "vpn", "maxStreams": 10, "capabilities": ["vpn"], "streams": ["a", 7]},
            ],
            "balancing": {"strategy": "Performance"},
        }
    )
    assert list(fleet.workers) == ["vpn", "w-001", "w-002", "w-003"]
    assert fleet.workers["vpn"].capabilities == {AUDIO, "vpn"}
    assert fleet.owners == {"a": "vpn", "7": "vpn"}
    assert fleet.pool.balancing.strategy == "Performance"


@pytest.mark.parametrize(
    ("objects", "sentence"),
    [
        ([worker(maxStreams=2000)], "fleet.yaml: FingerWorker w1: maxStreams: Input should be less than"),
        ([worker(capabilities=["vpn"])], "fleet.yaml: FingerWorker w1: capabilities:"),
        ([worker(), worker()], "fleet.yaml has two workers w1; every name may be there once"),
        ([{"kind": "FingerWorker", "spec": {}}], "fleet.yaml has a FingerWorker without metadata.name"),
        ([{"name": "w1"}], "neither a FingerWorker nor a StreamPool nor has the key workers"),
        ([{"workers": {"w1": 50}}], "fleet.yaml: workers is no list; write"),
        ([{"workers": [{"maxStreams": 5}]}], "a worker has no name; write {name:"),
        ([{"workers": [{"name": "a"}]}], "fleet.yaml: worker a: maxStreams: Field required"),
        (
            [{"workers": [{"name": "a", "maxstreams": 5}]}],
            "fleet.yaml: worker a: the key maxstreams means nothing here; did you mean maxStreams?",
        ),
        (
            [pool(balancing={"cooldwon": "1m"})],
            "the key balancing.cooldwon means nothing here; did you mean cooldown?",
        ),
        ([pool(balancing={"strategy": "Fair"})], "fleet.yaml: StreamPool radio: balancing: strategy: Input should"),
    ],
)
def test_what_cannot_be_a_fleet_is_told(objects, sentence):
    assert sentence in refusal(*objects)
