"""What the API server's refusals mean to people."""

from __future__ import annotations

import pytest

from fingerv7.adapters.kube.errors import Forbidden, Invalid
from fingerv7.runtime.crew_writer import _refusal


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
