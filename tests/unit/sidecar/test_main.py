"""The process as a container runs it: settings, signals, exit status, and what its log says and does not say."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

from fingerv7.contract import assignment_hash

COMMAND = (sys.executable, "-m", "fingerv7_sidecar.main")


def test_settings_that_cannot_work_end_the_process_with_status_2():
    ended = subprocess.run(
        COMMAND, env={"TAKEOVER_AFTER": "soon"}, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 2
    assert "INSTANCE_ID is not set" in ended.stderr
    assert "'soon' is not a duration" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_missing_ca_file_is_said(tmp_path):
    env = {
        "INSTANCE_ID": "w1",
        "NAMESPACE": "default",
        "KUBERNETES_API_URL": "https://127.0.0.1:1",
        "KUBERNETES_CA_FILE": str(tmp_path / "none"),
        "CONFIG_DIR": str(tmp_path / "config"),
        "LISTEN": "127.0.0.1:0",
    }
    ended = subprocess.run(COMMAND, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert "KUBERNETES_CA_FILE" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("log_format", ["json", "text"])
async def test_a_whole_life(api, authority, tmp_path, log_format):
    streams = [{"id": "a", "url": "http://user:secret@radio.example/a?key=secret", "name": "a", "token": "1-1"}]
    given = {"epoch": 1, "hash": assignment_hash("uid-1", 1, streams), "streams": streams}
    api.succeed("w1")
    api.put_worker("w1", "uid-1", assignment=given)
    (tmp_path / "token").write_text(api.token)
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        env={
            "INSTANCE_ID": "w1",
            "NAMESPACE": "default",
            "POOL": "radio",
            "CONFIG_DIR": str(tmp_path / "config"),
            "LISTEN": "127.0.0.1:0",
            "ACK": "OnWrite",
            "KUBERNETES_API_URL": f"https://127.0.0.1:{api.port}",
            "KUBERNETES_TOKEN_FILE": str(tmp_path / "token"),
            "KUBERNETES_CA_FILE": str(tmp_path / "ca.crt"),
            "PUBLIC_LISTEN": "127.0.0.1:0",
            "DRAIN_KEY": "secret-0123456789",
            "VPN_CONTROL_URL": "http://127.0.0.1:1",
            "VPN_CONTROL_KEY": "secret-of-the-vpn",
            "LOG_LEVEL": "debug",
            "LOG_FORMAT": log_format,
        },
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await api.until(lambda: api.annotation("w1", "fingerv7.io/applied").endswith("/1"), 20)
        pod_uid = (tmp_path / "config" / "pod-uid").read_text().strip()
        assert api.annotation("w1", "fingerv7.io/applied").startswith(f"uid-1/{pod_uid}/")
        assert int((tmp_path / "config" / "sidecar.port").read_text())
        api.put_worker("w1", "uid-1", assignment={"epoch": 2, "hash": assignment_hash("uid-1", 2, []), "streams": []})
        await api.until(lambda: api.annotation("w1", "fingerv7.io/applied").endswith("/2"))
        await api.until(lambda: '"unreachable"' in api.annotation("w1", "fingerv7.io/report"))
        process.terminate()
        _, log = await asyncio.wait_for(process.communicate(), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    assert api.annotation("w1", "fingerv7.io/released").startswith("uid-1/")
    text = log.decode()
    assert "secret" not in text
    assert api.token not in text
    if log_format == "json":
        events = [json.loads(line)["event"] for line in text.splitlines()]
        for event in ("started", "lease-acquired", "worker-seen", "config-written", "applied", "released", "stopped"):
            assert event in events
