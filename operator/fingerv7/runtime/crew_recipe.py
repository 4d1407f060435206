"""What the pods of a pool are made from: worked out once for each state of its spec, and tried out on the API server
before anybody is drained for it.
"""

from __future__ import annotations

import logging
import math

import orjson

from fingerv7.api.conditions import WorkersReady as Reason
from fingerv7.api.streampool import StreamPool, StreamPoolSpec
from fingerv7.api.workers import Workers
from fingerv7.core.managed.model import Problem, worker_name
from fingerv7.core.managed.pod import Recipe, TemplateError, build_pod
from fingerv7.core.managed.round import Crew
from fingerv7.runtime.crew_writer import CrewWriter, unusable
from fingerv7.runtime.fleet import PoolKey
from fingerv7.runtime.office import Office
from fingerv7.runtime.rules import recipe_of

log = logging.getLogger(__name__)

RETRIAL_S = 60.0
"""How often a pod is tried out that was refused."""
_NO_IMAGE = (
    "name the sidecar's image in spec.workers.sidecar.image, or for all pools in the operator's "
    "FINGERV7_SIDECAR_IMAGE"
)


class CrewRecipe:
    """The recipe of one pool, or why there is none."""

    def __init__(self, key: PoolKey, office: Office, writer: CrewWriter) -> None:
        self._key = key
        self._office = office
        self._writer = writer
        self._clock = office.clocks.monotonic
        self.present: Recipe | None = None
        self.blocked: Problem | None = None
        self._basis: object = None
        self._stale_at_s = math.inf
        self._tried_out: Recipe | None = None

    @property
    def revision(self) -> str:
        return self.present.revision if self.present else ""

    def work_out(self, pool: StreamPool) -> None:
        """Anew where the spec has changed, or where it is time to try out what was refused."""
        workers, timing = pool.spec.workers, pool.spec.liveness.timing()
        basis = (workers, timing, pool.spec.drain_timeout_ms)
        if basis == self._basis and self._clock() < self._stale_at_s:
            return
        self._stale_at_s = math.inf
        self.present, self.blocked = None, None
        if workers is not None:
            try:
                self.present = self._built_once(pool.spec, workers)
            except TemplateError as error:
                self.blocked = Problem(Reason.TEMPLATE_INVALID, f"spec.workers.template: {error}")
            except Exception as error:
                # The template is anybody's, and no list of what may be wrong with it is complete.
                log.warning("no pod can be built for %s/%s", *self._key, exc_info=error)
                self.blocked = Problem(Reason.TEMPLATE_INVALID, unusable(error))
        self._basis = basis

    def _built_once(self, spec: StreamPoolSpec, workers: Workers) -> Recipe | None:
        """None where it lacks a sidecar. Raises TemplateError and, for values of types that no pod has, anything."""
        image, pull_policy = self._office.sidecar_image, self._office.sidecar_pull_policy
        if not (workers.sidecar.image or image):
            self.blocked = Problem(Reason.SIDECAR_IMAGE_MISSING, _NO_IMAGE)
            return None
        recipe = recipe_of(spec, workers, image, pull_policy)
        namespace, name = self._key
        first = worker_name(name, 1)
        body = build_pod(recipe, namespace=namespace, pool=name, worker=first, worker_uid="", ordinal=1, drain_key="")
        orjson.dumps(body)  # as it is sent
        return recipe

    async def is_refused(self, crew: Crew) -> bool:
        """Whether the API server would take no pod of a new one: asked before anybody is drained for it.

        Raises ApiUnreachable and TooManyRequests.
        """
        recipe = self.present
        if recipe is None or recipe is self._tried_out or crew.deleting:
            return False
        pods = ((m, m.pod) for m in crew.members if m.pod)
        outdated = (m for m, pod in pods if pod.owner == m.worker.uid and pod.revision != recipe.revision)
        member = next(outdated, None)
        if member is None:
            return False  # creating one will show it, and costs nobody a pod
        problem = await self._writer.try_out(member, recipe)
        self._tried_out = recipe
        if problem:
            self.present, self.blocked = None, problem
            self._stale_at_s = self._clock() + RETRIAL_S  # it may be the namespace that is changed
        return problem is not None
