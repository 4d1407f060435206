"""The whole sidecar but its main function, against a small TLS server, with real files and its own HTTP server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import threading
import types

import pytest

from fingerv7.contract import Timing, assignment_hash
from fingerv7_sidecar.api import ApiClient, LeaseClient, WorkerMirror
from fingerv7_sidecar.clock import read_boot_id, read_clock
from fingerv7_sidecar.endpoints import Endpoints
from fingerv7_sidecar.events import StopRequested
from fingerv7_sidecar.files import ConfigFolder
from fingerv7_sidecar.http1 import Connection
from fingerv7_sidecar.identity import Identity, Policy
from fingerv7_sidecar.log import Log
from fingerv7_sidecar.mode import Mode
from fingerv7_sidecar.protocol import Sidecar
from fingerv7_sidecar.runtime import Runtime
from fingerv7_sidecar.server import Server

FAST = Timing.derive(4_000, renew_interval_ms=200, request_timeout_ms=400)


@pytest.fixture
def running(api, authority, tmp_path):
    """Starts a sidecar in this process: `async with running(**policy) as it`."""

    @contextlib.asynccontextmanager
    async def start(*, ca=authority, timing=FAST, nonce="n1", pod="pod-a", folder="config", lease=True, **policy):
        if lease and not api.leases:
            api.succeed("w1")
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        (tmp_path / "token").write_text(api.token)
        ca.cert_pem.write_to_path(tmp_path / "ca.crt")
        files = ConfigFolder(str(root))
        identity = Identity("w1", "default", "radio", pod, nonce, read_boot_id())
        client = ApiClient(
            "127.0.0.1", api.port, token_file=str(tmp_path / "token"), ca_file=str(tmp_path / "ca.crt")
        )
        ack_url = policy.pop("ack_url", "")
        drain_key = policy.pop("drain_key", "")
        health_url = policy.pop("health_url", "")
        vpn = {key: policy.pop(key, "") for key in ("vpn_url", "vpn_key")}
        sidecar = Sidecar(identity, Policy(timing=timing, **policy), files.find(), read_clock())
        lease_client = LeaseClient(client, identity)
        runtime = Runtime(
            sidecar,
            files,
            lease_client,
            lambda post: WorkerMirror(client, identity, post),
            Log(level="error"),
            ack_url=ack_url,
            health_url=health_url,
            **vpn,
        )
        endpoints = Endpoints(runtime, version="7.1")
        server = Server(endpoints.routes(), Log(level="error"))
        port = await server.start("127.0.0.1", 0)
        public = Server(endpoints.public_routes(drain_key), Log(level="error"), public=True)
        public_port = await public.start("127.0.0.1", 0)
        task = asyncio.create_task(runtime.run())

        async def call(method, target, body=b"", headers=None, public=False):
            connection = Connection("127.0.0.1", public_port if public else port)
            try:
                return await connection.request(method, target, headers or {}, body)
            finally:
                connection.close()

        async def until(condition, timeout=10.0):
            assert await runtime.until(condition, timeout), sidecar.problems()

        try:
            yield types.SimpleNamespace(
                runtime=runtime, sidecar=sidecar, folder=root, call=call, until=until, task=task, port=port
            )
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            lease_client._connection.close()  # before its loop, or its end is reported in another test
            await asyncio.gather(server.stop(), public.stop())

    return start


def assigned(epoch, *ids, uid="uid-1"):
    streams = [
        {"id": name, "url": f"http://user:secret@radio.example/{name}?key=1", "name": name, "token": "1-1"}
        for name in ids
    ]
    return {"epoch": epoch, "hash": assignment_hash(uid, epoch, streams), "streams": streams}


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


async def test_reports_travel_with_the_next_renewal(api, running):
    api.put_worker("w1", "uid-1", assignment=assigned(0))
    async with running() as it:
        await it.until(lambda: it.sidecar.lease_held)
        assert (await it.call("POST", "/report", b'{"currentStreams": 4}')).status == 200
        await api.until(lambda: "currentStreams" in api.annotation("w1", "fingerv7.io/report"))
        assert json.loads(api.annotation("w1", "fingerv7.io/report")) == {"currentStreams": 4, "version": "7.1"}
        refused = await it.call("POST", "/report", b'{"cpuPercent": "much"}')
        assert refused.status == 400
        assert "cpuPercent" in json.loads(refused.body)["error"]


async def test_the_assignment_over_http(api, running):
    api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
    async with running() as it:
        await it.until(lambda: it.sidecar.config.on_disk is not None)
        given = await it.call("GET", "/assignment")
        assert given.body == (it.folder / "assignment.json").read_bytes()
        tag = given.headers["etag"]
        assert (await it.call("GET", "/assignment", headers={"if-none-match": tag})).status == 304
        assert (await it.call("POST", "/applied", b"0" * 32)).status == 409
        assert (await it.call("POST", "/applied", tag.strip('"').encode())).status == 200
        await it.until(lambda: it.sidecar.applied_epoch == 1)


async def test_a_drain_answers_when_the_release_is_written(api, running):
    api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
    async with running(confirm_on_write=True) as it:
        await it.until(lambda: it.sidecar.applied_epoch == 1)
        assert (await it.call("POST", "/drain?timeout=50ms")).status == 504
        assert (await it.call("POST", "/drain?timeout=soon")).status == 400
        waiting = asyncio.create_task(it.call("POST", "/drain"))
        await api.until(lambda: api.annotation("w1", "fingerv7.io/drain"))
        api.put_worker("w1", "uid-1", assignment=assigned(2))
        assert (await waiting).body == b"drained\n"
        assert api.annotation("w1", "fingerv7.io/released") == "uid-1/pod-a/n1"
        it.runtime.post(StopRequested())
        await it.task


async def test_a_drain_answers_at_once_when_fenced(api, running):
    api.refuse["GET"] = 500
    async with running() as it:
        answer = await it.call("POST", "/drain")
        assert answer.status == 200
        assert answer.body.startswith(b"fenced")


KEY = "0123456789abcdef"


@pytest.mark.parametrize("path", ["/assignment", "/applied", "/report", "/", "/Drain", "/drain/"])
async def test_nothing_else_is_reachable_from_outside_of_the_pod(api, running, path):
    api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
    async with running(confirm_on_write=True, drain_key=KEY) as it:
        await it.until(lambda: it.sidecar.applied_epoch == 1)
        for method in ("GET", "POST"):
            answer = await it.call(method, path, headers={"authorization": f"Bearer {KEY}"}, public=True)
            assert answer.status == 404
            assert b"radio.example" not in answer.body


async def test_probes_and_metrics_are_reachable_from_outside_of_the_pod(api, running):
    api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
    async with running(confirm_on_write=True) as it:
        await it.until(lambda: it.sidecar.applied_epoch == 1)
        for path in ("/healthz", "/readyz", "/metrics"):
            answer = await it.call("GET", path, public=True)
            assert answer.status == 200
            assert b"radio.example" not in answer.body


@pytest.mark.parametrize(
    ("key", "given"),
    [
        (KEY, None),
        (KEY, ""),
        (KEY, KEY),
        (KEY, "Bearer"),
        (KEY, f"Bearer {KEY}x"),
        (KEY, f"Bearer {KEY[:-1]}"),
        (KEY, f"bearer {KEY}"),
        ("", "Bearer"),
        ("", None),
    ],
)
async def test_nobody_drains_from_outside_without_the_key(api, running, key, given):
    api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
    async with running(confirm_on_write=True, drain_key=key) as it:
        await it.until(lambda: it.sidecar.applied_epoch == 1)
        for method in ("GET", "POST", "HEAD"):
            headers = {} if given is None else {"authorization": given}
            answer = await it.call(method, "/drain?timeout=1s", headers=headers, public=True)
            assert answer.status == 403
            assert KEY.encode() not in answer.body
        assert not it.sidecar.draining


async def test_a_preStop_hook_drains_with_the_key(api, running):  # noqa: N802 - its name
    api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
    async with running(confirm_on_write=True, drain_key=KEY) as it:
        await it.until(lambda: it.sidecar.applied_epoch == 1)
        bearer = {"authorization": f"Bearer {KEY}"}
        assert (await it.call("GET", "/drain?within=soon", headers=bearer, public=True)).status == 400
        hook = "/drain?timeout=20s&within=60s"
        waiting = asyncio.create_task(it.call("GET", hook, headers=bearer, public=True))
        await api.until(lambda: api.annotation("w1", "fingerv7.io/drain"))
        api.put_worker("w1", "uid-1", assignment=assigned(2))
        assert (await waiting).body == b"drained\n"


async def test_a_preStop_hook_after_an_expired_fence_is_answered_at_once(api, running):  # noqa: N802
    async with running(confirm_on_write=True) as it:
        await it.until(lambda: it.sidecar.lease_held)
        api.refuse["PUT"] = 500
        await it.until(lambda: it.sidecar.fenced)
        api.refuse.clear()
        await it.until(lambda: it.sidecar.lease_held)
        answer = await it.call("GET", "/drain?within=60s")
        assert answer.body.startswith(b"not drained")
        assert not it.sidecar.draining


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


async def test_metrics_and_health(api, running):
    api.put_worker("w1", "uid-1", assignment=assigned(3, "a"))
    async with running(confirm_on_write=True) as it:
        await it.until(lambda: it.sidecar.applied_epoch == 3)
        text = (await it.call("GET", "/metrics")).body.decode()
        assert "fingerv7_sidecar_applied_epoch 3\n" in text
        assert "fingerv7_sidecar_fenced 0\n" in text
        assert (await it.call("GET", "/healthz")).status == 200
        assert (await it.call("HEAD", "/healthz")).body == b""


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("DELETE", "/report", 405), ("GET", "/report", 405)]
)
async def test_wrong_requests_are_answered_with_what_is_right(running, method, path, status):
    async with running() as it:
        answer = await it.call(method, path)
        assert answer.status == status
        assert "/report" in json.loads(answer.body)["error"]


async def test_oversized_and_broken_requests_are_refused(running):
    async with running() as it:
        assert (await it.call("POST", "/report", b"x" * 100_000)).status == 413
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
        writer.write(b"HELLO\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
        writer.close()
        await writer.wait_closed()
