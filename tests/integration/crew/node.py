"""Plays scheduler and kubelet for the pods of a namespace, so that a control plane without nodes runs a fleet.

A pod is bound, its sidecar and worker are started as processes (or, in a hollow node, only said to run), its status
follows what they say, and its deletion is graceful: the drain of the preStop hook, the end of both, and only then is
the object gone. What an image cannot do is told by its name.
"""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from devenv.fleet import Fleet, WorkerProcess, WorkerSpec
from devenv.fleet_api import ApiError, Object, core

BAD_IMAGE = "registry.invalid/nope:1"


class Node:
    """Looks after the pods of the fleet's namespace, in a thread of its own."""

    def __init__(self, fleet: Fleet, *, hollow: bool = False) -> None:
        self._fleet = fleet
        self._hollow = hollow
        self._processes: dict[str, WorkerProcess] = {}
        self._said: dict[str, str] = {}
        self._ending: set[str] = set()
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(8)
        self._thread = threading.Thread(target=self._run, name="node", daemon=True)
        self.waiting: dict[str, Object] = {}
        """By pod name: what one of its containers waits for, instead of running."""
        self.most_ending = 0
        """How many pods were being stopped at once at most."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        self._pool.shutdown(wait=True)

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            with contextlib.suppress(OSError, ApiError):
                pods = self._fleet.api.items(core(self._fleet.namespace, "pods"))
                uids = {pod["metadata"]["uid"] for pod in pods}
                for gone in self._processes.keys() - uids - self._ending:
                    self._processes.pop(gone).kill()  # deleted by force
                for pod in pods:
                    with contextlib.suppress(OSError, ApiError):
                        self._look(pod)

    def _look(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if "deletionTimestamp" in pod["metadata"]:
            if uid not in self._ending:
                self._ending.add(uid)
                self.most_ending = max(self.most_ending, len(self._ending))
                self._pool.submit(self._end, pod)
            return
        if not pod["spec"].get("nodeName"):
            binding = {"metadata": {"name": pod["metadata"]["name"]}, "target": {"kind": "Node", "name": "node-1"}}
            self._fleet.api.create(self._path(pod) + "/binding", binding)
            return
        if waits := self._waits(pod):
            self._say(pod, "Pending", ready=False, waits=waits)
        elif self._hollow:
            self._say(pod, "Running", ready=True)
        elif uid not in self._processes:
            self._processes[uid] = self._start(pod)
            self._say(pod, "Running", ready=False)
        else:
            self._say(pod, "Running", ready=self._is_ready(self._processes[uid]))

    def _waits(self, pod: Object) -> Object | None:
        if any(each["image"] == BAD_IMAGE for each in pod["spec"]["containers"]):
            return {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{BAD_IMAGE}"'}
        return self.waiting.get(pod["metadata"]["name"])

    def _start(self, pod: Object) -> WorkerProcess:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        spec = self._fleet.finger_worker(name)["spec"]
        process = self._fleet.make_worker(
            WorkerSpec(name=name, max_streams=spec["maxStreams"]),
            folder=f"{name}-{uid[:8]}",
            sidecar_environment={"POD_UID": uid},
        )
        self._fleet.workers[name] = process
        process.start()
        return process

    def _is_ready(self, process: WorkerProcess) -> bool:
        try:
            return process.ask_sidecar("GET", "/readyz", timeout_s=2)[0] == 200
        except (OSError, ValueError):
            return False

    def _say(self, pod: Object, phase: str, *, ready: bool, waits: Object | None = None) -> None:
        said = f"{phase} {ready} {waits}"
        uid = pod["metadata"]["uid"]
        if self._said.get(uid) == said:
            return
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        state = {"waiting": waits} if waits else {"running": {"startedAt": now}}
        containers = [
            {
                "name": each["name"],
                "image": each["image"],
                "imageID": "",
                "ready": ready,
                "restartCount": 0,
                "state": state,
            }
            for each in pod["spec"]["containers"]
        ]
        conditions = [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": now},
            {"type": "Ready", "status": str(ready), "lastTransitionTime": now},
        ]
        status = {"phase": phase, "conditions": conditions, "containerStatuses": containers}
        self._fleet.api.merge(self._path(pod) + "/status", {"status": status})
        self._said[uid] = said

    def _end(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        process = self._processes.get(uid)
        try:
            if process:
                with contextlib.suppress(OSError, ValueError):
                    process.stop_gracefully(grace_s=20.0)
        finally:
            self._processes.pop(uid, None)
            with contextlib.suppress(OSError, ApiError):
                options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
                self._fleet.api.request("DELETE", self._path(pod), options)
            self._ending.discard(uid)

    def _path(self, pod: Object) -> str:
        return core(self._fleet.namespace, "pods", pod["metadata"]["name"])
