from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration


def test_a_stream_on_one_live_worker_that_confirmed_it(cli, stored, a_stream):
    stored.pool(streams=2, unassigned=0, quarantined=0)
    stored.worker("w1", streams=[a_stream("4711"), a_stream("1")])
    stored.worker("w2")
    done = cli("why", "4711")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Stream 4711 is on worker w1, which confirmed that it runs it.\n")
    assert "https://radio.example/live" in done.stdout
    assert "Ready=True (Active): heard in time" in done.stdout
    assert "hidden" not in done.stdout


def test_beside_a_pool_that_no_parser_gets_through(cli, stored, a_stream):
    stored.deep_pool()
    stored.worker("w1", streams=[a_stream("4711")])
    done = cli("why", "4711")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Stream 4711 is on worker w1, which confirmed that it runs it.\n")


def test_a_stream_that_its_last_worker_has_not_let_go(cli, stored):
    stored.pool()
    uid = stored.worker("w1", epoch=3, revoking=[{"id": "4711", "epoch": 3}], lease=False)
    stored.lease("w1", holder="pod/nonce", annotations={"fingerv7.io/applied": f"{uid}/pod/nonce/2"})
    done = cli("why", "4711", "-o", "json")
    shown = json.loads(done.stdout)
    assert done.returncode == 1
    assert (shown["state"], shown["ok"]) == ("Stopping", False)
    assert (shown["workers"][0]["revokedAtEpoch"], shown["workers"][0]["confirmedEpoch"]) == (3, 2)


def test_a_worker_whose_sidecar_fell_silent(cli, stored, a_stream):
    stored.pool()
    uid = stored.worker("w1", streams=[a_stream("4711")], lease=False)
    applied = {"fingerv7.io/applied": f"{uid}/pod/nonce/1"}
    stored.lease("w1", holder="pod/nonce", age_s=300, annotations=applied)
    done = cli("why", "4711")
    assert done.returncode == 1
    assert "Stream 4711 is with worker w1, of which nothing is heard." in done.stdout
    assert "heard 5 min ago, later than the 30 s that it has" in done.stdout


def test_a_worker_without_a_lease(cli, stored, a_stream):
    stored.pool()
    stored.worker("w1", streams=[a_stream("4711")], lease=False)
    assert "there is no Lease w1; is its sidecar running?" in cli("why", "4711").stdout


def test_a_stream_in_two_workers(cli, stored, a_stream):
    stored.pool()
    for name in ("w1", "w2"):
        stored.worker(name, streams=[a_stream("4711")])
    done = cli("why", "4711")
    assert done.returncode == 1
    assert "in the assignments of w1 and w2" in done.stdout


def test_nobody_has_it_and_the_pool_says_why(cli, stored):
    stored.pool(
        streams=3, unassigned=1, unassignedReasons={"NoCapacity": 1}, unassignedExamples={"NoCapacity": ["7"]}
    )
    done = cli("why", "7")
    assert done.returncode == 1
    assert done.stdout.startswith("Stream 7 is on no worker: every worker that may have it is full;")


def test_the_same_id_in_two_pools_is_asked_about(cli, stored, a_stream):
    for name in ("radio", "tv"):
        stored.pool(name)
        stored.worker(f"{name}-1", pool=name, streams=[a_stream("1")])
    assert cli("why", "1").returncode == 2
    done = cli("why", "1", "--pool", "tv")
    assert (done.returncode, "worker tv-1" in done.stdout) == (0, True)


def test_a_fleet_larger_than_a_page(cluster, cli, stored, a_stream):
    stored.pool()
    spec = {"poolRef": {"name": "radio"}, "maxStreams": 1, "capabilities": ["audio_fingerprinting"]}
    kind = {"apiVersion": "fingerv7.io/v1alpha1", "kind": "FingerWorker", "spec": spec}
    items = [{**kind, "metadata": {"name": f"a{n:03}"}} for n in range(120)]
    stored.kubectl("create", "-f", "-", body={"apiVersion": "v1", "kind": "List", "items": items})
    stored.worker("z", streams=[a_stream("4711")])
    assert cli("why", "4711").returncode == 0


def test_it_is_a_plugin_of_kubectl(cluster, stored, kubeconfig, a_stream):
    stored.pool()
    stored.worker("w1", streams=[a_stream("4711")])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path}
    command = [cluster._kubectl, "fingerv7", "why", "4711", "--kubeconfig", kubeconfig()]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    usage = subprocess.run([cluster._kubectl, "fingerv7"], env=env, capture_output=True, text=True, check=False)
    assert usage.returncode == 2
    assert "usage: kubectl fingerv7" in usage.stderr
