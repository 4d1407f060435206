"""The few requests that a fleet makes of the API server as its administrator, without the cost of a kubectl for each.

Blocking and thread-safe: tests, the demo and benchmarks ask the same questions many times a second.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

MERGE_PATCH = "application/merge-patch+json"

Object = dict[str, Any]


class ApiError(Exception):
    """The API server refused a request; the message is its own."""

    def __init__(self, method: str, path: str, status: int, message: str) -> None:
        self.status = status
        super().__init__(f"{method} {path}: {status} {message}")


class Api:
    def __init__(self, server: str, ca_file: Path, token: str) -> None:
        url = urlsplit(server)
        self._host, self._port, self._prefix = url.hostname or "", url.port or 443, url.path.rstrip("/")
        self._context = ssl.create_default_context(cafile=ca_file)
        self._token = token
        # One connection a thread, and all of them in one place to be closed.
        self._local = threading.local()
        self._connections: list[http.client.HTTPSConnection] = []
        self._closed = False

    def close(self) -> None:
        """Hang up, in whichever threads; a request after that is a mistake."""
        self._closed = True
        for connection in self._connections:
            connection.close()

    def get(self, path: str) -> Object:
        return self.request("GET", path)

    def find(self, path: str) -> Object | None:
        """The object, or None where there is none."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == http.client.NOT_FOUND:
                return None
            raise

    def items(self, path: str) -> list[Object]:
        """The objects of a list, by name."""
        found: list[Object] = self.get(path)["items"]
        return sorted(found, key=lambda item: item["metadata"]["name"])

    def create(self, path: str, body: Object) -> Object:
        return self.request("POST", path, body)

    def merge(self, path: str, patch: Object) -> Object:
        """A merge patch."""
        return self.request("PATCH", path, patch, content_type=MERGE_PATCH)

    def delete(self, path: str) -> None:
        """Ask for the deletion; what is gone already is no error."""
        try:
            self.request("DELETE", path)
        except ApiError as error:
            if error.status != http.client.NOT_FOUND:
                raise

    def request(
        self, method: str, path: str, body: Object | None = None, *, content_type: str = "application/json"
    ) -> Object:
        """The answer's JSON. Raises ApiError for an error status, OSError where the server cannot be reached."""
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Accept": "application/json",
            "Content-Type": content_type,
        }
        payload = None if body is None else json.dumps(body)
        for attempt in (1, 2):
            connection = self._connection()
            if method != "GET":
                connection.close()  # A write on a fresh one, because it is not repeated: it may have arrived.
            fresh = connection.sock is None
            try:
                connection.request(method, self._prefix + path, payload, headers)
                response = connection.getresponse()
                text = response.read()
                break
            except (OSError, http.client.HTTPException) as error:
                connection.close()  # http.client opens it again for the next request.
                # A kept connection may have been closed by a server that restarted; a fresh one tells the truth.
                if attempt == 2 or fresh:
                    raise OSError(f"{method} {path}: {type(error).__name__}: {error}") from error
        if response.status >= http.client.BAD_REQUEST:
            raise ApiError(method, path, response.status, _message(text))
        answer: Object = json.loads(text)
        return answer

    def _connection(self) -> http.client.HTTPSConnection:
        if self._closed:
            raise RuntimeError("this client is closed")
        connection: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=30, context=self._context)
            self._local.connection = connection
            self._connections.append(connection)
        return connection


def _message(body: bytes) -> str:
    """Of a Status object, or the bare text that is answered for an unknown path."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip()


def core(namespace: str, plural: str, name: str = "") -> str:
    """The path of a core object or list."""
    return _path("/api/v1", namespace, plural, name)


def fingerv7(namespace: str, plural: str, name: str = "") -> str:
    """The path of a FingerWorker or StreamPool or their lists."""
    return _path("/apis/fingerv7.io/v1alpha1", namespace, plural, name)


def leases(namespace: str, name: str = "") -> str:
    return _path("/apis/coordination.k8s.io/v1", namespace, "leases", name)


def rbac(namespace: str, plural: str, name: str = "") -> str:
    return _path("/apis/rbac.authorization.k8s.io/v1", namespace, plural, name)


def _path(api: str, namespace: str, plural: str, name: str) -> str:
    return f"{api}/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")
