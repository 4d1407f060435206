"""Objects that cannot work: refused with a sentence, or accepted and waiting, but never in anybody's way."""

from __future__ import annotations

import pytest

from devenv.fleet_api import ApiError, fingerv7
from devenv.fleet_objects import WorkerSpec
from devenv.streams import invent

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def system(start_shared_system):
    return start_shared_system(workers=2, registration="Open")


def worker(name: str, **spec):
    body = {"poolRef": {"name": "radio"}, "maxStreams": 10, "capabilities": ["audio_fingerprinting"], **spec}
    return {"apiVersion": "fingerv7.io/v1alpha1", "kind": "FingerWorker", "metadata": {"name": name}, "spec": body}


def pool_like(pool, name: str, **source):
    spec = dict(pool["spec"])
    spec["source"] = {"postgres": {**spec["source"]["postgres"], **source}}
    return {"apiVersion": pool["apiVersion"], "kind": "StreamPool", "metadata": {"name": name}, "spec": spec}


# --- refused by the API server ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("liveness", "sentence"),
    [
        ({"fenceAfter": "9s"}, "(fenceAfter + stopTime) * 1.05 must be at most takeoverAfter * 0.95"),
        ({"renewInterval": "4s"}, "renewInterval + 2 * requestTimeout must be at most fenceAfter"),
        ({"stopTime": "-3s"}, "as whole numbers with units, such as 500ms, 30s or 1h30m"),
        ({"takeoverAfter": "5s"}, "or a worker could still run when its streams are given away"),
    ],
    ids=["too late a fence", "too rare renewals", "a negative time", "too early a takeover"],
)
def test_impossible_times_are_refused_and_the_running_pool_goes_on(system, liveness, sentence):
    with system.untouched():
        with pytest.raises(ApiError, match=r" 422 ") as refusal:
            system.fleet.patch_pool({"liveness": liveness})
        assert sentence in str(refusal.value)
        system.await_polls(2)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"capabilities": None}, "spec.capabilities: Required value"),
        ({"capabilities": ["speech"]}, "audio_fingerprinting"),
        ({"maxStreams": 0}, "spec.maxStreams"),
        ({"poolRef": None}, "spec.poolRef: Required value"),
    ],
    ids=["no capabilities", "other capabilities only", "no places", "no pool"],
)
def test_a_fingerworker_that_cannot_work_is_refused(system, spec, sentence):
    path = fingerv7(system.fleet.namespace, "fingerworkers")
    with pytest.raises(ApiError, match=r" 422 ") as refusal:
        system.fleet.api.create(path, worker("fingerv7-bad", **spec))
    assert sentence in str(refusal.value)


# --- a pool that does not exist ---------------------------------------------------------------------------


def test_a_worker_of_an_unknown_pool_is_told_so_and_works_when_the_pool_appears(system):
    fleet, name = system.fleet, "fingerv7-later"
    table = fleet.table
    table.script("CREATE TABLE later AS SELECT * FROM streams LIMIT 0")
    table.script(
        "INSERT INTO later (id, url, name, active, metadata, weight) "
        "SELECT 'later-' || n, 'https://radio.example.org/' || n, '', true, '{}', 1 FROM generate_series(1, 7) n"
    )
    table.script(f'GRANT SELECT ON later TO "{system.secret("user")}"')
    with system.untouched():
        fleet.api.create(fingerv7(fleet.namespace, "fingerworkers"), worker(name, poolRef={"name": "later"}))
        process = fleet.make_worker(WorkerSpec(name=name, max_streams=10), sidecar_environment={"POOL": "later"})
        process.start()
        words = (f"there is no StreamPool later in namespace {fleet.namespace}", "create it")
        system.await_worker(name, "Ready", False, "PoolNotFound", *words)
        system.await_event("FingerWorker", name, "PoolNotFound", *words)

        fleet.api.create(
            fingerv7(fleet.namespace, "streampools"), pool_like(fleet.stream_pool(), "later", table="later")
        )
        system.await_pool("Ready", True, "Serving", "7 streams", pool="later")
        system.await_worker(name, "Ready", True, "Active")
        fleet.wait_for(
            lambda: sum(each.startswith("later-") for each in fleet.running()) == 7, 10, "the new pool's streams run"
        )
    # Deleting a pool drains its workers first.
    fleet.api.delete(fingerv7(fleet.namespace, "streampools", "later"))
    fleet.wait_for(
        lambda: fleet.api.find(fingerv7(fleet.namespace, "streampools", "later")) is None, 20, "the pool is gone"
    )
    assert not any(each.startswith("later-") for each in fleet.running())
    system.await_worker(name, "Ready", False, "PoolNotFound")
    fleet.api.delete(fingerv7(fleet.namespace, "fingerworkers", name))
    fleet.wait_for(
        lambda: fleet.api.find(fingerv7(fleet.namespace, "fingerworkers", name)) is None, 20, "its worker is gone"
    )
    process.kill()


# --- workers that register themselves ---------------------------------------------------------------------


def test_an_open_pool_takes_a_worker_that_registers_itself(system):
    fleet, name = system.fleet, "fingerv7-self"
    process = fleet.start_worker(name, 30, location="attic", declare=False)
    system.await_worker(name, "Ready", True, "Active")
    spec = fleet.finger_worker(name)["spec"]
    assert (spec["poolRef"], spec["maxStreams"], spec["location"]) == ({"name": "radio"}, 30, "attic")
    system.await_readiness(process, ready=True)
    fleet.table.insert(invent(110, first=2001))  # more than the declared workers' places
    fleet.wait_all_running(20)
    assert name in fleet.running().values()


def test_a_closed_pool_says_how_a_stranger_could_join(system):
    fleet, name = system.fleet, "fingerv7-stranger"
    fleet.patch_pool({"registration": "Declared"})
    with system.untouched():
        process = fleet.start_worker(name, 30, declare=False)
        system.await_event(
            "Lease",
            name,
            "RegistrationClosed",
            "pool radio takes declared workers only",
            f"create FingerWorker {name}",
            "spec.registration: Open",
        )
        system.await_readiness(
            process, f"FingerWorker {fleet.namespace}/{name} does not exist", "let the pool accept registrations"
        )
        system.await_polls(3)
        assert fleet.api.find(fingerv7(fleet.namespace, "fingerworkers", name)) is None
    fleet.patch_pool({"registration": "Open"})
    system.await_worker(name, "Ready", True, "Active")


def test_a_registration_that_cannot_work_says_what_is_accepted(system):
    fleet, name = system.fleet, "fingerv7-mute"
    with system.untouched():
        process = fleet.start_worker(name, 30, capabilities=["speech"], declare=False)
        system.await_event(
            "Lease", name, "RegistrationInvalid", "capabilities must contain audio_fingerprinting", "CAPABILITIES"
        )
        system.await_polls(3)
        assert fleet.api.find(fingerv7(fleet.namespace, "fingerworkers", name)) is None
        process.kill()
