"""The whole sidecar but its main function, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import types

from fingerv7.contract import Timing, assignment_hash
from fingerv7_sidecar.api import ApiClient, LeaseClient, WorkerMirror
from fingerv7_sidecar.clock import read_boot_id, read_clock
from fingerv7_sidecar.endpoints import Endpoints
from fingerv7_sidecar.files import ConfigFolder
from fingerv7_sidecar.http1 import Connection
from fingerv7_sidecar.identity import Identity, Policy
from fingerv7_sidecar.log import Log
from fingerv7_sidecar.protocol import Sidecar
from fingerv7_sidecar.runtime import Runtime
from fingerv7_sidecar.server import Server

FAST = Timing.derive(4_000, renew_interval_ms=200, request_timeout_ms=400)


@contextlib.asynccontextmanager
async def running_sidecar(
    api, authority, tmp_path, *, ca=None, timing=FAST, nonce="n1", pod="pod-a", folder="config", lease=True, **policy
):
    """With its folder below `tmp_path`; `ca` is whom it trusts, where that is not who signed for the API server."""
    ca = ca or authority
    if lease and not api.leases:
        api.succeed("w1")
    root = tmp_path / folder
    root.mkdir(exist_ok=True)
    (tmp_path / "token").write_text(api.token)
    ca.cert_pem.write_to_path(tmp_path / "ca.crt")
    files = ConfigFolder(str(root))
    identity = Identity("w1", "default", "radio", pod, nonce, read_boot_id())
    client = ApiClient("127.0.0.1", api.port, token_file=str(tmp_path / "token"), ca_file=str(tmp_path / "ca.crt"))
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


def assigned(epoch, *ids, uid="uid-1"):
    streams = [
        {"id": name, "url": f"http://user:secret@radio.example/{name}?key=1", "name": name, "token": "1-1"}
        for name in ids
    ]
    return {"epoch": epoch, "hash": assignment_hash(uid, epoch, streams), "streams": streams}
