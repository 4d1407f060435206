"""What informers, election and Events need of an API server, so that a simulated one can stand in for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Protocol

Json = dict[str, Any]
JsonList = list[Json]  # spelled outside the class, where `list` is still the type
Params = Mapping[str, str]


class KubeApi(Protocol):
    """The verbs of the API; what each raises is told in `errors`."""

    async def get(self, path: str, *, params: Params | None = None, timeout_s: float | None = None) -> Json:
        """One object. Without the parameter `resourceVersion` this is a consistent read."""
        ...

    async def list(self, path: str, *, params: Params | None = None, chunk: int = 500) -> tuple[JsonList, str]:
        """All objects of one consistent snapshot, and the resourceVersion to watch from."""
        ...

    async def present_version(self, path: str, *, params: Params | None = None) -> int:
        """The resourceVersion that a consistent list would have now, without its objects."""
        ...

    async def create(self, path: str, body: Json, *, params: Params | None = None) -> Json: ...

    async def replace(self, path: str, body: Json) -> Json: ...

    async def merge_patch(self, path: str, patch: Json) -> Json: ...

    async def delete(self, path: str, *, uid: str | None = None, resource_version: str | None = None) -> Json:
        """Delete only that uid and resourceVersion, where given; anything else is a `Conflict`."""
        ...

    def watch(
        self, path: str, *, resource_version: str, params: Params | None = None, timeout_s: float
    ) -> AsyncGenerator[tuple[str, Json]]:
        """Events after `resource_version`: (ADDED | MODIFIED | DELETED | BOOKMARK, object), until `timeout_s`."""
        ...
