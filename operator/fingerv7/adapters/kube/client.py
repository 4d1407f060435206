"""The verbs of the API server, with an exact answer to "did my write happen?".

Only a later accepted write to the same object makes a lost one harmless (design section 4), so nothing here hides
that a write was lost, or repeats one that may have been committed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Self

import aiohttp
import orjson

from fingerv7.adapters.kube.api import Json, JsonList, Params
from fingerv7.adapters.kube.credentials import Credentials
from fingerv7.adapters.kube.errors import ApiUnreachable, Gone, WatchStalled, api_error
from fingerv7.adapters.kube.transport import Request, Transport


class KubeClient:
    """One API server. `concurrency` bounds the requests under way; watches are not counted.

    Give the leader election a client of its own, or its renewals queue behind a thousand other writes.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        request_timeout_s: float = 10.0,
        concurrency: int = 32,
        watch_stall_s: float = 75.0,
        rng: Callable[[], float] = random.random,
    ) -> None:
        """`watch_stall_s` must exceed the minute after which the API server sends a bookmark on an idle watch."""
        self.credentials = credentials
        self.request_timeout_s = request_timeout_s
        self.watch_stall_s = watch_stall_s
        self._slots = asyncio.Semaphore(concurrency)
        self._transport = Transport(credentials, rng=rng)
        self.stats = self._transport.stats

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._transport.close()

    # --- reads --------------------------------------------------------------------------------------------

    async def get(self, path: str, *, params: Params | None = None, timeout_s: float | None = None) -> Json:
        """One object; without the parameter `resourceVersion` a consistent read.

        `timeout_s` bounds all attempts together. Raises ApiError, or ApiUnreachable when no answer came.
        """
        return await self._request(Request("GET", "GET", path, params or {}), timeout_s)

    async def list(self, path: str, *, params: Params | None = None, chunk: int = 500) -> tuple[JsonList, str]:
        """All objects of one snapshot and its resourceVersion, fetched `chunk` at a time.

        A snapshot that the server compacted half way (410) is started again once. Items of built-in kinds carry
        no `kind` and `apiVersion`. The client's timeout holds for each chunk.
        """
        try:
            return await self._list(path, params, chunk)
        except Gone:
            return await self._list(path, params, chunk)

    async def present_version(self, path: str, *, params: Params | None = None) -> int:
        """The resourceVersion that a consistent list would have now, asked for by a list of one object."""
        page = await self._request(Request("LIST", "GET", path, {**(params or {}), "limit": "1"}))
        return int(page["metadata"]["resourceVersion"])

    async def _list(self, path: str, params: Params | None, chunk: int) -> tuple[JsonList, str]:
        query = {**(params or {}), "limit": str(chunk)}
        items: JsonList = []
        while True:
            page = await self._request(Request("LIST", "GET", path, query))
            items += page.get("items") or []
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return items, str(metadata.get("resourceVersion", ""))
            query = {**query, "continue": metadata["continue"]}

    # --- writes -------------------------------------------------------------------------------------------
    # Each returns the stored object. Each raises ApiError (nothing changed), ApiUnreachable (never sent, nothing
    # changed) or OutcomeUnknown; a write that is cancelled is of unknown outcome, too.

    async def create(self, path: str, body: Json, *, params: Params | None = None) -> Json:
        return await self._request(Request("CREATE", "POST", path, params or {}, data=orjson.dumps(body)))

    async def replace(self, path: str, body: Json) -> Json:
        return await self._request(Request("REPLACE", "PUT", path, data=orjson.dumps(body)))

    async def merge_patch(self, path: str, patch: Json) -> Json:
        """With `metadata.resourceVersion` in the patch a stale one is a `Conflict`."""
        content_type = "application/merge-patch+json"
        return await self._request(
            Request("PATCH", "PATCH", path, data=orjson.dumps(patch), content_type=content_type)
        )

    async def delete(self, path: str, *, uid: str | None = None, resource_version: str | None = None) -> Json:
        """Delete only that uid and resourceVersion, where given; anything else is a `Conflict`."""
        required = {"uid": uid, "resourceVersion": resource_version}
        options: Json = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {key: value for key, value in required.items() if value is not None},
        }
        return await self._request(Request("DELETE", "DELETE", path, data=orjson.dumps(options)))

    async def _request(self, request: Request, timeout_s: float | None = None) -> Json:
        async with self._slots:
            return await self._transport.answer(request, self.request_timeout_s if timeout_s is None else timeout_s)

    # --- watches ------------------------------------------------------------------------------------------

    async def watch(
        self, path: str, *, resource_version: str, params: Params | None = None, timeout_s: float
    ) -> AsyncGenerator[tuple[str, Json]]:
        """Events after `resource_version`, until the server ends the watch after `timeout_s`.

        The first item is a BOOKMARK of `resource_version` itself, made here once the server has accepted the
        watch: it says that contact exists. Raises the ApiError of an ERROR event (`Gone` for a version that is
        too old), ApiUnreachable when the connection breaks, WatchStalled after `watch_stall_s` of silence.
        Close the generator (`contextlib.aclosing`) to end it early.
        """
        query = {
            **(params or {}),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(max(1, round(timeout_s))),
        }
        request = Request("WATCH", "GET", path, query)
        try:
            stack, response = await self._transport.stream(request, self.request_timeout_s)
            async with stack:
                yield "BOOKMARK", {"metadata": {"resourceVersion": resource_version}}
                async for line in _lines(response.content, self.watch_stall_s):
                    event = orjson.loads(line)
                    if event["type"] == "ERROR":
                        status = event["object"]
                        raise api_error(int(status.get("code") or 500), status)
                    yield event["type"], event["object"]
        except TimeoutError as error:
            raise WatchStalled(f"no event and no bookmark of {path} for {self.watch_stall_s:g} s") from error
        except (aiohttp.ClientError, OSError, orjson.JSONDecodeError) as error:
            raise ApiUnreachable(f"the watch of {path} broke: {error or type(error).__name__}") from error


async def _lines(content: aiohttp.StreamReader, stall_s: float) -> AsyncIterator[bytes]:
    """The lines of a watch, which may be megabytes long. Raises TimeoutError after `stall_s` without a byte."""
    begun: list[bytes] = []
    while True:
        async with asyncio.timeout(stall_s):
            chunk = await content.readany()
        if not chunk:
            if begun:
                raise aiohttp.ClientPayloadError("the stream ended within an event")
            return
        if b"\n" not in chunk:
            begun.append(chunk)
            continue
        *lines, rest = b"".join((*begun, chunk)).split(b"\n")
        begun = [rest] if rest else []
        for line in lines:
            if line:
                yield line
