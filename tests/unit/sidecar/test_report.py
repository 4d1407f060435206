from __future__ import annotations

import json

import pytest

from fingerv7_sidecar.report import ReportError, checked_report, with_vpn


def test_known_keys_pass_and_unknown_ones_are_dropped():
    body = b'{"currentStreams": 3, "cpuPercent": 1.5, "lastActivity": "2026-01-01T00:00:00Z", "x": 1, "errorCount": null}'
    assert json.loads(checked_report(body, version="7.1")) == {
        "currentStreams": 3,
        "cpuPercent": 1.5,
        "lastActivity": "2026-01-01T00:00:00Z",
        "version": "7.1",
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"currentStreams": -1}',
        b'{"currentStreams": 1.5}',
        b'{"currentStreams": true}',
        b'{"cpuPercent": NaN}',
        b'{"cpuPercent": Infinity}',
        b'{"currentStreams": 1e999}',
        b'{"version": 7}',
        b'{"vpn": "up"}',
        b"[" * 100_000,
        json.dumps({"version": "x" * 5000}).encode(),
    ],
)
def test_a_refusal_says_what_is_accepted(body):
    with pytest.raises(ReportError, match="currentStreams"):
        checked_report(body)


def test_a_vpn_for_which_there_is_no_room_is_left_out():
    full = json.dumps({"version": "x" * 4070})
    assert with_vpn(full, {"status": "running", "ip": "192.0.2.1"}) == full
