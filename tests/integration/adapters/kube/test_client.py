"""What the real API server answers, and what the client makes of it."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from devenv.cluster import Cluster
from fingerv7.adapters.kube import errors
from fingerv7.adapters.kube.client import KubeClient
from fingerv7.adapters.kube.credentials import Credentials, RereadToken
from fingerv7.adapters.kube.resources import FINGERWORKERS, LEASES

pytestmark = pytest.mark.integration


def lease(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}


def version(raw: dict[str, Any]) -> str:
    return str(raw["metadata"]["resourceVersion"])


def edit(holder: str, resource_version: str) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": resource_version}, "spec": {"holderIdentity": holder}}


async def holder_of(api: KubeClient, path: str) -> str:
    return str((await api.get(path))["spec"]["holderIdentity"])


async def test_a_life_of_an_object(api: KubeClient, namespace: str) -> None:
    path = LEASES.path(namespace, "a")
    created = await api.create(LEASES.path(namespace), lease("a", holderIdentity="x"))
    assert (await api.get(path))["metadata"]["uid"] == created["metadata"]["uid"]
    patched = await api.merge_patch(path, edit("y", version(created)))
    replaced = await api.replace(path, {**patched, "spec": {"holderIdentity": "z"}})
    assert int(version(replaced)) > int(version(patched)) > int(version(created))
    await api.delete(path, uid=created["metadata"]["uid"], resource_version=version(replaced))
    with pytest.raises(errors.NotFound):
        await api.get(path)


async def test_each_refusal_has_its_error(
    api: KubeClient, namespace: str, cluster: Cluster, credentials: Credentials
) -> None:
    path = LEASES.path(namespace, "a")
    created = await api.create(LEASES.path(namespace), lease("a"))
    with pytest.raises(errors.Conflict) as again:
        await api.create(LEASES.path(namespace), lease("a"))
    assert again.value.reason == "AlreadyExists"
    await api.merge_patch(path, edit("y", version(created)))
    for stale in (
        api.merge_patch(path, edit("z", version(created))),
        api.replace(path, created),
        api.delete(path, resource_version=version(created)),
        api.delete(path, uid="somebody-else"),
    ):
        with pytest.raises(errors.Conflict):
            await stale
    with pytest.raises(errors.NotFound):
        await api.get(LEASES.path(namespace, "b"))
    with pytest.raises(errors.Invalid, match="leaseDurationSeconds"):
        await api.create(LEASES.path(namespace), lease("b", leaseDurationSeconds=-1))

    token = cluster.service_account_token(namespace, "nobody")
    async with KubeClient(replace(credentials, token=RereadToken(lambda _: f"Bearer {token}"))) as nobody:
        with pytest.raises(errors.Forbidden, match="leases"):
            await nobody.get(path)
    async with KubeClient(replace(credentials, token=RereadToken(lambda _: "Bearer wrong"))) as stranger:
        with pytest.raises(errors.Unauthorized):
            await stranger.get(path)
    assert await holder_of(api, path) == "y"


async def test_a_stale_status_write_is_refused(api: KubeClient, namespace: str) -> None:
    body = {
        "apiVersion": FINGERWORKERS.api_version,
        "kind": FINGERWORKERS.kind,
        "metadata": {"name": "w"},
        "spec": {"poolRef": {"name": "radio"}, "maxStreams": 5, "capabilities": ["audio_fingerprinting"]},
    }
    created = await api.create(FINGERWORKERS.path(namespace), body)
    path = FINGERWORKERS.path(namespace, "w", "status")
    patch = {"metadata": {"resourceVersion": version(created)}, "status": {"phase": "Registered"}}
    stored = await api.merge_patch(path, patch)
    assert stored["status"]["phase"] == "Registered"
    with pytest.raises(errors.Conflict):
        await api.merge_patch(path, patch)


async def test_a_list_in_chunks_is_one_snapshot(api: KubeClient, namespace: str) -> None:
    names = {f"l-{number}" for number in range(23)}
    await asyncio.gather(*(api.create(LEASES.path(namespace), lease(name)) for name in names))
    items, at = await api.list(LEASES.path(namespace), chunk=5)
    assert {item["metadata"]["name"] for item in items} == names
    assert int(at) >= max(int(version(item)) for item in items)
    assert await api.list(LEASES.path(namespace), params={"labelSelector": "none=such"}) == ([], at)


async def test_a_server_with_another_certificate_is_not_talked_to(credentials: Credentials) -> None:
    async with KubeClient(replace(credentials, ssl_context=ssl.create_default_context())) as client:
        with pytest.raises(errors.ApiUnreachable, match=r"(?i)certificate"):
            await client.get(LEASES.path("default"))


# --- answers that never come ------------------------------------------------------------------------------


async def test_a_write_whose_answer_was_cut_off_is_unknown_and_was_made(
    api: KubeClient, open_line: Any, namespace: str
) -> None:
    line = await open_line()
    path = LEASES.path(namespace, "a")
    created = await line.client.create(LEASES.path(namespace), lease("a", holderIdentity="x"))
    line.proxy.mode = "lose answers"
    with pytest.raises(errors.OutcomeUnknown):
        await line.client.merge_patch(path, edit("y", version(created)))
    line.proxy.mode = "pass"
    assert await holder_of(line.client, path) == "y"
    assert line.proxy.answers_lost == 1


@pytest.mark.parametrize("verb", ["replace", "delete"])
async def test_no_layer_repeats_a_write_behind_our_back(open_line: Any, namespace: str, verb: str) -> None:
    line = await open_line()
    path = LEASES.path(namespace, "a")
    created = await line.client.create(LEASES.path(namespace), lease("a", holderIdentity="x"))
    line.proxy.mode = "lose answers"
    with pytest.raises(errors.OutcomeUnknown):
        if verb == "replace":
            await line.client.replace(path, created)
        else:
            await line.client.delete(path)
    assert line.proxy.answers_lost == 1


async def test_an_unanswered_write_that_arrives_late_fails_once_a_later_one_was_accepted(
    api: KubeClient, open_line: Any, namespace: str
) -> None:
    line = await open_line(request_timeout_s=0.3)
    path = LEASES.path(namespace, "a")
    created = await line.client.create(LEASES.path(namespace), lease("a", holderIdentity="x"))
    line.proxy.mode = "hold requests"
    with pytest.raises(errors.OutcomeUnknown):
        await line.client.merge_patch(path, edit("lost", version(created)))
    assert await holder_of(api, path) == "x"
    await api.merge_patch(path, edit("later", version(created)))
    await line.proxy.deliver()
    assert await holder_of(api, path) == "later"


async def test_an_unanswered_write_may_arrive_after_we_gave_up(
    api: KubeClient, open_line: Any, namespace: str
) -> None:
    line = await open_line(request_timeout_s=0.3)
    path = LEASES.path(namespace, "a")
    created = await line.client.create(LEASES.path(namespace), lease("a", holderIdentity="x"))
    line.proxy.mode = "hold requests"
    with pytest.raises(errors.OutcomeUnknown):
        await line.client.merge_patch(path, edit("late", version(created)))
    await line.proxy.deliver()
    assert await holder_of(api, path) == "late"


async def test_while_nobody_listens_nothing_is_changed_and_reads_say_so(open_line: Any, namespace: str) -> None:
    line = await open_line()
    line.proxy._server.close()
    with pytest.raises(errors.ApiUnreachable):
        await line.client.create(LEASES.path(namespace), lease("a"))
    with pytest.raises(errors.ApiUnreachable):
        await line.client.get(LEASES.path(namespace, "a"))


# --- watches ----------------------------------------------------------------------------------------------


async def test_a_watch_tells_all_that_happens_after_a_list(api: KubeClient, namespace: str) -> None:
    path = LEASES.path(namespace, "a")
    _, at = await api.list(LEASES.path(namespace))
    created = await api.create(LEASES.path(namespace), lease("a"))
    patched = await api.merge_patch(path, edit("y", version(created)))
    await api.delete(path)
    seen = []
    async with aclosing(api.watch(LEASES.path(namespace), resource_version=at, timeout_s=30)) as events:
        async for kind, raw in events:
            seen.append((kind, version(raw)))
            if kind == "DELETED":
                break
    assert seen[:3] == [("BOOKMARK", at), ("ADDED", version(created)), ("MODIFIED", version(patched))]
    assert seen[3][0] == "DELETED"
    assert int(seen[3][1]) > int(version(patched))


async def test_a_quiet_watch_ends_on_time_with_a_bookmark(api: KubeClient, namespace: str) -> None:
    _, at = await api.list(LEASES.path(namespace))
    elsewhere = await api.create(LEASES.path("default"), lease(f"{namespace}-elsewhere"))
    watch = api.watch(LEASES.path(namespace), resource_version=at, timeout_s=5)
    async with asyncio.timeout(20), aclosing(watch) as events:
        seen = [(kind, int(version(raw))) async for kind, raw in events]
    assert {kind for kind, _ in seen} == {"BOOKMARK"}
    assert seen[-1][1] >= int(version(elsewhere))


async def test_a_version_that_the_server_has_forgotten_is_gone(api: KubeClient, namespace: str) -> None:
    watch = api.watch(FINGERWORKERS.path(namespace), resource_version="1", timeout_s=5)
    with pytest.raises(errors.Gone):
        async with aclosing(watch) as events:
            async for _ in events:
                pass
