"""What each path of the local server answers."""

from __future__ import annotations

import hmac

from fingerv7.contract import parse_duration
from fingerv7_sidecar.assignment import emptied_config
from fingerv7_sidecar.clock import read_clock
from fingerv7_sidecar.events import Confirmed, DrainRequested, Reported
from fingerv7_sidecar.report import ReportError, checked_report
from fingerv7_sidecar.runtime import Runtime
from fingerv7_sidecar.server import Handler, Reply, Request, error_reply, json_reply, text_reply
from fingerv7_sidecar.status import metrics, readiness

_STALLED_S = 5.0


class Endpoints:
    """Handlers over one running sidecar."""

    def __init__(self, runtime: Runtime, *, version: str) -> None:
        self._runtime = runtime
        self._version = version

    def routes(self) -> dict[str, dict[str, Handler]]:
        return {
            "/healthz": {"GET": self.healthz},
            "/readyz": {"GET": self.readyz},
            "/metrics": {"GET": self.metrics},
            "/assignment": {"GET": self.assignment},
            "/report": {"POST": self.report},
            "/applied": {"POST": self.applied},
            "/drain": {"GET": self.drain, "POST": self.drain},
        }

    def public_routes(self, drain_key: str) -> dict[str, dict[str, Handler]]:
        """What whoever reaches the pod may ask for: nothing with a URL in it, and a drain only with the key."""

        async def guarded(request: Request) -> Reply:
            given = request.headers.get("authorization", "").encode("latin-1", "replace")
            if not drain_key or not hmac.compare_digest(given, f"Bearer {drain_key}".encode()):
                return error_reply(403, "a drain needs the header `Authorization: Bearer` with the key of DRAIN_KEY")
            return await self.drain(request)

        routes = self.routes()
        shown = {path: routes[path] for path in ("/healthz", "/readyz", "/metrics")}
        return {**shown, "/drain": {"GET": guarded, "POST": guarded}}

    async def healthz(self, _request: Request) -> Reply:
        age = read_clock().boot - self._runtime.ticked_at
        if age > _STALLED_S:
            return text_reply(503, f"the event loop decided nothing for {age:.0f} s\n")
        return text_reply(200, "ok\n")

    async def readyz(self, _request: Request) -> Reply:
        ready, text = readiness(self._runtime.sidecar)
        return text_reply(200 if ready else 503, text)

    async def metrics(self, _request: Request) -> Reply:
        text = metrics(self._runtime.sidecar, read_clock())
        return Reply(200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")

    async def assignment(self, request: Request) -> Reply:
        """The config, for a worker that prefers HTTP; never one that is meant to be emptied already."""
        file = self._runtime.sidecar.config
        config = file.wanted if file.must_stop else file.on_disk
        if config is None:
            identity = self._runtime.sidecar.identity
            config = emptied_config(identity.pool, identity.name, identity.incarnation, 0)
        tag = f'"{config.hash}"'
        if request.headers.get("if-none-match") == tag:
            return Reply(304, headers=(("etag", tag),))
        return Reply(200, config.payload, headers=(("etag", tag),))

    async def applied(self, request: Request) -> Reply:
        """The confirmation of a worker that reads `/assignment` and shares no folder with the sidecar."""
        digest = request.body.decode("ascii", "replace").strip()
        disk = self._runtime.sidecar.config.on_disk
        if disk is None or digest != disk.hash:
            return error_reply(409, "this is not the hash of the present config; read /assignment again")
        self._runtime.post(Confirmed(digest))
        return json_reply(200, {"confirmed": digest})

    async def report(self, request: Request) -> Reply:
        try:
            self._runtime.post(Reported(checked_report(request.body, version=self._version)))
        except ReportError as error:
            return error_reply(400, str(error))
        return json_reply(200, {"accepted": True})

    async def drain(self, request: Request) -> Reply:
        """Answers when the release is written, or when fenced; the drain itself goes on after a timeout."""
        sidecar = self._runtime.sidecar
        given: dict[str, float | None] = {"timeout": None, "within": None}
        for name in given.keys() & request.query.keys():
            try:
                given[name] = parse_duration(request.query[name]) / 1000
            except ValueError as error:
                return error_reply(400, f"{name}: {error}")
        self._runtime.post(DrainRequested(given["within"]))
        if not await self._runtime.until(
            lambda: sidecar.drained or sidecar.fenced or not sidecar.draining, given["timeout"]
        ):
            return error_reply(504, f"not drained within {request.query['timeout']}; the drain goes on")
        if sidecar.drained:
            return text_reply(200, "drained\n")
        if not sidecar.draining and not sidecar.fenced:
            return text_reply(200, "not drained: the pod goes on, only its worker is restarted\n")
        return text_reply(200, "fenced: the config is emptied, and the streams move after the takeover time\n")
