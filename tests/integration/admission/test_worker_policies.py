"""What a worker's token may write, asked of a real API server with tokens that are bound to pods.

Every account here has far more rights than it would be given: what refuses is the policy, not RBAC.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.chart.helm import Helm

from devenv.cluster import Cluster
from devenv.fleet import administrator, install_crds
from devenv.fleet_api import Api, ApiError, core, fingerv7, leases, rbac

pytestmark = pytest.mark.integration

Object = dict[str, Any]

NAMESPACE = "radio-prod"
ELSEWHERE = "elsewhere"
POOL_LABEL = "fingerv7.io/pool"
EVERYTHING = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
LEASES_ONLY = [
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]},
    {"apiGroups": ["fingerv7.io"], "resources": ["fingerworkers"], "verbs": ["get", "watch"]},
]
SOON_S = 30.0


@dataclass(frozen=True)
class Pod:
    """A pod, and the API as its token is served."""

    name: str
    uid: str
    api: Api

    @property
    def incarnation(self) -> str:
        return f"{self.uid}/abc123"


@pytest.fixture(scope="module")
def admin(helm: Helm, bare_cluster: Cluster) -> Iterator[Api]:
    """Two namespaces with FingerWorkers and Leases, and the policies of the chart in force."""
    api = administrator(bare_cluster)
    install_crds(bare_cluster, api)
    objects = helm.template(None, "--show-only", "templates/admission.yaml")
    bare_cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(objects))
    for namespace in (NAMESPACE, ELSEWHERE):
        api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        grant(api, namespace, "everything", EVERYTHING, [f"system:serviceaccounts:{namespace}"])
    grant(api, ELSEWHERE, "neighbours", EVERYTHING, [f"system:serviceaccounts:{NAMESPACE}"])
    api.create(fingerv7(NAMESPACE, "streampools"), stream_pool())
    for name in ("radio-001", "radio-002"):
        api.create(fingerv7(NAMESPACE, "fingerworkers"), finger_worker(name))
    bare_cluster.kubectl("delete", "rolebinding", "everything", "-n", ELSEWHERE)
    yield api
    api.close()
    bare_cluster.kubectl("delete", "-f", "-", input=yaml.safe_dump_all(objects))
    for namespace in (NAMESPACE, ELSEWHERE):
        bare_cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="module")
def make_pod(admin: Api, bare_cluster: Cluster) -> Iterator[Callable[..., Pod]]:
    made: list[Pod] = []

    def make(name: str, *, account: str = "", namespace: str = NAMESPACE) -> Pod:
        account = account or name
        if admin.find(core(namespace, "serviceaccounts", account)) is None:
            admin.create(core(namespace, "serviceaccounts"), {"metadata": {"name": account}})
        containers = [{"name": "main", "image": "none"}]
        spec = {"serviceAccountName": account, "containers": containers}
        uid = admin.create(core(namespace, "pods"), {"metadata": {"name": name}, "spec": spec})["metadata"]["uid"]
        bound = {"kind": "Pod", "apiVersion": "v1", "name": name, "uid": uid}
        asked = {"spec": {"boundObjectRef": bound, "expirationSeconds": 3600}}
        path = core(namespace, "serviceaccounts", account) + "/token"
        token = admin.create(path, asked)["status"]["token"]
        made.append(Pod(name, uid, Api(bare_cluster.server, bare_cluster.ca_file, token)))
        return made[-1]

    yield make
    for pod in made:
        pod.api.close()


@pytest.fixture(scope="module")
def worker(admin: Api, make_pod: Callable[..., Pod]) -> Pod:
    """A managed worker's, whose account has its name; returned when the policies are in force."""
    pod = make_pod("radio-001")
    admin.create(leases(NAMESPACE), lease("warm-up"))
    deadline = time.monotonic() + SOON_S
    while True:
        try:
            pod.api.merge(
                leases(NAMESPACE, "warm-up"), {"metadata": {"annotations": {"tried": str(time.monotonic())}}}
            )
        except ApiError as error:
            if "is bound to pod radio-001" in str(error):
                return pod
            if "RBAC" not in str(error):  # the binding's turn comes a moment later, too
                raise
        assert time.monotonic() < deadline, "the policies did not come into force"
        time.sleep(0.2)


@pytest.fixture
def own(admin: Api, worker: Pod) -> Object:
    """The worker's Lease as the operator made it, held by the worker."""
    return held(admin, worker.name, worker.incarnation)


def held(admin: Api, name: str, holder: str) -> Object:
    admin.delete(leases(NAMESPACE, name))
    uid = admin.get(fingerv7(NAMESPACE, "fingerworkers", "radio-001"))["metadata"]["uid"]
    return admin.create(leases(NAMESPACE), lease(name, holder=holder, owner=uid))


def lease(name: str, *, holder: str = "", pool: str = "radio", owner: str = "") -> Object:
    metadata: Object = {"name": name}
    if pool:
        metadata["labels"] = {POOL_LABEL: pool}
    if owner:
        reference = {"apiVersion": "fingerv7.io/v1alpha1", "kind": "FingerWorker", "name": "radio-001", "uid": owner}
        metadata["ownerReferences"] = [reference]
    return {"metadata": metadata, "spec": {"holderIdentity": holder} if holder else {}}


def stream_pool() -> Object:
    source = {"postgres": {"secretRef": {"name": "streams-db"}, "table": "streams"}}
    return {
        "apiVersion": "fingerv7.io/v1alpha1",
        "kind": "StreamPool",
        "metadata": {"name": "radio"},
        "spec": {"source": source},
    }


def finger_worker(name: str) -> Object:
    spec = {"poolRef": {"name": "radio"}, "maxStreams": 50, "capabilities": ["audio_fingerprinting"]}
    return {
        "apiVersion": "fingerv7.io/v1alpha1",
        "kind": "FingerWorker",
        "metadata": {"name": name},
        "spec": spec,
    }


def grant(api: Api, namespace: str, name: str, rules: list[Object], groups: list[str]) -> None:
    api.create(rbac(namespace, "roles"), {"metadata": {"name": name}, "rules": rules})
    api.create(
        rbac(namespace, "rolebindings"),
        {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": each} for each in groups],
        },
    )


def put(pod: Pod, changed: Object) -> Object:
    """As a sidecar writes: the whole object, with the resourceVersion that it was read at."""
    return pod.api.request("PUT", leases(NAMESPACE, changed["metadata"]["name"]), changed)


def with_metadata(found: Object, **fields: Any) -> Object:
    changed = copy.deepcopy(found)
    changed["metadata"] |= fields
    return changed


def refused(write: Callable[[], object]) -> str:
    with pytest.raises(ApiError) as error:
        write()
    assert error.value.status in (403, 422)
    assert "ValidatingAdmissionPolicy" in str(error.value), "refused by something else"
    return str(error.value)


# --- a managed worker -------------------------------------------------------------------------------------


def test_a_worker_acquires_and_renews_its_own_lease(admin: Api, worker: Pod):
    made = held(admin, worker.name, "")
    made["spec"] = {"holderIdentity": worker.incarnation, "leaseTransitions": 1}
    acquired = put(worker, made)
    acquired["metadata"].setdefault("annotations", {})["fingerv7.io/applied"] = f"x/{worker.incarnation}/7"
    assert put(worker, acquired)["spec"]["holderIdentity"] == worker.incarnation


def test_a_restarted_sidecar_of_the_same_pod_is_the_same_pod(worker: Pod, own: Object):
    own["spec"]["holderIdentity"] = f"{worker.uid}/another-nonce"
    put(worker, own)


def test_a_worker_makes_its_own_lease_where_nobody_did(admin: Api, worker: Pod):
    admin.delete(leases(NAMESPACE, worker.name))
    worker.api.create(leases(NAMESPACE), lease(worker.name, holder=worker.incarnation))


def test_the_pool_label_is_added_where_it_is_missing(admin: Api, worker: Pod, own: Object):
    bare = admin.merge(leases(NAMESPACE, worker.name), {"metadata": {"labels": None}})
    put(worker, with_metadata(bare, labels={POOL_LABEL: "radio"}))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"labels": {POOL_LABEL: "other"}}, "may not change the labels"),
        ({"labels": {}}, "may not change the labels"),
        ({"labels": {POOL_LABEL: "radio", "team": "x"}}, "only add fingerv7.io/pool"),
        ({"ownerReferences": []}, "send them back as they were read"),
        ({"finalizers": ["example.org/stay"]}, "ownerReferences and finalizers"),
    ],
)
def test_a_worker_does_not_change_what_its_lease_belongs_to(worker: Pod, own: Object, fields: Object, words: str):
    assert words in refused(lambda: put(worker, with_metadata(own, **fields)))


@pytest.mark.parametrize("holder", ["another-pod/abc123", "", "{uid}", "{uid}0/abc123"])
def test_a_worker_speaks_for_no_other_incarnation(worker: Pod, own: Object, holder: str):
    own["spec"]["holderIdentity"] = holder.format(uid=worker.uid)
    said = refused(lambda: put(worker, own))
    assert f"must begin with the UID of the pod that writes it, {worker.uid}/" in said


@pytest.mark.parametrize("of_the_pool", [True, False])
def test_a_worker_writes_no_lease_but_its_own(admin: Api, worker: Pod, own: Object, of_the_pool: bool):
    admin.delete(leases(NAMESPACE, "radio-002"))
    peers = admin.create(leases(NAMESPACE), lease("radio-002", holder="p/n", pool="radio" if of_the_pool else ""))
    words = "it may create and update the Lease of that name in its own namespace, and no other"
    peers["spec"]["holderIdentity"] = worker.incarnation
    assert words in refused(lambda: put(worker, peers))
    assert words in refused(lambda: worker.api.request("DELETE", leases(NAMESPACE, "radio-002")))
    assert words in refused(lambda: worker.api.request("DELETE", leases(NAMESPACE, worker.name)))
    assert words in refused(lambda: worker.api.request("DELETE", leases(NAMESPACE)))
    invented = lease("radio-003", holder=worker.incarnation)
    assert words in refused(lambda: worker.api.create(leases(NAMESPACE), invented))


def test_the_name_alone_does_not_count_in_another_namespace(worker: Pod):
    same = lease(worker.name, holder=worker.incarnation)
    assert "in its own namespace" in refused(lambda: worker.api.create(leases(ELSEWHERE), same))


def test_a_worker_writes_no_fingerworker_and_no_streampool(worker: Pod):
    for name in ("radio-001", "radio-002"):
        path = fingerv7(NAMESPACE, "fingerworkers", name)
        for write in (
            lambda path=path: worker.api.merge(path + "/status", {"status": {"phase": "Active"}}),
            lambda path=path: worker.api.merge(path, {"spec": {"drain": True}}),
            lambda path=path: worker.api.request("DELETE", path),
        ):
            assert "are written by the operator and by people" in refused(write)
    pool = fingerv7(NAMESPACE, "streampools", "radio")
    refused(lambda: worker.api.merge(pool + "/status", {"status": {"streams": 1}}))
    refused(lambda: worker.api.merge(pool, {"spec": {"paused": True}}))
    refused(lambda: worker.api.create(fingerv7(NAMESPACE, "fingerworkers"), finger_worker("radio-009")))
    assert worker.api.get(fingerv7(NAMESPACE, "fingerworkers", "radio-001"))


# --- workers that somebody runs himself -------------------------------------------------------------------


@pytest.fixture(scope="module")
def fleet(admin: Api, worker: Pod, make_pod: Callable[..., Pod]) -> tuple[Pod, Pod]:
    """Two pods of one StatefulSet, which share an account that may write any Lease."""
    admin.create("/api/v1/namespaces", {"metadata": {"name": "own-fleet"}})
    grant(admin, "own-fleet", "fleet", LEASES_ONLY, ["system:serviceaccounts:own-fleet"])
    first, second = (make_pod(f"fleet-{n}", account="fleet", namespace="own-fleet") for n in range(2))
    return first, second


def test_a_sidecar_makes_and_renews_a_lease_of_any_name(fleet: tuple[Pod, Pod]):
    pod, _ = fleet
    made = pod.api.create(leases("own-fleet"), lease("studio-a", holder=pod.incarnation))
    made["spec"]["renewTime"] = "2026-01-01T00:00:00.000000Z"
    pod.api.request("PUT", leases("own-fleet", "studio-a"), made)


def test_a_sidecar_acquires_the_lease_of_a_pod_that_is_gone(admin: Api, fleet: tuple[Pod, Pod]):
    first, second = fleet
    found = admin.create(leases("own-fleet"), lease("studio-b", holder=first.incarnation))
    found["spec"]["holderIdentity"] = second.incarnation
    second.api.request("PUT", leases("own-fleet", "studio-b"), found)


def test_pods_of_one_account_do_not_speak_for_each_other(admin: Api, fleet: tuple[Pod, Pod]):
    first, second = fleet
    found = admin.create(leases("own-fleet"), lease("studio-c", holder=first.incarnation))
    path = leases("own-fleet", "studio-c")
    said = refused(lambda: second.api.request("PUT", path, found))
    assert "set POD_UID from metadata.uid" in said
    refused(lambda: second.api.create(leases("own-fleet"), lease("studio-d", holder=first.incarnation)))
    refused(lambda: first.api.request("PUT", path, with_metadata(found, labels={POOL_LABEL: "other"})))


def test_a_sidecar_with_the_rights_of_the_example_writes_no_fingerworker_and_no_streampool(
    admin: Api, fleet: tuple[Pod, Pod], make_pod: Callable[..., Pod]
):
    """What refuses is RBAC: nothing in a request tells such a worker from whoever applies pools from a repository."""
    examples = Path(__file__).resolve().parents[3] / "examples" / "own-workers" / "workers.yaml"
    documents = list(yaml.safe_load_all(examples.read_text(encoding="utf-8")))
    (role,) = [each for each in documents if each["kind"] == "Role"]
    namespace = "own-rights"
    admin.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    grant(admin, namespace, "example", role["rules"], [f"system:serviceaccounts:{namespace}"])
    admin.create(fingerv7(namespace, "streampools"), stream_pool())
    admin.create(fingerv7(namespace, "fingerworkers"), finger_worker("fingerv7-worker-0"))
    pod = make_pod("fingerv7-worker-0", account="fingerv7-worker", namespace=namespace)
    pod.api.create(leases(namespace), lease("fingerv7-worker-0", holder=pod.incarnation))
    worker, pool = (
        fingerv7(namespace, "fingerworkers", "fingerv7-worker-0"),
        fingerv7(namespace, "streampools", "radio"),
    )
    assert pod.api.get(worker)
    for write in (
        lambda: pod.api.merge(worker + "/status", {"status": {"phase": "Active"}}),
        lambda: pod.api.merge(worker, {"spec": {"drain": True}}),
        lambda: pod.api.request("DELETE", worker),
        lambda: pod.api.create(fingerv7(namespace, "fingerworkers"), finger_worker("own-1")),
        lambda: pod.api.merge(pool + "/status", {"status": {"streams": 1}}),
        lambda: pod.api.merge(pool, {"spec": {"paused": True}}),
        lambda: pod.api.request("DELETE", pool),
    ):
        with pytest.raises(
            ApiError, match=r'User "system:serviceaccount:own-rights:fingerv7-worker" cannot '
        ) as error:
            write()
        assert error.value.status == 403


# --- everybody else ---------------------------------------------------------------------------------------


def test_other_programs_lead_and_follow_as_ever(fleet: tuple[Pod, Pod]):
    pod, _ = fleet
    made = pod.api.create(leases("own-fleet"), lease("their-election", holder="somebody_1", pool=""))
    made["spec"]["holderIdentity"] = "somebody_2"
    pod.api.request("PUT", leases("own-fleet", "their-election"), made)
    pod.api.delete(leases("own-fleet", "their-election"))


def test_a_pod_whose_account_happens_to_have_its_name_is_no_worker(
    admin: Api, worker: Pod, make_pod: Callable[..., Pod]
):
    pod = make_pod("backup")
    made = pod.api.create(leases(NAMESPACE), lease("backups", holder="backup_1", pool=""))
    put(pod, with_metadata(made, labels={"team": "x"}))
    pod.api.delete(leases(NAMESPACE, "backups"))


def test_tokens_without_a_pod_are_not_bound(admin: Api, bare_cluster: Cluster, worker: Pod, own: Object):
    path = core(NAMESPACE, "serviceaccounts", worker.name) + "/token"
    token = admin.create(path, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
    with closing(Api(bare_cluster.server, bare_cluster.ca_file, token)) as api:
        own["spec"]["holderIdentity"] = "a-machine/abc"
        api.request("PUT", leases(NAMESPACE, worker.name), own)


def test_who_decides_what_workers_do_may_write_their_leases(admin: Api, worker: Pod, make_pod: Callable[..., Pod]):
    """The operator, and a restore that runs in a pod."""
    operator = make_pod("fingerv7-7d9f-x2x", account="fingerv7")
    admin.delete(leases(NAMESPACE, "radio-002"))
    made = operator.api.create(leases(NAMESPACE), lease("radio-002", holder="restored/abc"))
    made["spec"]["holderIdentity"] = "another/abc"
    put(operator, with_metadata(made, labels={POOL_LABEL: "other"}))
    operator.api.merge(fingerv7(NAMESPACE, "fingerworkers", "radio-002"), {"spec": {"drain": True}})
    operator.api.delete(leases(NAMESPACE, "radio-002"))


def test_the_garbage_collector_takes_a_lease_away_with_its_worker(admin: Api, worker: Pod):
    made = admin.create(fingerv7(NAMESPACE, "fingerworkers"), finger_worker("radio-050"))
    body = lease("radio-050", holder="p/n", owner=made["metadata"]["uid"])
    body["metadata"]["ownerReferences"][0]["name"] = "radio-050"
    admin.create(leases(NAMESPACE), body)
    admin.delete(fingerv7(NAMESPACE, "fingerworkers", "radio-050"))
    deadline = time.monotonic() + 3 * SOON_S  # it looks for new kinds every half minute
    while admin.find(leases(NAMESPACE, "radio-050")) is not None:
        assert time.monotonic() < deadline, "the Lease stays"
        time.sleep(0.2)
