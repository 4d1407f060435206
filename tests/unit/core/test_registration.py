"""What a Lease asks for is read strictly, and every refusal says what would be accepted."""

from __future__ import annotations

import json

import pytest

from fingerv7.api.fingerworker import FingerWorker
from fingerv7.core.registration import RegistrationError, worker_spec

WORDS = ["audio_fingerprinting", *(f"c{n}" for n in range(31))]


def asked(**changes) -> str:
    return json.dumps({"maxStreams": 50, "capabilities": ["audio_fingerprinting"], **changes})


def test_what_it_accepts_the_crd_accepts_too():
    spec = worker_spec(asked(maxStreams=1000, capabilities=[*WORDS, *WORDS], location="x" * 63), "radio")
    assert len(spec["capabilities"]) == 32
    metadata = {"name": "w", "namespace": "n", "uid": "u", "resourceVersion": "1"}
    FingerWorker.parse(
        {"apiVersion": "fingerv7.io/v1alpha1", "kind": "FingerWorker", "metadata": metadata, "spec": spec}
    )


@pytest.mark.parametrize(
    ("register", "sentence"),
    [
        ("{", "must be JSON such as"),
        ("[]", "must be a JSON object"),
        (asked(maxStreams=0), "from 1 to 1000"),
        (asked(maxStreams=True), "from 1 to 1000"),
        (asked(capabilities=["speech"]), "must contain audio_fingerprinting"),
        (asked(capabilities=["audio_fingerprinting", "a b"]), "must be a list of words"),
        (asked(capabilities=["audio_fingerprinting", "a" * 64]), "must be a list of words"),
        (asked(capabilities=[*WORDS, "more"]), "33 capabilities are too many, at most 32 are accepted"),
        (asked(location="x" * 64), "at most 63 characters"),
    ],
)
def test_a_refusal_says_what_would_be_accepted(register, sentence):
    with pytest.raises(RegistrationError, match=sentence):
        worker_spec(register, "radio")
