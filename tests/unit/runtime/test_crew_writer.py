"""What the API server's refusals mean to people."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fingerv7.adapters.kube.errors import ApiUnreachable, Conflict, Forbidden, Invalid, OutcomeUnknown
from fingerv7.contract import Timing
from fingerv7.core.managed.lives import Attempts
from fingerv7.core.managed.model import (
    ChangeWorker,
    MakePod,
    Mark,
    Member,
    Pod,
    PodReason,
    RemovePod,
    RemoveWorker,
    Traits,
)
from fingerv7.core.managed.pod import Recipe, Sidecar
from fingerv7.core.model import Worker
from fingerv7.runtime.crew_writer import CrewWriter, _refusal
from fingerv7.runtime.metrics import Metrics

WORKER = Worker("radio-001", "uid", 1, "radio", 50, managed=True)
POD = Pod("radio-001", "pod", 1, "radio", "uid", "r")
RECIPE = Recipe(
    {"spec": {"containers": [{"name": "fingerv7", "image": "x", "command": ["x"]}]}},
    "fingerv7", True, Sidecar("i", {}, {}), Timing.derive(20_000), 60.0,
)  # fmt: skip


class Refusing:
    """An API that refuses everything but accounts."""

    def __init__(self, error):
        self.error = error

    async def create(self, path, body, *, params=None):
        assert bool(params) == path.endswith("/pods")
        if path.endswith("/pods"):
            raise self.error
        return body

    async def merge_patch(self, path, patch):
        raise self.error

    async def delete(self, path, **_):
        raise self.error


def a_writer(error):
    workers = SimpleNamespace(resource_version=lambda _: 1)
    fleet = SimpleNamespace(workers=workers, put_worker=lambda _: None)
    office = SimpleNamespace(
        api=Refusing(error),
        fleets=SimpleNamespace(of=lambda _: fleet),
        term=SimpleNamespace(may_write=True),
        clocks=SimpleNamespace(monotonic=lambda: 100.0),
        metrics=Metrics(),
    )
    return CrewWriter(office, SimpleNamespace(), key=("music", "radio"), pool_uid="u")


TRAITS = Traits(50, frozenset({"audio_fingerprinting"}))
FORBIDDEN = Forbidden(403, "Forbidden", 'User "op" cannot delete http://me:secret@host/')


@pytest.mark.parametrize(
    "step", [ChangeWorker(WORKER, TRAITS), Mark(WORKER, ""), RemoveWorker(WORKER), RemovePod(POD, PodReason.ROLLOUT)]
)
@pytest.mark.parametrize(
    ("error", "reason"), [(FORBIDDEN, "OperatorForbidden"), (Invalid(422, "Invalid", "too many"), "PodRefused")]
)
async def test_what_cannot_be_done_with_a_worker_is_told_as_long_as_it_is_to_be_done(step, error, reason):
    writer = a_writer(error)
    assert not await writer.carry_out(step, RECIPE, Attempts())
    assert writer.hindered["radio-001"].reason == reason
    assert "secret" not in writer.hindered["radio-001"].message
    writer.forget_needless([step])
    assert writer.hindered
    writer.forget_needless([])
    assert not writer.hindered


async def test_an_api_server_that_fails_at_every_pod_is_told_and_not_asked_each_second():
    writer, attempts = a_writer(OutcomeUnknown("POST was answered by 500: failed calling webhook")), Attempts()
    assert not await writer.carry_out(MakePod(WORKER, 1, PodReason.NEW_WORKER), RECIPE, attempts)
    assert "failed calling webhook" in writer.refused["radio-001"].message
    assert not attempts.is_due("radio-001", 101.0)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Conflict(409, "AlreadyExists", 'pods "radio-001" already exists'), None),
        (Forbidden(403, "Forbidden", "exceeded quota: small"), None),
        (FORBIDDEN, None),
        (Invalid(400, "BadRequest", 'admission webhook "x" does not support dry run'), None),
        (OutcomeUnknown("POST was answered by 500: failed calling webhook"), None),
        (Forbidden(403, "Forbidden", 'violates PodSecurity "restricted:latest"'), "PodRefused"),
        (Invalid(422, "Invalid", 'Pod "radio-001" is invalid: spec.volumes[0].name: Invalid value'), "PodRefused"),
        (Invalid(400, "BadRequest", 'Pod in version "v1" cannot be handled as a Pod: …'), "TemplateInvalid"),
    ],
)
async def test_only_what_will_be_refused_later_as_well_speaks_against_a_recipe(error, reason):
    problem = await a_writer(error).try_out(Member(WORKER, 1), RECIPE)
    assert (problem and problem.reason) == reason


async def test_without_an_answer_nothing_is_known_of_a_recipe():
    with pytest.raises(ApiUnreachable):
        await a_writer(ApiUnreachable("no answer")).try_out(Member(WORKER, 1), RECIPE)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            Forbidden(403, "Forbidden", 'pods "radio-001" is forbidden: exceeded quota: small, requested: pods=1'),
            "QuotaExceeded",
        ),
        (Forbidden(403, "Forbidden", "failed quota: small: must specify limits.cpu"), "QuotaExceeded"),
        (Forbidden(403, "Forbidden", "status unknown for quota: small, resources: pods"), "QuotaExceeded"),
        (
            Forbidden(403, "Forbidden", 'pods "radio-001" is forbidden: violates PodSecurity "restricted:latest"'),
            "PodRefused",
        ),
        (Forbidden(403, "Forbidden", 'User "op" cannot create resource "pods" in API group ""'), "OperatorForbidden"),
        (
            Forbidden(403, "Forbidden", "user is attempting to grant RBAC permissions not currently held"),
            "OperatorForbidden",
        ),
        (
            Invalid(422, "Invalid", 'Pod "radio-001" is invalid: spec.containers[0].image: Required value'),
            "PodRefused",
        ),
        (Invalid(400, "BadRequest", 'admission webhook "policy" denied the request'), "PodRefused"),
    ],
)
def test_a_refusal_is_sorted_and_told_in_the_servers_words(error, reason):
    problem = _refusal(error, "radio-001")
    assert (str(problem.reason), problem.message, problem.worker) == (reason, error.message, "radio-001")
