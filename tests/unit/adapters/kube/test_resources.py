from __future__ import annotations

import pytest

from fingerv7.adapters.kube.resources import EVENTS, FINGERWORKERS, LEASES


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (FINGERWORKERS.path("radio"), "/apis/fingerv7.io/v1alpha1/namespaces/radio/fingerworkers"),
        (FINGERWORKERS.path(None), "/apis/fingerv7.io/v1alpha1/fingerworkers"),
        (
            FINGERWORKERS.path("radio", "w-1", "status"),
            "/apis/fingerv7.io/v1alpha1/namespaces/radio/fingerworkers/w-1/status",
        ),
        (LEASES.path("radio", "w-1"), "/apis/coordination.k8s.io/v1/namespaces/radio/leases/w-1"),
        (EVENTS.path("radio"), "/api/v1/namespaces/radio/events"),
    ],
)
def test_a_path_is_the_one_that_the_api_server_serves(path: str, expected: str) -> None:
    assert path == expected


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_an_empty_name_never_addresses_the_whole_collection(name: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        LEASES.path("radio", name)
    with pytest.raises(ValueError, match="not the name"):
        LEASES.path(name, "w-1")


def test_a_name_cannot_climb_out_of_its_segment() -> None:
    assert LEASES.path("radio", "a/../b?c#d").endswith("/leases/a%2F..%2Fb%3Fc%23d")


def test_a_subresource_needs_an_object() -> None:
    with pytest.raises(ValueError, match="needs an object's name"):
        LEASES.path("radio", None, "status")
