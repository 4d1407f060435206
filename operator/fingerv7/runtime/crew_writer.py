"""Carries out the steps of a managed fleet, one object each, and remembers what was refused.

Every write may be repeated: a creation that finds its object there looks whether it is the right one, a deletion
names UID and resourceVersion, and what is patched names the UID. So an answer that was lost costs a second look and
nothing else.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Sequence
from typing import Any

from fingerv7.adapters.kube.api import Params
from fingerv7.adapters.kube.errors import (
    ApiError,
    ApiUnreachable,
    Conflict,
    Forbidden,
    Invalid,
    KubeError,
    NotFound,
    OutcomeUnknown,
    TooManyRequests,
)
from fingerv7.adapters.kube.redact import redact_text
from fingerv7.adapters.kube.resources import (
    DISRUPTION_BUDGETS,
    FINGERWORKERS,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
    Resource,
)
from fingerv7.api.conditions import WorkersReady as Reason
from fingerv7.contract import DRAIN_FOR
from fingerv7.core.managed import objects
from fingerv7.core.managed.lives import Attempts
from fingerv7.core.managed.model import (
    ChangeWorker,
    CreateWorker,
    MakePod,
    Mark,
    Member,
    Problem,
    RemovePod,
    RemoveWorker,
    Step,
)
from fingerv7.core.managed.pod import Recipe, TemplateError, build_pod
from fingerv7.core.model import Worker
from fingerv7.runtime.fleet import PoolKey
from fingerv7.runtime.office import Office
from fingerv7.runtime.pod_watch import PodWatch

log = logging.getLogger(__name__)

Json = dict[str, Any]

_MAKING = (CreateWorker, MakePod)
_OF_THE_RECIPE = frozenset({Reason.TEMPLATE_INVALID, Reason.POD_REFUSED})
_STRICTLY = {"fieldValidation": "Strict"}
"""For what users write: what they misspelt would else be left out without a word."""


class _RefusedError(Exception):
    """A problem that people have to hear of."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class _LaterError(Exception):
    """Something of an earlier worker of that name is still on its way out."""


class CrewWriter:
    """The writes of one pool's fleet in one term."""

    def __init__(self, office: Office, pods: PodWatch, *, key: PoolKey, pool_uid: str) -> None:
        self._api = office.api
        self._fleet = office.fleets.of(key[0])
        self._term = office.term
        self._clock = office.clocks.monotonic
        self._pods = pods
        self._metrics = office.metrics
        self._key = key
        self._namespace, self._pool = key
        self._pool_uid = pool_uid
        self._equipped: set[str] = set()
        """UIDs of FingerWorkers whose account is known to be there."""
        self.refused: dict[str, Problem] = {}
        """By worker: what became of the last attempt to make something, where that was nothing."""
        self.hindered: dict[str, Problem] = {}
        """By worker: why something else that is to be done with it cannot be."""

    async def carry_out(self, step: Step, recipe: Recipe | None, attempts: Attempts) -> bool:
        """Whether it was done. Raises nothing that the API server can cause."""
        if not self._term.may_write:
            return False
        try:
            await self._do(step, recipe, attempts)
        except _RefusedError as refused:
            self._refuse(step, refused.problem, attempts)
        except (_LaterError, Conflict, NotFound):
            pass  # a later round sees what is there then
        except (Forbidden, Invalid) as error:
            self._refuse(step, _refusal(error, name_of(step)), attempts)
        except OutcomeUnknown as error:
            log.warning("%s of %s: %s", type(step).__name__, name_of(step), error)
            said = f"the API server does not do it: {redact_text(str(error))}"
            self._refuse(step, Problem(Reason.POD_REFUSED, said, name_of(step)), attempts)
        except KubeError as error:
            log.warning("%s of %s: %s", type(step).__name__, name_of(step), error)
        except Exception:
            # One object that cannot be handled must not keep the others from it.
            log.exception("%s of %s", type(step).__name__, name_of(step))
            self._try_later(step, attempts)
        else:
            (self.refused if isinstance(step, _MAKING) else self.hindered).pop(name_of(step), None)
            return True
        return False

    def _refuse(self, step: Step, problem: Problem, attempts: Attempts) -> None:
        (self.refused if isinstance(step, _MAKING) else self.hindered)[name_of(step)] = problem
        self._try_later(step, attempts)

    def _try_later(self, step: Step, attempts: Attempts) -> None:
        if isinstance(step, _MAKING):
            attempts.made(name_of(step), self._clock())

    def forget_needless(self, steps: Sequence[Step]) -> None:
        """What hindered a step that is none any more. What is to be made is no step while it waits for its turn."""
        for name in self.hindered.keys() - {name_of(step) for step in steps if not isinstance(step, _MAKING)}:
            del self.hindered[name]

    def forget_gone(self, names: set[str], uids: set[str]) -> None:
        for name in self.refused.keys() - names:
            del self.refused[name]
        self._equipped &= uids

    async def keep_budget(self, min_available: int | None) -> None:
        """As many as that may not be evicted; None for no budget at all. Raises KubeError."""
        name = objects.budget_name(self._pool)
        path = DISRUPTION_BUDGETS.path(self._namespace, name)
        try:
            stored = await self._api.get(path)
        except NotFound:
            stored = None
        if stored is not None and not _is_owned(stored, self._pool_uid):
            if min_available is not None:
                log.warning("PodDisruptionBudget %s/%s is somebody else's and left alone", self._namespace, name)
        elif min_available is None:
            if stored is not None:
                await self._api.delete(path, uid=stored["metadata"]["uid"])
        elif stored is None:
            body = objects.disruption_budget(self._pool, self._pool_uid, min_available=min_available)
            await self._api.create(DISRUPTION_BUDGETS.path(self._namespace), body)
        else:
            wanted = objects.disruption_budget(self._pool, self._pool_uid, min_available=min_available)["spec"]
            if any(stored["spec"].get(key) != value for key, value in wanted.items()):
                await self._api.merge_patch(path, {"metadata": _at(stored), "spec": wanted})

    async def try_out(self, member: Member, recipe: Recipe) -> Problem | None:
        """Why the API server would take no pod of this recipe; asked for by a dry run under the name of one that is
        there, so that a Conflict is the best answer.

        What says nothing about the recipe, such as a quota, is left to the creation itself. Raises ApiUnreachable and
        TooManyRequests.
        """
        body = self._pod(member.worker, member.ordinal, recipe)
        try:
            await self._api.create(PODS.path(self._namespace), body, params={**_STRICTLY, "dryRun": "All"})
        except (ApiUnreachable, TooManyRequests):
            raise
        except (Invalid, Forbidden) as error:
            problem = _refusal(error, "")
            if problem.reason in _OF_THE_RECIPE and "does not support dry run" not in problem.message:
                return problem
        except KubeError as error:
            log.debug("a pod of %s was tried out: %s", member.name, error)
        return None

    # --- one step -----------------------------------------------------------------------------------------

    async def _do(self, step: Step, recipe: Recipe | None, attempts: Attempts) -> None:
        match step:
            case CreateWorker():
                await self._create_worker(step, attempts)
            case ChangeWorker(worker, traits):
                spec = {"location": None, **objects.trait_fields(traits)}
                await self._patch_worker(worker, {"spec": spec})
            case Mark(worker, reason):
                await self._patch_worker(worker, {"metadata": {"annotations": {DRAIN_FOR: reason or None}}})
                log.info("drain-for", extra={"worker": worker.name, "reason": reason or "no longer"})
            case RemoveWorker(worker):
                await self._remove_worker(worker)
            case MakePod():
                if recipe is not None:
                    await self._make_pod(step, recipe, attempts)
            case RemovePod():
                await self._remove_pod(step)

    async def _create_worker(self, step: CreateWorker, attempts: Attempts) -> None:
        body = objects.finger_worker(step.name, step.traits, pool=self._pool, pool_uid=self._pool_uid)
        try:
            raw = await self._api.create(FINGERWORKERS.path(self._namespace), body)
        except Conflict:
            raw = await self._api.get(FINGERWORKERS.path(self._namespace, step.name))
        attempts.forget(step.name)
        self._fleet.put_worker(raw)
        log.info("created", extra={"worker": step.name, "reason": f"spec.workers of pool {self._pool}"})

    async def _patch_worker(self, worker: Worker, patch: Json) -> None:
        # Not the resourceVersion: the streams' loop writes the status all the time, and nothing here depends on it.
        metadata = {**patch.get("metadata", {}), "uid": worker.uid}
        path = FINGERWORKERS.path(self._namespace, worker.name)
        self._fleet.put_worker(await self._api.merge_patch(path, {**patch, "metadata": metadata}))

    async def _remove_worker(self, worker: Worker) -> None:
        # With the resourceVersion: it holds nothing as long as nobody has written it.
        path = FINGERWORKERS.path(self._namespace, worker.name)
        version = self._fleet.workers.resource_version((self._namespace, worker.name))
        if version != worker.resource_version:
            raise _LaterError
        raw = await self._api.delete(path, uid=worker.uid, resource_version=str(version))
        if raw.get("kind") == FINGERWORKERS.kind and "deletionTimestamp" in raw["metadata"]:
            self._fleet.put_worker(raw)
        log.info("removed", extra={"worker": worker.name, "reason": "not wanted any more"})

    async def _make_pod(self, step: MakePod, recipe: Recipe, attempts: Attempts) -> None:
        worker = step.worker
        try:
            body = self._pod(worker, step.ordinal, recipe)
        except TemplateError as error:
            raise _RefusedError(Problem(Reason.TEMPLATE_INVALID, str(error), worker.name)) from None
        except Exception as error:
            log.warning("no pod can be built for %s", worker.name, exc_info=error)
            raise _RefusedError(Problem(Reason.TEMPLATE_INVALID, unusable(error), worker.name)) from None
        await self._equip(worker)
        raw = await self._create(PODS, body, worker, params=_STRICTLY)
        attempts.made(worker.name, self._clock())
        self._pods.put(raw)
        self._metrics.made_pod(self._key, step.reason)
        log.info("pod created", extra={"worker": worker.name, "reason": f"{step.reason}, revision {recipe.revision}"})

    def _pod(self, worker: Worker, ordinal: int, recipe: Recipe) -> Json:
        """As it is created. Raises TemplateError."""
        return build_pod(
            recipe,
            namespace=self._namespace,
            pool=self._pool,
            worker=worker.name,
            worker_uid=worker.uid,
            ordinal=ordinal,
            drain_key=secrets.token_urlsafe(24),
        )

    async def _remove_pod(self, step: RemovePod) -> None:
        pod = step.pod
        path = PODS.path(self._namespace, pod.name)
        raw = await self._api.delete(path, uid=pod.uid, resource_version=str(pod.resource_version))
        if raw.get("kind") == PODS.kind and raw["metadata"].get("deletionGracePeriodSeconds"):
            self._pods.put(raw)
        self._metrics.deleted_pod(self._key, step.reason)
        reason = f"{step.reason}: {step.detail}" if step.detail else step.reason
        log.info("pod deleted", extra={"worker": pod.name, "reason": reason})

    # --- what a pod needs ---------------------------------------------------------------------------------

    async def _equip(self, worker: Worker) -> None:
        """Account and rights, of this very FingerWorker."""
        if worker.uid in self._equipped:
            return
        name, uid, pool = worker.name, worker.uid, self._pool
        await self._create(SERVICE_ACCOUNTS, objects.service_account(name, uid, pool), worker)
        role = objects.role(name, uid, pool)
        stored = await self._create(ROLES, role, worker)
        if stored.get("rules") != role["rules"]:
            patch = {"metadata": _at(stored), "rules": role["rules"]}
            await self._api.merge_patch(ROLES.path(self._namespace, name), patch)
        await self._create(ROLE_BINDINGS, objects.role_binding(name, uid, pool, self._namespace), worker)
        self._equipped.add(worker.uid)

    async def _create(self, resource: Resource, body: Json, worker: Worker, *, params: Params | None = None) -> Json:
        """The object, made now or before. Raises _LaterError, _RefusedError and KubeError."""
        try:
            return await self._api.create(resource.path(self._namespace), body, params=params)
        except Conflict:
            stored = await self._api.get(resource.path(self._namespace, worker.name))
        if _is_owned(stored, worker.uid):
            if "deletionTimestamp" in stored["metadata"]:
                raise _LaterError
            return stored
        owners = stored["metadata"].get("ownerReferences") or ()
        if any(each.get("kind") == FINGERWORKERS.kind and each.get("name") == worker.name for each in owners):
            raise _LaterError  # of the last worker of that name: the garbage collector takes it
        message = f"{resource.kind} {worker.name} is somebody else's; delete it, or give it another name"
        raise _RefusedError(Problem(Reason.NAME_TAKEN, message, worker.name))


def unusable(error: Exception) -> str:
    """What is said of a template with a value that no check expected."""
    return (
        "spec.workers: no pod can be built from it, because a value in the template or in sidecar.resources has "
        f"another type or size than in a pod ({type(error).__name__}: {redact_text(str(error))[:200]}); "
        "kubectl create --dry-run=server shows which, with the template as a pod"
    )


def _refusal(error: ApiError, worker: str) -> Problem:
    """What the API server said to a creation, sorted."""
    message = redact_text(error.message)  # it may quote what it refuses
    if re.search(r"\bquota: ", message):  # exceeded, failed, or not counted yet
        reason = Reason.QUOTA_EXCEEDED
    elif isinstance(error, Forbidden) and (" cannot " in message or "attempting to grant" in message):
        reason = Reason.OPERATOR_FORBIDDEN
    elif isinstance(error, Invalid) and "cannot be handled as a Pod" in message:  # no such field, or another type
        reason, message = Reason.TEMPLATE_INVALID, f"spec.workers.template: {message}"
    else:
        reason = Reason.POD_REFUSED
    return Problem(reason, message, worker)


def _is_owned(stored: Json, uid: str) -> bool:
    return any(each.get("uid") == uid for each in stored["metadata"].get("ownerReferences") or ())


def _at(stored: Json) -> Json:
    return {"resourceVersion": stored["metadata"]["resourceVersion"]}


def name_of(step: Step) -> str:
    """Of the worker that it is about."""
    match step:
        case CreateWorker(name):
            return name
        case RemovePod(pod):
            return pod.name
        case ChangeWorker(worker) | Mark(worker) | RemoveWorker(worker) | MakePod(worker):
            return worker.name
