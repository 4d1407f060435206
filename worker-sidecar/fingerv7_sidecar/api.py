"""The two objects of this worker at the API server: its Lease and its FingerWorker.

The Lease has a connection of its own, so that nothing that the FingerWorker's read or watch does can delay a
renewal. After any failure a connection is dropped, because a broken one often accepts requests without an answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

from fingerv7.contract import GROUP, VERSION
from fingerv7_sidecar.events import Event, LeaseReply, SendLease, WorkerSeen, WorkerUnreadable
from fingerv7_sidecar.http1 import Connection, HttpError, Response
from fingerv7_sidecar.identity import Identity

_TOKEN_AGE_S = 60.0
_READ_TIMEOUT_S = 10.0
_SAFETY_READ_S = 60.0
_SETTLING_S = 1.0
_WATCH_S = 290
_WATCH_SILENCE_S = 100.0
"""The API server sends a bookmark about each minute, so this much silence is a dead connection."""
_LINE_LIMIT = 8 << 20


class Token:
    """The service account's token, which the kubelet renews in its file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._text = ""
        self._read_at: float | None = None

    def get(self) -> str:
        now = time.monotonic()
        if self._read_at is None or now - self._read_at > _TOKEN_AGE_S:
            try:
                with open(self._path, encoding="ascii") as file:  # noqa: PTH123
                    self._text, self._read_at = file.read().strip(), now
            except (OSError, ValueError) as error:
                if not self._text:
                    raise HttpError(f"the token file cannot be read (KUBERNETES_TOKEN_FILE): {error}") from None
        return self._text

    def refused(self) -> None:
        self._read_at = None


class ApiClient:
    """Requests to one API server; certificates are always verified against the CA file."""

    def __init__(self, host: str, port: int, *, token_file: str, ca_file: str) -> None:
        self._host, self._port = host, port
        self._token = Token(token_file)
        self._context = ssl.create_default_context(cafile=ca_file)

    def connection(self) -> Connection:
        return Connection(self._host, self._port, self._context)

    async def request(
        self, connection: Connection, method: str, target: str, body: Mapping[str, Any] | None = None
    ) -> Response:
        headers = self.headers()
        data = b""
        if body is not None:
            headers["content-type"] = "application/json"
            data = json.dumps(body, separators=(",", ":")).encode()
        response = await connection.request(method, target, headers, data)
        if response.status == 401:
            self._token.refused()
        if response.status >= 400:
            connection.close()
        return response

    def headers(self) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self._token.get()}",
            "accept": "application/json",
            "user-agent": "fingerv7-sidecar",
        }


class LeaseClient:
    """Performs `SendLease`."""

    def __init__(self, api: ApiClient, identity: Identity) -> None:
        self._api = api
        self._connection = api.connection()
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{identity.namespace}/leases"
        self._object = f"{self._collection}/{identity.name}"

    async def send(self, action: SendLease) -> LeaseReply:
        target = self._collection if action.method == "POST" else self._object
        try:
            async with asyncio.timeout(action.timeout_s):
                response = await self._api.request(self._connection, action.method, target, action.body)
        except TimeoutError:
            return LeaseReply(action.serial, 0, reason=f"none within {action.timeout_s:g} s")
        except HttpError as error:
            return LeaseReply(action.serial, 0, reason=str(error))
        body = _json_object(response.body)
        if response.status in (200, 201):
            if body is None or "metadata" not in body:
                return LeaseReply(action.serial, 0, reason="the answer is not a Lease")
            return LeaseReply(action.serial, response.status, body)
        return LeaseReply(action.serial, response.status, reason=_message(body))


class WorkerMirror:
    """Performs `ReadWorker`: a direct read, then a watch from there, then again, until it is cancelled."""

    def __init__(self, api: ApiClient, identity: Identity, post: Callable[[Event], None]) -> None:
        self._api = api
        self._identity = identity
        self._post = post
        self._collection = f"/apis/{GROUP}/{VERSION}/namespaces/{identity.namespace}/fingerworkers"
        self._object = f"{self._collection}/{identity.name}"
        self._version = ""
        """The resourceVersion that was seen last; empty when there is no object."""
        self._expired = False
        """The API server keeps no history since then: an object that did not change for long cannot be watched from
        its own version, however often it is read."""

    async def run(self, serial: int) -> None:
        failures = 0
        while True:
            try:
                await self._read(serial)
                started = time.monotonic()
                await self._watch(serial)
                failures = 0 if time.monotonic() - started > 1 else failures + 1
            except (HttpError, TimeoutError) as error:
                failures += 1
                self._post(
                    WorkerUnreadable(serial, f"the FingerWorker cannot be read: {error or 'no answer in time'}")
                )
            # Many sidecars lose the same API server at once and must not come back at once.
            await asyncio.sleep(min(10.0, 0.1 * 2 ** min(failures, 7)) * (0.5 + random.random()))

    async def _read(self, serial: int) -> None:
        status, body = await self._get()
        if status == 404 and _reason(body) == "NotFound":
            self._version = ""
            self._post(WorkerSeen(serial, None))
        elif status == 200 and body is not None:
            self._version = _version(body)
            self._post(WorkerSeen(serial, body))
        else:
            raise HttpError(self._explain(status, body))

    async def _get(self) -> tuple[int, dict[str, Any] | None]:
        """Status and object, without a resourceVersion, which makes it a consistent read."""
        connection = self._api.connection()
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                response = await self._api.request(connection, "GET", self._object)
        finally:
            connection.close()
        return response.status, _json_object(response.body)

    def _explain(self, status: int, body: Mapping[str, Any] | None) -> str:
        if status == 403:
            return "forbidden; the service account needs the verbs get and watch on fingerworkers." + GROUP
        if status == 404:
            return f"the API server knows no FingerWorkers; install the CRDs of {GROUP}"
        return f"answered with {status}: {_message(body)}"

    async def _watch(self, serial: int) -> None:
        """Until the watch ends, or a direct read beside it shows that it missed something."""
        # A watch that begins with what exists does not tell of a deletion just before.
        pause_s = _SETTLING_S if self._expired else _SAFETY_READ_S
        watch = asyncio.ensure_future(self._follow(serial))
        try:
            while True:
                await asyncio.wait([watch], timeout=pause_s * (0.8 + 0.4 * random.random()))
                pause_s = _SAFETY_READ_S
                if watch.done():
                    await watch
                    return
                if await self._missed_something():
                    return
        finally:
            watch.cancel()

    async def _missed_something(self) -> bool:
        """A stalled watch looks like one without news."""
        before = self._version
        status, body = await self._get()
        now = _version(body) if status == 200 and body is not None else ""
        if status not in (200, 404):
            raise HttpError(self._explain(status, body))
        return now != before and self._version == before

    async def _follow(self, serial: int) -> None:
        # Without a resourceVersion the watch begins with what exists.
        start = f"&resourceVersion={self._version}" if self._version and not self._expired else ""
        target = (
            f"{self._collection}?watch=1&fieldSelector=metadata.name%3D{self._identity.name}{start}"
            f"&allowWatchBookmarks=true&timeoutSeconds={_WATCH_S + random.randrange(60)}"
        )
        connection = self._api.connection()
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                status, parts = await connection.stream("GET", target, self._api.headers())
            self._expired = status == 410
            if self._expired:
                return
            if status != 200:
                raise HttpError(self._explain(status, None))
            pending = b""
            iterator = parts.__aiter__()
            while True:
                async with asyncio.timeout(_WATCH_SILENCE_S):
                    part = await anext(iterator, None)
                if part is None:
                    return
                *lines, pending = (pending + part).split(b"\n")
                if len(pending) > _LINE_LIMIT:
                    raise HttpError("a watch event is too large")
                for line in lines:
                    if line.strip() and not self._event(serial, line):
                        return
        finally:
            connection.close()

    def _event(self, serial: int, line: bytes) -> bool:
        """Whether the watch can go on."""
        event = _json_object(line)
        seen = event.get("object") if event else None
        if event is None or not isinstance(seen, dict):
            return False
        if event.get("type") == "ERROR":
            self._expired = seen.get("code") == 410
            return False
        metadata = seen.get("metadata") or {}
        if event["type"] == "BOOKMARK":
            return True
        if metadata.get("name") != self._identity.name or metadata.get("namespace") != self._identity.namespace:
            return True  # not ours: the selector was not honoured
        if event["type"] == "DELETED":
            self._version = ""
            self._post(WorkerSeen(serial, None))
        else:
            self._version = _version(seen)
            self._post(WorkerSeen(serial, seen))
        return True


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _version(body: Mapping[str, Any]) -> str:
    return str((body.get("metadata") or {}).get("resourceVersion") or "")


def _message(body: Mapping[str, Any] | None) -> str:
    return str((body or {}).get("message") or "no explanation")[:300]


def _reason(body: Mapping[str, Any] | None) -> str:
    return str((body or {}).get("reason") or "") if (body or {}).get("details") else ""
