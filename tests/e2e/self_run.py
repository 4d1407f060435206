"""Workers that the user runs himself: a StatefulSet whose pods register themselves."""

from __future__ import annotations

from . import manifests
from .fleet import PodFleet
from .manifests import WORKER, Object

MAX_STREAMS = 60


class SelfRunFleet(PodFleet):
    @property
    def selector(self) -> str:
        return f"app={WORKER}"

    def objects(self) -> list[Object]:
        return [
            manifests.pool(registration="Open", drainTimeout="10s"),
            *manifests.worker_rights(self.count),
            manifests.workers(
                self.count,
                sidecar_image=self.images["worker-sidecar"],
                worker_image=self.images["reference-worker"],
                max_streams=MAX_STREAMS,
            ),
        ]

    def remove_workers(self) -> None:
        # In the foreground: a pod that is still there would register itself again.
        options = ("--cascade=foreground", "--ignore-not-found", "--timeout=90s")
        self.kubectl("delete", "statefulset", WORKER, *options)
