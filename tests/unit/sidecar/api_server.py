"""The few API calls that a sidecar makes, over real TLS: Leases with resourceVersions, one kind read and watched.

Not a substitute for an API server (tests/integration has one): it is here to see the sidecar's own sockets, files
and times without a cluster. It can refuse, delay and break what it answers.
"""

from __future__ import annotations

import asyncio
import copy
import json
import ssl
from typing import Any

import h11

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
WORKERS = "/apis/fingerv7.io/v1alpha1/namespaces/default/fingerworkers"
TOKEN = "good-token"


def status(code: int, reason: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "code": code,
        "reason": reason,
        "message": f"told to answer {code}",
        "details": {"x": 1},
    }


class ApiServer:
    def __init__(self) -> None:
        self.leases: dict[str, dict[str, Any]] = {}
        self.workers: dict[str, dict[str, Any]] = {}
        self.version = 100
        self.oldest = 0
        """Watches cannot begin before this version."""
        self.token = TOKEN
        self.requests: list[tuple[str, str]] = []
        self.lease_bodies: list[dict[str, Any]] = []
        self.renewed_at: list[tuple[float, dict[str, Any]]] = []
        """When each Lease write was accepted, on the loop's clock."""
        self.lease_connections: set[int] = set()
        """Connections on which something was asked of a Lease."""
        self.refuse: dict[str, int] = {}
        """Method and path prefix → status to answer with instead."""
        self.hang: set[str] = set()
        """Methods and path prefixes that get no answer."""
        self.changed = asyncio.Event()
        self.port = 0
        self._watchers: set[asyncio.Queue[tuple[str, dict[str, Any]] | None]] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, context: ssl.SSLContext) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def put_worker(self, name: str, uid: str, *, assignment: dict[str, Any] | None = None, **status_: Any) -> None:
        self.version += 1
        body = {
            "metadata": {"name": name, "namespace": "default", "uid": uid, "resourceVersion": str(self.version)},
            "spec": {"poolRef": {"name": "radio"}, "maxStreams": 50},
            "status": ({"assignment": assignment} if assignment else {}) | status_,
        }
        kind = "MODIFIED" if name in self.workers else "ADDED"
        self.workers[name] = body
        self._tell(kind, body)

    def succeed(self, name: str) -> None:
        """An earlier pod has released the Lease, so that nobody has to be waited for."""
        self.version += 1
        self.leases[name] = {
            "metadata": {
                "name": name,
                "resourceVersion": str(self.version),
                "annotations": {"fingerv7.io/released": "uid-1/pod-0/n0"},
            },
            "spec": {"holderIdentity": "pod-0/n0", "renewTime": "then", "leaseTransitions": 1},
        }

    def delete_worker(self, name: str) -> None:
        self.version += 1
        self._tell("DELETED", self.workers.pop(name))

    def end_watches(self) -> None:
        for queue in self._watchers:
            queue.put_nowait(None)

    def annotation(self, name: str, key: str) -> str:
        lease = self.leases.get(name) or {}
        return str((lease.get("metadata", {}).get("annotations") or {}).get(key, ""))

    async def until(self, condition: Any, timeout: float = 10.0) -> None:
        async with asyncio.timeout(timeout):
            while not condition():
                await self.changed.wait()

    def _tell(self, kind: str, body: dict[str, Any]) -> None:
        for queue in self._watchers:
            queue.put_nowait((kind, body))
        self._touch()

    def _touch(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        parser = h11.Connection(h11.SERVER)
        try:
            while True:
                head, body = None, b""
                while True:
                    event = parser.next_event()
                    if event is h11.NEED_DATA:
                        parser.receive_data(await reader.read(65536))
                    elif isinstance(event, h11.Request):
                        head = event
                    elif isinstance(event, h11.Data):
                        body += event.data
                    elif isinstance(event, h11.EndOfMessage):
                        break
                    else:
                        return
                assert head
                if await self._answer(parser, writer, head, body):
                    return
                parser.start_next_cycle()
        except (OSError, asyncio.CancelledError, h11.ProtocolError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _answer(
        self, parser: h11.Connection, writer: asyncio.StreamWriter, head: h11.Request, body: bytes
    ) -> bool:
        """Whether the connection is used up."""
        method, target = head.method.decode(), head.target.decode()
        self.requests.append((method, target))
        if target.startswith(LEASES):
            self.lease_connections.add(writer.get_extra_info("peername")[1])
        self._touch()
        line = f"{method} {target}"
        if any(line.startswith(prefix) for prefix in self.hang):
            await asyncio.sleep(3600)
        refused = next((code for prefix, code in self.refuse.items() if line.startswith(prefix)), 0)
        if dict(head.headers).get(b"authorization") != f"Bearer {self.token}".encode():
            refused = 401
        if refused:
            return await self._send(parser, writer, refused, status(refused, "Refused"))
        path = target.partition("?")[0]
        if path == WORKERS:
            await self._watch(parser, writer, target)
            return True
        if path.startswith(WORKERS):
            found = self.workers.get(path.rpartition("/")[2])
            return await self._send(parser, writer, 200 if found else 404, found or status(404, "NotFound"))
        code, answer = self._lease(method, path, json.loads(body) if body else {})
        self._touch()
        return await self._send(parser, writer, code, answer)

    def _lease(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = body["metadata"]["name"] if method == "POST" else path.rpartition("/")[2]
        stored = self.leases.get(name)
        if method == "POST" and stored:
            return 409, status(409, "AlreadyExists")
        if method != "POST" and not stored:
            return 404, status(404, "NotFound")
        if method == "GET":
            return 200, stored or {}
        if stored and body["metadata"].get("resourceVersion") != stored["metadata"]["resourceVersion"]:
            return 409, status(409, "Conflict")
        self.version += 1
        kept = copy.deepcopy(body)
        kept["metadata"]["resourceVersion"] = str(self.version)
        kept["metadata"].setdefault("uid", f"lease-{self.version}")
        self.leases[name] = kept
        self.lease_bodies.append(kept)
        self.renewed_at.append((asyncio.get_running_loop().time(), kept))
        return (201 if method == "POST" else 200), kept

    async def _watch(self, parser: h11.Connection, writer: asyncio.StreamWriter, target: str) -> None:
        queue: asyncio.Queue[tuple[str, dict[str, Any]] | None] = asyncio.Queue()
        since = int(target.partition("&resourceVersion=")[2].partition("&")[0] or 0)
        if 0 < since < self.oldest:
            await self._send(parser, writer, 410, status(410, "Expired"))
            return
        for body in self.workers.values():
            if int(body["metadata"]["resourceVersion"]) > since:
                queue.put_nowait(("ADDED", body))
        self._watchers.add(queue)
        try:
            writer.write(
                parser.send(h11.Response(status_code=200, headers=[("transfer-encoding", "chunked")])) or b""
            )
            while (event := await queue.get()) is not None:
                data = json.dumps({"type": event[0], "object": event[1]}).encode() + b"\n"
                writer.write(parser.send(h11.Data(data=data)) or b"")
                await writer.drain()
            writer.write(parser.send(h11.EndOfMessage()) or b"")
            await writer.drain()
        finally:
            self._watchers.discard(queue)

    async def _send(
        self, parser: h11.Connection, writer: asyncio.StreamWriter, code: int, body: dict[str, Any]
    ) -> bool:
        data = json.dumps(body).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(data)))]
        out = parser.send(h11.Response(status_code=code, headers=headers)) or b""
        out += (parser.send(h11.Data(data=data)) or b"") + (parser.send(h11.EndOfMessage()) or b"")
        writer.write(out)
        await writer.drain()
        return False
