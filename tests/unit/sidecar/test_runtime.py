"""The whole sidecar but its main function, against a small TLS server, with real files and its own HTTP server."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading

from fingerv7_sidecar.files import ConfigFolder
from fingerv7_sidecar.mode import Mode

from .whole_sidecar import FAST, assigned


async def test_from_start_to_acknowledgement_and_through_a_change(api, running):
    api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
    async with running() as it:
        await it.until(lambda: it.sidecar.config.on_disk is not None)
        config = json.loads((it.folder / "assignment.json").read_bytes())
        assert [stream["id"] for stream in config["streams"]] == ["a"]
        assert (await it.call("GET", "/readyz")).status == 503
        (it.folder / "applied").write_text(config["hash"])
        await it.until(lambda: it.sidecar.applied_epoch == 1)
        assert api.annotation("w1", "fingerv7.io/applied") == "uid-1/pod-a/n1/1"
        assert (await it.call("GET", "/readyz")).body == b"ready\n"
        api.put_worker("w1", "uid-1", assignment=assigned(2, "a", "b"))
        await it.until(lambda: it.sidecar.config.on_disk.streams == 2)
        api.delete_worker("w1")
        await it.until(lambda: it.sidecar.config.on_disk.emptied)


async def test_a_watch_that_ends_is_taken_up_again(api, running):
    api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
    async with running(confirm_on_write=True) as it:
        await it.until(lambda: it.sidecar.applied_epoch == 1)
        await api.until(lambda: any("watch=1" in target for _, target in api.requests))
        api.refuse["GET /apis/fingerv7.io/v1alpha1/namespaces/default/fingerworkers?"] = 410
        api.end_watches()
        await api.until(lambda: sum("watch=1" in target for _, target in api.requests) >= 2)
        api.refuse.clear()
        api.put_worker("w1", "uid-1", assignment=assigned(2, "a", "b"))
        await it.until(lambda: it.sidecar.applied_epoch == 2)


async def test_an_object_older_than_the_servers_history_is_watched_all_the_same(api, running):
    api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
    api.oldest = api.version + 100
    async with running(confirm_on_write=True) as it:
        await it.until(lambda: it.sidecar.applied_epoch == 1)
        await api.until(lambda: sum("watch=1" in target for _, target in api.requests) >= 2)
        asked = len(api.requests)
        api.put_worker("w1", "uid-1", assignment=assigned(2, "a", "b"))
        await it.until(lambda: it.sidecar.applied_epoch == 2)
        assert not any("watch=1" in target for _, target in api.requests[asked:])


async def test_without_an_answer_the_config_is_emptied_at_the_deadline_and_filled_after_it(api, running):
    api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
    async with running(confirm_on_write=True) as it:
        await it.until(lambda: it.sidecar.applied_epoch == 1)
        api.hang.add("PUT")
        await it.until(lambda: it.sidecar.fences == 1 and it.sidecar.config.emptied)
        assert json.loads((it.folder / "assignment.json").read_bytes())["streams"] == []
        api.hang.clear()
        await it.until(lambda: it.sidecar.applied_epoch == 1)


# --- the renewal's own way


def renewal_times(api) -> list[float]:
    return [at for at, body in api.renewed_at if body["spec"].get("holderIdentity", "").startswith("pod-a")]


async def test_a_request_of_the_lease_ends_after_q_wherever_it_hangs(api, running):
    """Also in the TLS handshake, as behind a load balancer whose server is gone."""
    accepted = []

    async def say_nothing(reader, writer):
        accepted.append(writer)
        await reader.read()

    deaf = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    real, api.port = api.port, deaf.sockets[0].getsockname()[1]
    try:
        async with running() as it:
            began = asyncio.get_running_loop().time()
            await it.until(lambda: "none within 0.4 s" in it.sidecar.holding.reason)
            assert asyncio.get_running_loop().time() - began < 2 * FAST.request_timeout_ms / 1000
            await it.until(lambda: it.sidecar.holding.failed >= 3)
            leases = it.sidecar.holding.failed
            assert len(accepted) >= leases, "each try has a connection of its own"
    finally:
        api.port = real
        deaf.close()
        for writer in accepted:
            writer.transport.abort()


async def test_after_a_failure_the_lease_gets_a_fresh_connection(api, running):
    api.put_worker("w1", "uid-1", assignment=assigned(0))
    async with running() as it:
        await it.until(lambda: it.sidecar.applied_epoch == 0)
        await api.until(lambda: len(renewal_times(api)) >= 4)
        assert len(api.lease_connections) == 1, "all is well: one connection is kept"
        for failing in ({"hang": {"PUT"}}, {"refuse": {"PUT": 500}}):
            known = len(api.lease_connections)
            api.hang, api.refuse = failing.get("hang", set()), failing.get("refuse", {})
            failed = it.sidecar.holding.failed
            await it.until(lambda failed=failed: it.sidecar.holding.failed > failed)
            api.hang, api.refuse = set(), {}
            count = len(renewal_times(api))
            await api.until(lambda count=count: len(renewal_times(api)) > count)
            assert len(api.lease_connections) > known
        assert it.sidecar.fences == 0


async def test_renewals_wait_neither_for_the_disk_nor_for_the_fingerworker(api, running, monkeypatch):
    api.put_worker("w1", "uid-1", assignment=assigned(0))
    disk = threading.Event()
    async with running() as it:
        await it.until(lambda: it.sidecar.applied_epoch == 0)
        write = ConfigFolder.write_config

        def stuck(self, payload):
            disk.wait(30)
            write(self, payload)

        monkeypatch.setattr(ConfigFolder, "write_config", stuck)
        api.hang.add("GET /apis/fingerv7.io/")
        try:
            api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
            api.end_watches()
            await it.until(lambda: it.sidecar.mirror.view is not None and it.sidecar.mirror.view.epoch == 1)
            count = len(renewal_times(api))
            await api.until(lambda: len(renewal_times(api)) >= count + 8)
            times = renewal_times(api)[count:]
            gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
            assert max(gaps) < FAST.fence_after_ms / 1000 / 2, gaps
            assert it.sidecar.fences == 0
            assert it.sidecar.config.on_disk is None or it.sidecar.config.on_disk.streams == 0
        finally:
            disk.set()
        await it.until(lambda: it.sidecar.config.on_disk is not None and it.sidecar.config.on_disk.streams == 1)


async def test_a_renewed_token_is_read_after_a_401(api, running, tmp_path):
    api.put_worker("w1", "uid-1", assignment=assigned(0))
    async with running() as it:
        await it.until(lambda: it.sidecar.applied_epoch == 0)
        api.token = "renewed"
        (tmp_path / "token").write_text("renewed")
        writes = it.sidecar.holding.ok
        await it.until(lambda: it.sidecar.holding.ok >= writes + 2)
        assert it.sidecar.fences == 0


async def test_an_untrusted_certificate_is_refused_and_said(running):
    import trustme

    async with running(ca=trustme.CA()) as it:
        await it.until(lambda: "certificate" in it.sidecar.holding.reason)


async def test_missing_rights_are_said(api, running):
    api.refuse["POST /apis/coordination"] = 403
    async with running(lease=False) as it:
        await it.until(lambda: "no verb create on leases" in it.sidecar.holding.reason)
        api.refuse = {"GET /apis/fingerv7.io": 403}
        await it.until(lambda: "verbs get and watch on fingerworkers" in it.sidecar.mirror.read_error)


async def test_without_the_right_to_create_a_lease_it_waits_for_the_operators(api, running):
    api.refuse["POST /apis/coordination"] = 403
    async with running(lease=False) as it:
        await it.until(lambda: "waiting for the operator" in it.sidecar.holding.reason)
        api.leases["w1"] = {"metadata": {"name": "w1", "resourceVersion": "101"}, "spec": {}}
        await it.until(lambda: it.sidecar.lease_held)


async def test_the_second_sidecar_of_an_identity_waits_and_says_so(api, running):
    async with running() as first:
        await first.until(lambda: first.sidecar.lease_held)
        async with running(pod="pod-b", folder="other") as second:
            await second.until(lambda: "another pod holds the Lease as pod-a/n1" in second.sidecar.holding.reason)
            ready = await second.call("GET", "/readyz")
            assert ready.status == 503
            assert b"INSTANCE_ID" in ready.body


async def test_the_hook_confirms(api, running):
    answers = []

    async def handle(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length:")[2].split()[0])
        digest = json.loads(await reader.readexactly(size))["hash"]
        answers.append(digest)
        body = b"not yet" if len(answers) == 1 else json.dumps({"hash": digest}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    hook = await asyncio.start_server(handle, "127.0.0.1", 0)
    api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
    async with running(ack_url=f"http://127.0.0.1:{hook.sockets[0].getsockname()[1]}/config") as it:
        await it.until(lambda: it.sidecar.applied_epoch == 1)
    hook.close()
    assert len(answers) >= 2


async def test_an_unhealthy_worker_is_suspected(api, running):
    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %s X\r\ncontent-length: 0\r\n\r\n" % health[0])
        await writer.drain()
        writer.close()

    health = [b"200"]
    worker = await asyncio.start_server(handle, "127.0.0.1", 0)
    api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
    url = f"http://127.0.0.1:{worker.sockets[0].getsockname()[1]}/healthz"
    async with running(confirm_on_write=True, health_url=url, worker_grace_s=0.3) as it:
        await it.until(lambda: it.sidecar.applied_epoch == 1 and it.sidecar.vitals.silent_at(0) is not None)
        health[0] = b"500"
        await it.until(lambda: it.sidecar.mode is Mode.SUSPECT)
        assert (await it.call("GET", "/assignment")).body.count(b"secret") == 0
        health[0] = b"200"
        await it.until(lambda: it.sidecar.applied_epoch == 1)
    worker.close()


async def test_a_restarted_sidecar_of_the_same_pod_goes_on(api, running):
    api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
    async with running() as it:
        await it.until(lambda: it.sidecar.config.on_disk is not None)
        (it.folder / "applied").write_text(it.sidecar.config.on_disk.hash)
        await it.until(lambda: it.sidecar.applied_epoch == 1)
        before = (it.folder / "assignment.json").stat()
    async with running(nonce="n2") as it:
        await it.until(lambda: it.sidecar.applied_epoch == 1)
        assert api.annotation("w1", "fingerv7.io/applied") == "uid-1/pod-a/n2/1"
        assert (it.folder / "assignment.json").stat().st_ino == before.st_ino
