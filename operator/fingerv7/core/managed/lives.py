"""What a pod's state means, and when it is made again.

Restarts of containers are the kubelet's business. A pod that is gone, has ended or was evicted is made again here,
the sooner the longer the last one was well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from fingerv7.api.conditions import WorkersReady as Reason
from fingerv7.core.managed.model import Member, Pod, Problem, Waiting

FIRST_S, CAP_S = 10.0, 300.0
WELL_AFTER_S = 60.0
"""A pod that was ready for so long has no history."""
STUCK_S = 60.0
"""After its grace a pod that is being deleted is gone within moments, where its node answers."""

_PULLING = frozenset(
    {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ImageInspectError", "ErrImageNeverPull"}
)
_CONFIGURING = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_CRASHING = "CrashLoopBackOff"
_MESSAGE_LIMIT = 300


@dataclass(slots=True)
class Attempts:
    """How often pods were made lately, by worker. Times are seconds, monotonic."""

    _made: dict[str, tuple[int, float]] = field(default_factory=dict)
    """How often, and when the next time is."""

    def is_due(self, worker: str, now: float) -> bool:
        return now >= self._made.get(worker, (0, 0.0))[1]

    def left_s(self, worker: str, now: float) -> float:
        return max(0.0, self._made.get(worker, (0, 0.0))[1] - now)

    def made(self, worker: str, now: float) -> None:
        """One was made, or refused."""
        count = self._made.get(worker, (0, 0.0))[0]
        self._made[worker] = count + 1, now + min(CAP_S, FIRST_S * 2.0 ** min(count, 16))

    def forget(self, worker: str) -> None:
        self._made.pop(worker, None)

    def forget_all(self) -> None:
        """Something has changed that may be the remedy."""
        self._made.clear()

    def keep(self, workers: frozenset[str]) -> None:
        for name in self._made.keys() - workers:
            del self._made[name]


def was_well(pod: Pod, wall_s: float) -> bool:
    return pod.ready and wall_s - pod.changed_s >= WELL_AFTER_S


def is_stuck(pod: Pod, wall_s: float) -> bool:
    return pod.gone_by_s is not None and wall_s - pod.gone_by_s >= STUCK_S


def is_crashing(pod: Pod) -> bool:
    return any(each.reason == _CRASHING for each in pod.waiting)


def trouble(member: Member, *, wall_s: float, progress_s: float, left_s: float = 0.0) -> Problem | None:
    """What is wrong with a member's pod, in a sentence; None while there is nothing to say.

    `left_s`: until it may be made again.
    """
    pod = member.pod
    if pod is None:
        if left_s <= 0:
            return None
        return _problem(member, Reason.POD_ENDED, f"its pod is gone and made again in {left_s:.0f} s")
    if not pod.owner:
        return _problem(member, Reason.NAME_TAKEN, f"pod {pod.name} belongs to somebody else; delete it")
    if pod.terminating:
        if not is_stuck(pod, wall_s):
            return None
        return _problem(member, Reason.POD_STUCK, "its pod is being deleted and does not go; does its node answer?")
    if pod.ended:
        said = ": ".join(filter(None, (pod.reason or pod.phase, pod.message)))
        return _problem(member, Reason.POD_ENDED, f"its pod ended ({said}) and is made again")
    if pod.ready:
        return None
    if pod.unschedulable:
        return _problem(member, Reason.UNSCHEDULABLE, f"no node takes its pod: {pod.unschedulable}")
    for waiting in pod.waiting:
        reason = _reason(waiting)
        if reason:
            said = f"{waiting.reason}: {waiting.message}" if waiting.message else waiting.reason
            return _problem(member, reason, f"container {waiting.container}: {said}")
    if wall_s - pod.changed_s >= progress_s:
        where = ", ".join(f"{each.container} waits ({each.reason})" for each in pod.waiting) or f"phase {pod.phase}"
        return _problem(
            member, Reason.NOT_STARTING, f"its pod is not ready since {wall_s - pod.changed_s:.0f} s: {where}"
        )
    return None


def _reason(waiting: Waiting) -> Reason | None:
    if waiting.reason in _PULLING:
        return Reason.IMAGE_PULL_FAILED
    if waiting.reason == _CRASHING:
        return Reason.CRASHING
    if waiting.reason not in _CONFIGURING:
        return None
    # The kubelet says it in words only: secret "vpn-003" not found, couldn't find key user in Secret music/vpn-003.
    if re.search(r"\bsecret\b", waiting.message, re.IGNORECASE):
        return Reason.SECRET_MISSING
    if re.search(r"\bconfigmap\b", waiting.message, re.IGNORECASE):
        return Reason.CONFIG_MAP_MISSING
    return Reason.CONTAINER_INVALID


def _problem(member: Member, reason: Reason, message: str) -> Problem:
    text = message if len(message) <= _MESSAGE_LIMIT else message[: _MESSAGE_LIMIT - 1] + "…"
    return Problem(reason, text, member.name)
