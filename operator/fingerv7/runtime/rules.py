"""From a StreamPool's spec to the rules that a round goes by."""

from __future__ import annotations

from types import MappingProxyType

from fingerv7.api.balancing import Balancing
from fingerv7.api.streampool import StreamPool, StreamPoolSpec
from fingerv7.api.workers import Autoscaling, FenceCheck, Workers
from fingerv7.core.approval import Mode
from fingerv7.core.managed.model import Scaling, Traits, Wanted
from fingerv7.core.managed.pod import Recipe, Sidecar
from fingerv7.core.planner.model import Policy, Strategy
from fingerv7.core.rounds import Rules
from fingerv7.core.takeover import MassFailure


def rules_of(pool: StreamPool) -> Rules:
    """The rules of one state of the pool."""
    spec = pool.spec
    balancing, liveness = spec.balancing, spec.liveness
    return Rules(
        timing=liveness.timing(),
        warning_after_ms=liveness.warning_after_ms,
        mass_failure=MassFailure(liveness.mass_failure.threshold_percent, liveness.mass_failure.max_hold_ms / 1000),
        policy=policy_of(balancing),
        cooldown_s=balancing.cooldown_ms / 1000,
        drain_timeout_s=spec.drain_timeout_ms / 1000,
        mode=Mode(balancing.mode.value),
        rotation_s=balancing.rotation.every_ms / 1000 if balancing.rotation else None,
        paused=spec.paused,
        deleting=pool.metadata.deletion_timestamp is not None,
    )


def policy_of(balancing: Balancing) -> Policy:
    """What the planner is told, apart from what changes from round to round."""
    exclusions = balancing.exclusions
    return Policy(
        imbalance_threshold_percent=balancing.imbalance_threshold_percent,
        max_stream_difference=balancing.max_stream_difference,
        max_moves_per_round_percent=balancing.max_moves_per_round_percent,
        strategy=Strategy(balancing.strategy.value),
        target_load_percent=balancing.target_load_percent or 100,
        pins=MappingProxyType({pin.stream: pin.worker for pin in balancing.pins}),
        excluded_streams=frozenset(each.stream for each in exclusions if each.stream and not each.worker),
        excluded_workers=frozenset(each.worker for each in exclusions if each.worker and not each.stream),
        excluded_pairs=frozenset((each.stream, each.worker) for each in exclusions if each.stream and each.worker),
    )


def wanted_of(workers: Workers, revision: str) -> Wanted:
    """What the pool asks for as a fleet; `revision` of a pod made now, empty where none can be."""
    own = workers.defaults
    defaults = Traits(own.max_streams, frozenset(own.capabilities), own.location or "")
    overrides = {
        each.name: Traits(
            each.max_streams or defaults.max_streams,
            frozenset(each.capabilities or defaults.capabilities),
            defaults.location if each.location is None else each.location,
        )
        for each in workers.overrides
    }
    return Wanted(
        replicas=workers.replicas,
        defaults=defaults,
        overrides=overrides,
        revision=revision,
        max_unavailable=workers.rollout.max_unavailable,
        progress_s=workers.rollout.progress_timeout_ms / 1000,
        scaling=_scaling(workers.autoscaling) if workers.autoscaling else None,
    )


def recipe_of(spec: StreamPoolSpec, workers: Workers, sidecar_image: str, pull_policy: str = "") -> Recipe:
    """What the pods of such a fleet are made from; image and policy are for a pool that names none."""
    own = workers.sidecar
    if own.image_pull_policy or own.image:
        pull_policy = own.image_pull_policy.value if own.image_pull_policy else ""
    environment = {each.name: each.value_from.dump() if each.value_from else each.value or "" for each in own.env}
    return Recipe(
        template=workers.template.dump(),
        container=workers.container,
        guard=workers.fence_check is FenceCheck.GUARD,
        sidecar=Sidecar(own.image or sidecar_image, own.resources, environment, pull_policy),
        timing=spec.liveness.timing(),
        drain_timeout_s=spec.drain_timeout_ms / 1000,
    )


def _scaling(auto: Autoscaling) -> Scaling:
    window_s = auto.stabilization_window_ms / 1000
    return Scaling(auto.min_replicas, auto.max_replicas, auto.target_load_percent, window_s)
