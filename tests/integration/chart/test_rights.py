"""The operator's whole work with exactly the rights that the chart gives it, and what it may not do.

The real operator and real sidecars, each with a token that is bound to a pod, on a cluster where the chart is installed
with its policies. What the operator asks goes through a proxy that notes it: a right that nothing asks for is one too
many.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.faults.api_proxy import ApiProxy, Request
from tests.integration.chart.helm import RELEASE, Helm, Object, of_kind

from devenv.cluster import Cluster
from devenv.fleet import FAST, Fleet, OperatorProcess, administrator
from devenv.fleet_api import Api, ApiError, core, fingerv7, leases, rbac
from devenv.kubeconfig import render
from devenv.postgres import Postgres
from devenv.proof import prove
from devenv.streams import invent

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400, func_only=True)]

OPS = "ops-rights"
ELECTION = {
    "FINGERV7_LEASE_SECONDS": "6",
    "FINGERV7_RENEW_DEADLINE_SECONDS": "4",
    "FINGERV7_RETRY_SECONDS": "1",
}
SOON_S = 60.0
PLANNED_GAP_S = 6.0
NOT_WITHIN_A_TEST = {("", "events", "patch")}
"""An Event that comes again is counted on it, at most every five minutes."""

Right = tuple[str, str, str]
"""Group, resource with its subresource, verb."""


@dataclass(frozen=True)
class Account:
    """A ServiceAccount's token that is bound to a pod of it."""

    token: str
    pod_uid: str


def account_of_a_pod(api: Api, namespace: str, account: str, pod: str) -> Account:
    spec = {"serviceAccountName": account, "containers": [{"name": "main", "image": "none"}]}
    uid = api.create(core(namespace, "pods"), {"metadata": {"name": pod}, "spec": spec})["metadata"]["uid"]
    bound = {"kind": "Pod", "apiVersion": "v1", "name": pod, "uid": uid}
    asked = {"spec": {"boundObjectRef": bound, "expirationSeconds": 3600}}
    path = core(namespace, "serviceaccounts", account) + "/token"
    return Account(api.create(path, asked)["status"]["token"], uid)


@contextmanager
def installed(helm: Helm, cluster: Cluster, values: Object) -> Iterator[Account]:
    """The chart in a namespace of its own, and the account of one of its pods."""
    with closing(administrator(cluster)) as api:
        release = helm.on(cluster.kubeconfig)
        # The Fleet has put the CRDs there.
        release.install(OPS, {"crds": {"enabled": False}, **values})
        try:
            yield account_of_a_pod(api, OPS, RELEASE, f"{RELEASE}-7d9f-x2x")
        finally:
            release.uninstall(OPS)
            cluster.kubectl("delete", "namespace", OPS)


def as_account(cluster: Cluster, account: Account) -> closing[Api]:
    return closing(Api(cluster.server, cluster.ca_file, account.token))


def start_worker(fleet: Fleet, name: str, *, declare: bool = True) -> None:
    fleet._namespace.sidecar_token(name)  # makes the account, as its pod needs it first
    account = account_of_a_pod(fleet.api, fleet.namespace, name, name)
    file = fleet.folder / f"{name}.bound-token"
    file.write_text(account.token)
    environment = {"KUBERNETES_TOKEN_FILE": str(file), "POD_UID": account.pod_uid}
    fleet.start_worker(name, 60, declare=declare, sidecar_environment=environment)


def start_operator(fleet: Fleet, name: str, kubeconfig: Path, namespaces: str) -> OperatorProcess:
    place = {"FINGERV7_KUBECONFIG": str(kubeconfig), "FINGERV7_NAMESPACES": namespaces, "POD_NAMESPACE": OPS}
    return fleet.start_operator(name, FINGERV7_SIDECAR_IMAGE="fingerv7-worker-sidecar", **place, **ELECTION)


@pytest.mark.parametrize("namespaced", [False, True], ids=["whole-cluster", "one-namespace"])
def test_the_operator_needs_all_that_it_has_and_no_more(
    helm: Helm, bare_cluster: Cluster, postgres: Postgres, tmp_path: Path, namespaced: bool
):
    liveness = {**FAST, "removeAfter": "12s"}
    fleet = Fleet(bare_cluster, postgres, rows=40, liveness=liveness, registration="Open", folder=tmp_path)
    with fleet, ApiProxy(bare_cluster.server, bare_cluster.ca_file) as proxy:
        values: Object = {"managedWorkers": {"enabled": False}}
        if namespaced:
            values["watchNamespaces"] = [fleet.namespace]
        with installed(helm, bare_cluster, values) as account:
            own = tmp_path / "account.kubeconfig"
            own.write_text(kubeconfig_of(bare_cluster, account))
            kubeconfig = proxy.kubeconfig(own, tmp_path / "proxied.kubeconfig")
            work(fleet, kubeconfig, fleet.namespace if namespaced else "")
            refused = [f"{each.method} {each.path}" for each in proxy.requests if each.status in (401, 403)]
            assert refused == []
            objects = helm.template(values, namespace=OPS)
            assert used_for_the_election(proxy.requests) == granted(objects, "-election")
            assert used_for_pools(proxy.requests) | NOT_WITHIN_A_TEST == granted(objects, "-operator")


def work(fleet: Fleet, kubeconfig: Path, namespaces: str) -> None:
    """Everything that an operator does for pools whose workers somebody else runs."""
    first, second, third = "fingerv7-001", "fingerv7-002", "fingerv7-003"
    for name in (first, second):
        start_worker(fleet, name)
    start_worker(fleet, third, declare=False)
    leader = start_operator(fleet, "operator-a", kubeconfig, namespaces)
    fleet.wait_all_running(SOON_S)
    fleet.wait_for(lambda: third in fleet.assigned().values(), SOON_S, f"{third} has registered itself")

    declare(fleet, "not-started-yet", fleet.pool)
    fleet.wait_for(lambda: fleet.lease("not-started-yet"), SOON_S, "a Lease made in advance")

    declare(fleet, "lost", "nowhere")
    fleet.wait_for(lambda: "PoolNotFound" in events(fleet), SOON_S, "an Event about the worker without a pool")

    assert fleet.workers[first].drain() == 200
    fleet.workers[first].kill()
    fleet.api.delete(fingerv7(fleet.namespace, "fingerworkers", first))
    fleet.wait_for(lambda: gone(fleet, first), SOON_S, f"{first} is let go")
    fleet.wait_for(
        lambda: fleet.lease(first) is None, SOON_S, f"so is the Lease that the sidecar of {first} had made"
    )

    standby = start_operator(fleet, "operator-b", kubeconfig, namespaces)
    fleet.wait_for(lambda: standby.said("standing by"), SOON_S, "operator-b stands by")
    leader.stop_gracefully()
    fleet.wait_for(lambda: standby.said("in office"), SOON_S, "operator-b is in office")
    (row,) = invent(1, first=9001)
    fleet.table.insert([row])
    prove(fleet, allowed_gap_s=PLANNED_GAP_S, settle_s=SOON_S)

    fleet.workers[third].kill()
    fleet.wait_for(lambda: gone(fleet, third), SOON_S, f"{third}, silent for removeAfter, is removed")
    fleet.wait_all_running(SOON_S)


def declare(fleet: Fleet, name: str, pool: str) -> None:
    """A FingerWorker that nobody runs."""
    spec = {"poolRef": {"name": pool}, "maxStreams": 5, "capabilities": ["audio_fingerprinting"]}
    body = {"apiVersion": "fingerv7.io/v1alpha1", "kind": "FingerWorker", "metadata": {"name": name}, "spec": spec}
    fleet.api.create(fingerv7(fleet.namespace, "fingerworkers"), body)


ONLY_TO_GRANT_IT = {("coordination.k8s.io", "leases", "update")}
"""A Role may only grant what its maker has."""


def test_managed_workers_cost_these_rights_more(
    helm: Helm, bare_cluster: Cluster, postgres: Postgres, tmp_path: Path
):
    """Their pods are made and never run here, where there is no node."""
    container = {"name": "fingerv7", "image": "fingerv7", "command": ["fingerv7"]}
    missing = {"name": "settings", "configMap": {"name": "missing"}}
    template = {"spec": {"containers": [container], "volumes": [missing]}}
    spec = {"workers": {"replicas": 2, "template": template, "defaults": {"maxStreams": 50}}}
    fleet = Fleet(bare_cluster, postgres, rows=20, liveness={}, pool_spec=spec, folder=tmp_path)
    with fleet, ApiProxy(bare_cluster.server, bare_cluster.ca_file) as proxy:
        values: Object = {"watchNamespaces": [fleet.namespace]}
        with installed(helm, bare_cluster, values) as account:
            own = tmp_path / "account.kubeconfig"
            own.write_text(kubeconfig_of(bare_cluster, account))
            kubeconfig = proxy.kubeconfig(own, tmp_path / "proxied.kubeconfig")
            leader = start_operator(fleet, "operator-a", kubeconfig, fleet.namespace)
            for replicas in (2, 3, 1):
                fleet.patch_pool({"workers": {"replicas": replicas}})
                fleet.wait_for(lambda n=replicas: len(pods(fleet)) == n, SOON_S, f"{replicas} pods")  # type: ignore[misc]
            leader.stop_gracefully()
            mends_a_role_that_somebody_changed(fleet, kubeconfig)
            says_what_a_pod_waits_for(fleet)
            fleet.patch_pool({"workers": None})
            fleet.wait_for(lambda: not pods(fleet) and not budgets(fleet), SOON_S, "no pods and no budget")
            refused = [f"{each.method} {each.path}" for each in proxy.requests if each.status in (401, 403)]
            assert refused == []
            without = {**values, "managedWorkers": {"enabled": False}}
            needed, needed_without = (
                granted(helm.template(each, namespace=OPS), "-operator") for each in (values, without)
            )
            assert needed - needed_without - used_for_pools(proxy.requests) == ONLY_TO_GRANT_IT


def mends_a_role_that_somebody_changed(fleet: Fleet, kubeconfig: Path) -> None:
    """As a new leader does when it makes the worker's pod."""
    role, pod = rbac(fleet.namespace, "roles", "radio-001"), core(fleet.namespace, "pods", "radio-001")
    rules = fleet.api.get(role)["rules"]
    fleet.api.merge(role, {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]})
    start_operator(fleet, "operator-b", kubeconfig, fleet.namespace)
    before = fleet.api.get(pod)["metadata"]["uid"]
    fleet.api.delete(pod)
    fleet.wait_for(
        lambda: {each["metadata"]["uid"] for each in pods(fleet)} - {before}, SOON_S, "another pod of radio-001"
    )
    assert fleet.api.get(role)["rules"] == rules


def says_what_a_pod_waits_for(fleet: Fleet) -> None:
    """What a kubelet says of a volume that it cannot make."""
    state = {"waiting": {"reason": "ContainerCreating"}}
    container = {"name": "fingerv7", "image": "x", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    path = core(fleet.namespace, "pods", "radio-001") + "/status"
    fleet.api.merge(path, {"status": {"phase": "Pending", "containerStatuses": [container]}})

    def said() -> bool:
        conditions = fleet.stream_pool()["status"]["conditions"]
        return any(each["reason"] == "ConfigMapMissing" and "missing" in each["message"] for each in conditions)

    fleet.wait_for(said, SOON_S, "which ConfigMap is missing")


def test_several_namespaces_are_served_with_rights_in_each_and_none_elsewhere(
    helm: Helm, bare_cluster: Cluster, postgres: Postgres, tmp_path: Path, namespaces: None
):
    """And one where the operator may do nothing any more is no trouble of the other, also for a new leader."""
    template = {"spec": {"containers": [{"name": "fingerv7", "image": "fingerv7", "command": ["fingerv7"]}]}}
    workers = {"replicas": 1, "template": template, "defaults": {"maxStreams": 1}}
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    managed: Object = {"liveness": {}, "pool_spec": {"workers": workers}}
    with (
        Fleet(bare_cluster, postgres, rows=10, **managed, folder=folders[0]) as first,
        Fleet(bare_cluster, postgres, rows=10, folder=folders[1]) as second,
        ApiProxy(bare_cluster.server, bare_cluster.ca_file) as proxy,
    ):
        served = [first.namespace, second.namespace]
        with installed(helm, bare_cluster, {"watchNamespaces": served}) as account:
            own = tmp_path / "account.kubeconfig"
            own.write_text(kubeconfig_of(bare_cluster, account))
            kubeconfig = proxy.kubeconfig(own, tmp_path / "proxied.kubeconfig")
            for fleet in (first, second):
                start_worker(fleet, "fingerv7-001")
            leader = start_operator(first, "operator-a", kubeconfig, ",".join(served))
            for fleet in (first, second):
                fleet.wait_all_running(SOON_S)
            first.wait_for(lambda: pods(first), SOON_S, "the pod of the managed worker")
            assert [each.path for each in proxy.requests if each.status in (401, 403)] == []
            for verb in ("list", "watch", "patch"):
                assert not can(bare_cluster, account, OTHER, ("fingerv7.io", "fingerworkers", verb))

            path = rbac(second.namespace, "rolebindings", f"{OPS}-{RELEASE}-operator")
            binding = first.api.get(path)
            first.api.delete(path)
            leader.stop_gracefully()
            start_operator(first, "operator-b", kubeconfig, ",".join(served))
            (row,) = invent(1, first=9001)
            first.table.insert([row])
            first.wait_all_running(SOON_S)
            assert any(each.status == 403 and second.namespace in each.path for each in proxy.requests)

            binding["metadata"] = {"name": binding["metadata"]["name"]}
            first.api.create(rbac(second.namespace, "rolebindings"), binding)
            second.table.insert([row])
            second.wait_all_running(SOON_S)
            for fleet in (first, second):
                prove(fleet, allowed_gap_s=PLANNED_GAP_S, settle_s=SOON_S)


def budgets(fleet: Fleet) -> list[Object]:
    return fleet.api.items(f"/apis/policy/v1/namespaces/{fleet.namespace}/poddisruptionbudgets")


def pods(fleet: Fleet) -> list[Object]:
    found = fleet.api.items(core(fleet.namespace, "pods"))
    for pod in found:
        if "deletionTimestamp" in pod["metadata"]:  # no kubelet says that it has ended
            fleet.api.request(
                "DELETE", core(fleet.namespace, "pods", pod["metadata"]["name"]), {"gracePeriodSeconds": 0}
            )
    return found


def gone(fleet: Fleet, worker: str) -> bool:
    return fleet.api.find(fingerv7(fleet.namespace, "fingerworkers", worker)) is None


def events(fleet: Fleet) -> set[str]:
    return {each["reason"] for each in fleet.api.items(core(fleet.namespace, "events"))}


def kubeconfig_of(cluster: Cluster, account: Account) -> str:
    authority = cluster.ca_file.read_bytes()
    return render(name="chart", server=cluster.server, ca_pem=authority, user=RELEASE, token=account.token)


def granted(objects: list[Object], role_name: str) -> set[Right]:
    """To the operator, by the roles whose names end so."""
    roles = [*of_kind(objects, "ClusterRole"), *of_kind(objects, "Role")]
    ours = [each for each in roles if each["metadata"]["name"].endswith(role_name)]
    return {
        (group, resource, verb)
        for role in ours
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used_for_the_election(requests: list[Request]) -> set[Right]:
    return {right for each in requests if f"/namespaces/{OPS}/" in each.path and (right := right_of(each))}


def used_for_pools(requests: list[Request]) -> set[Right]:
    return {right for each in requests if f"/namespaces/{OPS}/" not in each.path and (right := right_of(each))}


def right_of(request: Request) -> Right | None:
    """What RBAC asks about it; None for discovery, which everybody may."""
    _, root, *rest = request.path.rstrip("/").split("/")
    group = rest.pop(0) if root == "apis" and rest else ""
    rest = rest[1:]  # the version
    if rest[:1] == ["namespaces"]:
        rest = rest[2:]
    if not rest:
        return None
    resource, name = "/".join([rest[0], *rest[2:]]), rest[1:2]
    read = "get" if name else "watch" if request.is_watch else "list"
    verbs = {"GET": read, "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
    return group, resource, verbs[request.method]


# --- what it may not --------------------------------------------------------------------------------------

SERVED, MORE, OTHER = "radio-rights", "more-rights", "other-rights"
FORBIDDEN = [
    ("", "secrets", "list"),
    ("", "secrets", "create"),
    ("", "configmaps", "list"),
    ("", "nodes", "list"),
    ("", "namespaces", "list"),
    ("", "pods/exec", "create"),
    ("", "pods", "patch"),
    ("", "serviceaccounts/token", "create"),
    ("", "serviceaccounts", "impersonate"),
    ("apps", "deployments", "get"),
    ("fingerv7.io", "streampools", "create"),
    ("fingerv7.io", "streampools", "delete"),
    ("fingerv7.io", "fingerworkers", "update"),
    ("fingerv7.io", "fingerworkers/status", "update"),
    ("rbac.authorization.k8s.io", "clusterroles", "create"),
    ("rbac.authorization.k8s.io", "clusterrolebindings", "create"),
    ("rbac.authorization.k8s.io", "roles", "escalate"),
    ("rbac.authorization.k8s.io", "roles", "bind"),
    ("apiextensions.k8s.io", "customresourcedefinitions", "patch"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", "delete"),
    ("flowcontrol.apiserver.k8s.io", "flowschemas", "delete"),
]
MANAGED = [
    ("", "pods", "create"),
    ("", "pods", "delete"),
    ("", "configmaps", "get"),
    ("", "serviceaccounts", "create"),
    ("rbac.authorization.k8s.io", "roles", "create"),
    ("rbac.authorization.k8s.io", "rolebindings", "create"),
    ("policy", "poddisruptionbudgets", "create"),
    ("coordination.k8s.io", "leases", "update"),
]
ALWAYS = [
    ("", "secrets", "get"),
    ("", "events", "create"),
    ("fingerv7.io", "streampools/status", "patch"),
    ("fingerv7.io", "fingerworkers", "create"),
    ("coordination.k8s.io", "leases", "watch"),
]


@pytest.fixture(scope="module")
def namespaces(helm: Helm, bare_cluster: Cluster) -> Iterator[None]:
    for name in (SERVED, MORE, OTHER):
        bare_cluster.kubectl("create", "namespace", name)
    crds = Path(__file__).resolve().parents[3] / "crds"
    bare_cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(crds))
    yield
    bare_cluster.kubectl("delete", "namespace", SERVED, MORE, OTHER, "--wait=false")


def can(cluster: Cluster, account: Account, namespace: str, right: Right, name: str = "") -> bool:
    body = {"spec": {"resourceAttributes": {**attributes(namespace, right), "name": name}}}
    with as_account(cluster, account) as api:
        review = api.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
    allowed: bool = review["status"]["allowed"]
    return allowed


@pytest.mark.parametrize("watched", [[], [SERVED], [SERVED, MORE]], ids=["whole-cluster", "one-namespace", "two"])
@pytest.mark.parametrize("managed", [True, False], ids=["managed", "not-managed"])
def test_what_the_operator_lacks_is_refused(
    helm: Helm, bare_cluster: Cluster, namespaces: None, watched: list[str], managed: bool
):
    values = {"watchNamespaces": watched, "managedWorkers": {"enabled": managed}}
    with installed(helm, bare_cluster, values) as account:

        def allowed(namespace: str, rights: list[Right]) -> list[Right]:
            return [each for each in rights if can(bare_cluster, account, namespace, each)]

        for namespace in (SERVED, OTHER, OPS, "kube-system"):
            assert allowed(namespace, FORBIDDEN) == []
        assert allowed(SERVED, ALWAYS) == ALWAYS
        assert allowed(SERVED, MANAGED) == (MANAGED if managed else [])
        elsewhere = [*ALWAYS, *MANAGED]
        if watched:
            assert allowed(OTHER, elsewhere) == []
            assert allowed("kube-system", elsewhere) == []
            assert allowed(OPS, elsewhere) == []


def test_it_reads_the_secrets_that_are_named_and_no_others(helm: Helm, bare_cluster: Cluster, namespaces: None):
    with installed(helm, bare_cluster, {"rbac": {"secretNames": ["streams-db"]}}) as account:
        assert can(bare_cluster, account, SERVED, ("", "secrets", "get"), "streams-db")
        assert not can(bare_cluster, account, SERVED, ("", "secrets", "get"), "somebody-elses")


def test_it_gives_a_worker_its_two_objects_and_nothing_that_it_lacks_itself(
    helm: Helm, bare_cluster: Cluster, namespaces: None
):
    """A Role can only be made by who has all that it grants."""
    name = "radio-001"
    named = {"resourceNames": [name]}
    rules = [
        {"apiGroups": ["fingerv7.io"], "resources": ["fingerworkers"], "verbs": ["get", "watch"], **named},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "update"], **named},
    ]
    with (
        installed(helm, bare_cluster, {"watchNamespaces": [SERVED]}) as account,
        as_account(bare_cluster, account) as api,
    ):
        api.create(core(SERVED, "serviceaccounts"), {"metadata": {"name": name}})
        api.create(rbac(SERVED, "roles"), {"metadata": {"name": name}, "rules": rules})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        subjects = [{"kind": "ServiceAccount", "name": name, "namespace": SERVED}]
        binding = {"metadata": {"name": name}, "roleRef": role, "subjects": subjects}
        api.create(rbac(SERVED, "rolebindings"), binding)
        more = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]
        with pytest.raises(ApiError, match="attempting to grant RBAC permissions not currently held"):
            api.create(rbac(SERVED, "roles"), {"metadata": {"name": "more"}, "rules": more})
        with pytest.raises(ApiError, match="attempting to grant RBAC permissions not currently held"):
            admin = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"}
            api.create(rbac(SERVED, "rolebindings"), {**binding, "metadata": {"name": "m"}, "roleRef": admin})


# --- people, and the API server's queues ------------------------------------------------------------------

PEOPLE: list[tuple[str, Right, bool]] = [
    ("view", ("fingerv7.io", "streampools", "list"), True),
    ("view", ("fingerv7.io", "streampools", "patch"), False),
    ("view", ("fingerv7.io", "fingerworkers", "get"), False),
    ("edit", ("fingerv7.io", "streampools", "create"), True),
    ("edit", ("fingerv7.io", "streampools/scale", "patch"), True),
    ("edit", ("fingerv7.io", "fingerworkers", "patch"), True),
    ("edit", ("fingerv7.io", "fingerworkers/status", "patch"), False),
    ("edit", ("fingerv7.io", "streampools/status", "patch"), False),
    ("admin", ("fingerv7.io", "fingerworkers", "delete"), True),
    ("admin", ("fingerv7.io", "fingerworkers/status", "update"), False),
]


def test_people_get_what_their_role_says(helm: Helm, bare_cluster: Cluster, namespaces: None):
    with installed(helm, bare_cluster, {}), closing(administrator(bare_cluster)) as api:
        for role in ("view", "edit", "admin"):
            bare_cluster.kubectl(
                "create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}", "-n", SERVED
            )
        bare_cluster.kubectl("wait", "--for=create", f"clusterrole/{OPS}-{RELEASE}-view")

        def answered() -> list[tuple[str, Right, bool]]:
            return [(who, right, person_can(api, who, right)) for who, right, _ in PEOPLE]

        for _ in range(50):  # until the controller has put the roles together
            if answered() == PEOPLE:
                return
        assert answered() == PEOPLE


def attributes(namespace: str, right: Right) -> Object:
    group, resource, verb = right
    plural, _, subresource = resource.partition("/")
    return {"namespace": namespace, "verb": verb, "group": group, "resource": plural, "subresource": subresource}


def person_can(api: Api, user: str, right: Right) -> bool:
    body = {"spec": {"user": user, "resourceAttributes": attributes(SERVED, right)}}
    allowed: bool = api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", body)["status"]["allowed"]
    return allowed


def test_leases_of_workers_have_a_queue_of_their_own(helm: Helm, bare_cluster: Cluster, namespaces: None):
    with installed(helm, bare_cluster, {}) as account, closing(administrator(bare_cluster)) as api:
        name = f"{OPS}-{RELEASE}-leases"
        path = f"/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/{name}"
        uid = api.get(path)["metadata"]["uid"]
        for _ in range(100):  # until the API server has heard of it
            if queue_of(bare_cluster, account, leases(SERVED, "radio-001")) == uid:
                break
        assert queue_of(bare_cluster, account, leases(SERVED, "radio-001")) == uid
        assert queue_of(bare_cluster, account, core(SERVED, "secrets", "x")) != uid


def queue_of(cluster: Cluster, account: Account, path: str) -> str:
    """The UID of the FlowSchema that a request came under."""
    url = urlsplit(cluster.server)
    context = ssl.create_default_context(cafile=cluster.ca_file)
    connection = http.client.HTTPSConnection(url.hostname or "", url.port, timeout=10, context=context)
    with closing(connection):
        connection.request("GET", path, headers={"Authorization": f"Bearer {account.token}"})
        answer: Any = connection.getresponse()
        return str(answer.headers["X-Kubernetes-Pf-Flowschema-Uid"])
