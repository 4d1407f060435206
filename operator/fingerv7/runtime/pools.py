"""The pools that exist, each with its loop and its source; fed by kopf with whole StreamPool objects."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import ValidationError

from fingerv7.adapters.kube.errors import ApiError, Conflict, KubeError, NotFound
from fingerv7.adapters.kube.objects import finalizer_patch
from fingerv7.adapters.kube.resources import SECRETS, STREAMPOOLS
from fingerv7.adapters.postgres.errors import Reason, SecretError
from fingerv7.adapters.postgres.source import PostgresSource
from fingerv7.adapters.postgres.spec import SourceSpec
from fingerv7.api.meta import ObjectMeta
from fingerv7.api.source import PostgresSource as SourceModel
from fingerv7.api.streampool import StreamPool
from fingerv7.contract import FINALIZER
from fingerv7.runtime.crew import CrewLoop
from fingerv7.runtime.fleet import PoolKey
from fingerv7.runtime.office import Office
from fingerv7.runtime.pod_watch import PodWatch
from fingerv7.runtime.pool_loop import PoolLoop
from fingerv7.runtime.strays import Strays
from fingerv7.runtime.term import SupersededError
from fingerv7.runtime.vitals import POOL_STUCK_S

log = logging.getLogger(__name__)

DEFECT_PAUSE_S = 10.0


class Pools:
    """Starts, updates and stops one runner a StreamPool."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._runners: dict[PoolKey, _Runner] = {}
        self._strays = Strays(office)
        self._pods: dict[str | None, PodWatch] = {}
        """By what is watched: a namespace, or None for all of them."""
        self.superseded = asyncio.Event()
        """Set when a newer leader was seen: the process must end."""

    async def observe(self, event_type: str | None, body: Mapping[str, Any]) -> None:
        """A StreamPool as kopf saw it: None (listed), ADDED, MODIFIED or DELETED."""
        key = (body["metadata"]["namespace"], body["metadata"]["name"])
        if event_type == "DELETED":
            runner = self._runners.get(key)
            if runner and runner.uid == body["metadata"]["uid"]:
                del self._runners[key]
                await runner.stop()
                if key not in self._runners:  # else it was made again meanwhile
                    self._office.metrics.forget(key)
            return
        try:
            pool = StreamPool.parse(body)
        except ValidationError as error:
            going = self._on_its_way_out(key, body)
            if going is None:
                await self._invalid(key, body, error)
                return
            pool = going
        runner = self._runners.get(key)
        if runner and runner.uid != pool.metadata.uid:
            del self._runners[key]
            await runner.stop()
            runner = self._runners.get(key)
        if runner is None:
            runner = self._runners[key] = _Runner(self._office, key, pool, self._pods_of(key[0]), self.superseded)
            runner.start()
        elif runner.uid == pool.metadata.uid:
            runner.update(pool)

    async def run_strays(self) -> None:
        """Look after workers whose pool does not exist, until cancelled."""
        try:
            await self._strays.run(self._runners.keys)
        except SupersededError as error:
            log.critical("a newer leader is at work, ending: %s", error)
            self.superseded.set()

    async def stop(self) -> None:
        await asyncio.gather(*(runner.stop() for runner in self._runners.values()))
        self._runners.clear()
        await asyncio.gather(*(pods.stop() for pods in self._pods.values()))

    def _pods_of(self, namespace: str) -> PodWatch:
        office = self._office
        watched = office.fleets.of(namespace).namespace
        if watched not in self._pods:
            self._pods[watched] = PodWatch(
                office.api, namespace=watched, clock=office.clocks.monotonic, vitals=office.vitals
            )
        return self._pods[watched]

    def _on_its_way_out(self, key: PoolKey, body: Mapping[str, Any]) -> StreamPool | None:
        """A pool that is being deleted does not wait for its spec to be mended: the last good one is enough, and for
        a new leader, which knows none, what is left without the fleet's template.
        """
        if not body["metadata"].get("deletionTimestamp"):
            return None
        runner = self._runners.get(key)
        if runner and runner.uid == body["metadata"]["uid"]:
            return runner.loop.pool.model_copy(update={"metadata": ObjectMeta.parse(body["metadata"])})
        spec = {name: value for name, value in body["spec"].items() if name != "workers"}
        try:
            return StreamPool.parse({**body, "spec": spec})
        except ValidationError:
            return None

    async def _invalid(self, key: PoolKey, body: Mapping[str, Any], error: ValidationError) -> None:
        """The CRD refuses what is written now; an object from before a rule was added may still get here."""
        problems = "; ".join(
            ": ".join(filter(None, (".".join(str(part) for part in problem["loc"]), problem["msg"])))
            for problem in error.errors(include_url=False, include_input=False)
        )
        log.error("StreamPool %s/%s cannot be used, the last good one stays in force: %s", *key, problems)
        involved = STREAMPOOLS.reference(key[1], body["metadata"]["uid"])
        await self._office.recorder.record(key[0], involved, type="Warning", reason="InvalidSpec", message=problems)


class _Runner:
    """One pool's loop, source and managed workers, as tasks."""

    def __init__(
        self, office: Office, key: PoolKey, pool: StreamPool, pods: PodWatch, superseded: asyncio.Event
    ) -> None:
        self._api = office.api
        self._vitals = office.vitals
        self._key = key
        self._superseded = superseded
        self.uid = pool.metadata.uid
        self.loop = PoolLoop(key, pool, office)
        self.crew = CrewLoop(key, self.loop, office, pods)
        self._tasks: list[asyncio.Task[None]] = []
        self._source_task: asyncio.Task[None] | None = None
        self._source_model: SourceModel | None = None

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._run_loop(), name=f"pool {self._key}"),
            asyncio.create_task(self._for_ever(self._keep_finalizer), name=f"finalizer {self._key}"),
            asyncio.create_task(self._for_ever(self.crew.run), name=f"crew {self._key}"),
        ]
        self._vitals.watch(self._name, self.loop.idle_s, at_most_s=POOL_STUCK_S)
        self._vitals.watch(self._crew_name, self.crew.idle_s, at_most_s=POOL_STUCK_S)
        self._follow_source()

    def update(self, pool: StreamPool) -> None:
        self.loop.update(pool)
        self.crew.wake()
        self._follow_source()

    async def stop(self) -> None:
        tasks = [*self._tasks, *([self._source_task] if self._source_task else [])]
        for task in tasks:
            task.cancel()
        # Before anything is waited for: another pool of that name may begin meanwhile.
        self._vitals.forget(self._name)
        self._vitals.forget(self._crew_name)
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def _name(self) -> str:
        namespace, name = self._key
        return f"pool {namespace}/{name}"

    @property
    def _crew_name(self) -> str:
        namespace, name = self._key
        return f"workers of {namespace}/{name}"

    async def _for_ever(self, work: Callable[[], Awaitable[None]]) -> None:
        """Begin again after a defect: what it is for must not end unnoticed."""
        while True:
            try:
                await work()
            except Exception:
                log.exception("a task of %s failed", self._name)
            await asyncio.sleep(DEFECT_PAUSE_S)

    async def _run_loop(self) -> None:
        try:
            await self.loop.run()
        except SupersededError as error:
            log.critical("a newer leader is at work, ending: %s", error)
            self._superseded.set()

    def _follow_source(self) -> None:
        """(Re)start the source when its description changed; the loop keeps the last catalog meanwhile."""
        model = self.loop.pool.spec.source.postgres
        if model == self._source_model:
            return
        if self._source_task:
            self._source_task.cancel()
        self._source_model = model
        secret = model.secret_ref.name
        source = PostgresSource(
            _source_spec(model),
            lambda: self._read_secret(secret),
            self.loop.took_snapshot,
            self.loop.source_changed,
        )
        self._source_task = asyncio.create_task(self._for_ever(source.run), name=f"source {self._key}")

    async def _read_secret(self, name: str) -> Mapping[str, bytes]:
        namespace, _ = self._key
        try:
            secret = await self._api.get(SECRETS.path(namespace, name))
        except NotFound:
            raise SecretError(
                Reason.SECRET_NOT_FOUND,
                f"Secret {name} does not exist in namespace {namespace}; create it with the key uri",
            ) from None
        except ApiError as error:
            raise SecretError(Reason.SECRET_NOT_FOUND, f"Secret {name} cannot be read: {error.message}") from None
        try:
            return {k: base64.b64decode(v, validate=True) for k, v in (secret.get("data") or {}).items()}
        except binascii.Error:
            raise SecretError(Reason.SECRET_INVALID, f"Secret {name} holds a value that is no base64") from None

    async def _keep_finalizer(self) -> None:
        """Deleting a pool drains it first: hold it until its loop says that nothing is held any more."""
        while True:
            pool = self.loop.pool
            deleting = pool.metadata.deletion_timestamp is not None
            if not deleting and FINALIZER not in pool.metadata.finalizers:
                await self._set_finalizer(present=True)
            if deleting and FINALIZER in pool.metadata.finalizers:
                await self.loop.finished.wait()
                await self.crew.finished.wait()
                await self._set_finalizer(present=False)
            await asyncio.sleep(1.0)

    async def _set_finalizer(self, *, present: bool) -> None:
        namespace, name = self._key
        path = STREAMPOOLS.path(namespace, name)
        try:
            raw = await self._api.get(path)
            if raw["metadata"]["uid"] == self.uid:
                await self._api.merge_patch(path, finalizer_patch(raw, present=present))
        except (Conflict, NotFound):
            pass
        except KubeError as error:
            log.warning("cannot set the finalizer of pool %s/%s: %s", namespace, name, error)


def _source_spec(model: SourceModel) -> SourceSpec:
    columns = model.columns
    return SourceSpec(
        table=model.table,
        columns=columns.model_dump(by_alias=False),
        poll_interval_s=model.poll_interval_ms / 1000,
        notify_channel=model.notify_channel,
        statement_timeout_s=model.statement_timeout_ms / 1000,
        connect_timeout_s=model.connect_timeout_ms / 1000,
    )
