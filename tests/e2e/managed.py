"""Workers that the operator runs: a StreamPool with `spec.workers`."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import manifests
from .fleet import PodFleet, is_ready
from .installation import apply
from .manifests import POOL, Object

MAX_STREAMS = 60
PROGRESS = "100s"
"""With the default, each worker of a rollout would take a minute."""


class ManagedFleet(PodFleet):
    @property
    def selector(self) -> str:
        return f"fingerv7.io/pool={POOL},fingerv7.io/managed=true"

    def objects(self) -> list[Object]:
        return [
            manifests.pool(
                workers=self._workers(),
                drainTimeout="60s",
                # Who has just come gets his share at once, or every test would wait for it.
                balancing={"cooldown": "1s", "maxMovesPerRoundPercent": 100},
            )
        ]

    def remove_workers(self) -> None:
        """They go with their pool."""

    # --- what is there -------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        return sorted(each["metadata"]["name"] for each in self.list("fingerworkers"))

    def uids(self) -> dict[str, str]:
        return {name: pod["metadata"]["uid"] for name, pod in self.worker_pods().items()}

    def busiest(self) -> str:
        """The worker with the most streams."""
        return Counter(self.running().values()).most_common(1)[0][0]

    def condition(self, pool: str = POOL) -> tuple[str, str]:
        """Reason and message of WorkersReady."""
        for each in self.get("streampool", pool).get("status", {}).get("conditions", []):
            if each["type"] == "WorkersReady":
                return each["reason"], each["message"]
        return "", ""

    def events(self, reason: str, pool: str = POOL) -> list[str]:
        """What the StreamPool's Events of this reason say."""
        about = f"reason={reason},involvedObject.kind=StreamPool,involvedObject.name={pool}"
        return [event["message"] for event in self.list("events", "--field-selector", about)]

    def desired(self) -> int | None:
        """How many workers there are to be, by the status."""
        wanted: int | None = self.get("streampool", POOL)["status"].get("desiredReplicas")
        return wanted

    def out_of_service(self) -> int:
        """How many pods are missing, on their way out, or not ready."""
        pods = self.worker_pods().values()
        return self.count - sum(is_ready(pod) and "deletionTimestamp" not in pod["metadata"] for pod in pods)

    # --- what is done and waited for -----------------------------------------------------------------------

    def scale(self, replicas: int) -> None:
        self.count = replicas
        self.kubectl("scale", f"streampool/{POOL}", f"--replicas={replicas}")

    def change_template(self, *, image: str | None = None, progress: str = PROGRESS, **env: str) -> dict[str, Any]:
        """`kubectl patch`, with the whole template: a merge replaces lists. Answers with what brings back how it was.

        A new pod has to be well for a tenth of the `progress` time before it is the next one's turn.
        """
        workers = self.get("streampool", POOL)["spec"]["workers"]
        former = {key: workers[key] for key in ("template", "rollout")}
        template = copy.deepcopy(workers["template"])
        (container,) = template["spec"]["containers"]
        container["image"] = image or container["image"]
        container["env"] += [{"name": name, "value": value} for name, value in env.items()]
        self.patch({"template": template, "rollout": {"progressTimeout": progress}})
        return former

    def patch(self, workers: dict[str, Any]) -> None:
        body = json.dumps({"spec": {"workers": workers}})
        self.kubectl("patch", "streampool", POOL, "--type=merge", "-p", body)

    def is_settled(self) -> bool:
        """All as wanted, on pods from the present template, and streams on each of them."""
        pool = self.get("streampool", POOL)
        status = pool["status"]
        told = [status.get(f"{key}Replicas") for key in ("desired", "ready", "updated")]
        new = status["observedGeneration"] == pool["metadata"]["generation"]
        if not new or told != [self.count] * 3 or self.condition()[0] != "AsWanted" or self.out_of_service():
            return False
        return len(set(self.running().values())) == self.count

    def wait_condition(self, reason: str, *words: str, pool: str = POOL) -> None:
        """Until WorkersReady of the pool has this reason, tells these words, and an Event does so, too."""

        def told() -> bool:
            messages = [self.condition(pool)[1], *self.events(reason, pool)]
            telling = [message for message in messages if all(each in message for each in words)]
            return self.condition(pool)[0] == reason and len(telling) > 1

        self.wait_for(told, f"{pool} says {reason}: {', '.join(words)}")

    @contextmanager
    def small_pool(self, name: str, workers: int) -> Iterator[None]:
        """Another one beside this pool, behind a VPN, whose table is empty: nothing that it runs is in the journal."""
        self._databases.table.script(
            f"CREATE VIEW {name} AS SELECT * FROM streams WHERE false; GRANT SELECT ON {name} TO PUBLIC"
        )
        image = self.images["reference-worker"]
        plain = manifests.managed_workers(workers, worker_image=image, max_streams=MAX_STREAMS)
        spec = manifests.vpn_beside(plain, image=image)
        apply(self.cluster, self.namespace, [manifests.pool(name, name, workers=spec)])
        try:
            yield
        finally:
            self.kubectl("delete", "streampool", name, "--timeout=90s")
            self.wait_for(lambda: not self.list("pods", "-l", f"fingerv7.io/pool={name}"), f"{name}'s pods are gone")

    def wait_settled(self, deadline_s: float = 150) -> None:
        self.wait_for(self.is_settled, f"{self.count} workers are as wanted", deadline_s=deadline_s)
        self.wait_all_running()

    def _workers(self) -> Object:
        image = self.images["reference-worker"]
        workers = manifests.managed_workers(self.count, worker_image=image, max_streams=MAX_STREAMS)
        return {**workers, "rollout": {"progressTimeout": PROGRESS}}
